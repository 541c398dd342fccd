/** `qward explain`: the plan, for a reader. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import { formatBytes } from './sizes.ts';
import type { Style } from './style.ts';
import { hangingText, renderFields, renderTable } from './table.ts';

type Plan = Extract<CallResult<'explain'>, { readonly ok: true }>['plan'];

/** One option a line, its value beside it. */
export function argumentLines(argv: readonly string[]): string[] {
  const lines: string[] = [];
  for (const word of argv) {
    const last = lines.at(-1);
    if (word.startsWith('-') || last === undefined) lines.push(escapeLine(word));
    else lines[lines.length - 1] = `${last} ${escapeLine(word)}`;
  }
  return lines;
}

const section = (title: string, body: string, style: Style): string =>
  body === '' ? '' : `\n${style.bold(title)}\n${body}`;

const indented = (lines: readonly string[]): string => lines.map((line) => `  ${line}\n`).join('');

function grantsText(plan: Plan, style: Style): string {
  return renderTable(
    plan.grants,
    [
      { title: 'FD', cell: ({ fd }) => (fd === null ? '' : String(fd)), align: 'right' },
      { title: 'FOR', cell: ({ subject }) => subject },
      {
        title: 'ACCESS',
        cell: ({ access }) => access,
        paint: (text, { access }) => (access === 'rw' ? style.yellow(text) : text),
      },
      { title: 'RESOURCE', cell: ({ resource }) => resource, fold: true },
      { title: 'WHY', cell: ({ reason }) => reason, fold: true },
    ],
    style,
  );
}

function relaxationsText({ relaxations = [] }: Plan, style: Style): string {
  return renderTable(
    relaxations,
    [
      {
        title: 'BEYOND THE WALLS',
        cell: ({ what }) => what,
        paint: (text) => style.yellow(text),
        fold: true,
      },
      { title: 'WHY', cell: ({ reason }) => reason, fold: true },
      { title: 'UNTIL', cell: ({ until }) => until },
      { title: 'KEY', cell: ({ key }) => key },
    ],
    style,
  );
}

/** What the words of the definition's own reach of the host. */
function passthroughText({ passthrough = [] }: Plan, style: Style): string {
  return renderTable(
    passthrough,
    [
      { title: 'OPTION', cell: ({ option }) => option },
      { title: 'NAMES', cell: ({ kind, resource, access }) => `${kind} ${resource} (${access})`, fold: true },
      {
        title: 'REACHED',
        cell: ({ grant }) => (grant === null ? 'no' : `by ${grant}`),
        paint: (text, { grant }) => (grant === null ? style.yellow(text) : text),
        fold: true,
      },
      { title: 'TO GRANT IT', cell: ({ cure }) => cure, fold: true },
    ],
    style,
  );
}

function limitsText({ limits }: Plan['launch'], style: Style): string {
  const quota = limits.cpuQuota === null ? 'none' : `${limits.cpuQuota / 100_000} CPUs`;
  return renderFields(
    [
      ['memory', formatBytes(limits.memory)],
      ['processes', String(limits.pids)],
      ['CPU weight', String(limits.cpuWeight)],
      ['CPU quota', quota],
      ['I/O weight', String(limits.ioWeight)],
      ['open files', String(limits.openFiles)],
      ['file size', formatBytes(limits.fileSize)],
    ],
    style,
  );
}

/** Arguments in pairs of a line; the jail is as the machine's, but for what the notes and the documents say. */
function helperText(what: string, { launch }: Plan['helpers' | 'beside'][number], style: Style): string {
  const lines = [escapeLine(launch.binary), ...argumentLines(launch.argv)];
  return section(`Beside it, for ${what}`, indented(lines), style);
}

export function renderPlan(plan: Plan, style: Style): string {
  const { launch, accel } = plan;
  const walls = renderTable(
    plan.walls,
    [
      { title: 'WALL', cell: ({ wall }) => wall },
      { title: 'AS IT WILL BE', cell: ({ expected }) => expected, fold: true },
    ],
    style,
  );
  const environment = Object.entries(launch.env).map(([key, value]) => escapeLine(`${key}=${value}`));
  const root = `${launch.root.length} files and directories of ${escapeLine(launch.binary)}, read-only; --json lists them`;
  return [
    `${style.bold(escapeLine(launch.machine))} would start under ${accel.kind}: ${escapeLine(accel.reason)}\n`,
    section('Arguments', indented([escapeLine(launch.binary), ...argumentLines(launch.argv)]), style),
    section('Environment', indented(environment), style),
    section('Grants', grantsText(plan, style), style),
    section('Relaxations', plan.relaxations === undefined ? '' : relaxationsText(plan, style), style),
    section('Passthrough', plan.passthrough === undefined ? '' : passthroughText(plan, style), style),
    section('Root directory', indented([hangingText(root, 2, style)]), style),
    section('Limits', limitsText(launch, style), style),
    section('Walls', walls, style),
    ...plan.helpers.map((helper) => helperText(`network card ${helper.nic}`, helper, style)),
    ...plan.beside.map((server) => helperText(server.name, server, style)),
    section('Notes', indented(plan.notes.map((note) => hangingText(escapeLine(note), 2, style))), style),
  ].join('');
}
