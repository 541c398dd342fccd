import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { CallResult } from '../../api/calls.ts';
import { errnoText } from '../../api/errno-text.ts';
import { confirm, nameList } from '../confirm.ts';
import { defineCommand, type CommandFault } from '../command.ts';
import type { Context } from '../context.ts';
import { placeFaults } from '../definition-faults.ts';
import { mapBounded } from '../each-machine.ts';
import { withoutAsking } from '../machine-arguments.ts';
import { claimsNothing } from '../own-files.ts';
import { renderDefined } from '../render/defined.ts';
import { done, failed } from '../results.ts';
import { isAlive } from '../select-machines.ts';
import { defineSource, readDefinition } from './define.ts';

const atOnce = 8;

interface Checked {
  readonly file: string;
  readonly source: string;
  readonly result: CallResult<'define'>;
}

function definitionFiles(directory: string): readonly string[] | CommandFault {
  try {
    return readdirSync(directory)
      .filter((file) => /\.ya?ml$/.test(file) && !file.startsWith('.'))
      .sort()
      .map((file) => join(directory, file));
  } catch (error) {
    return {
      message: `${directory} cannot be read: ${errnoText(error)}`,
      hint: 'Give a directory with *.yaml files.',
    };
  }
}

/** Names that two files define: which of them would count depends on chance. */
function doubles(checked: readonly Checked[]): CommandFault[] {
  const first = new Map<string, string>();
  return checked.flatMap(({ file, result: { name } }) => {
    const before = first.get(name);
    first.set(name, before ?? file);
    if (before === undefined) return [];
    return [
      {
        code: 'definition-invalid' as const,
        file,
        message: `defines "${name}", which ${before} defines too`,
        hint: 'Give each machine one file.',
      },
    ];
  });
}

async function checkAll(
  context: Context,
  files: readonly string[],
): Promise<{ readonly checked: readonly Checked[]; readonly faults: readonly CommandFault[] }> {
  const checked: Checked[] = [];
  const faults = await mapBounded(files, atOnce, async (file): Promise<readonly CommandFault[]> => {
    const source = readDefinition(file);
    if (typeof source !== 'string') return [source];
    const reply = await context.client.call('define', { source, replace: true, dryRun: true });
    if (!reply.ok) return placeFaults(reply.faults, file, source);
    checked.push({ file, source, result: reply.result });
    return [];
  });
  checked.sort((one, other) => one.file.localeCompare(other.file));
  return { checked, faults: [...faults.flat(), ...doubles(checked)] };
}

interface Applied {
  readonly results: readonly CallResult<'define'>[];
  readonly faults: readonly CommandFault[];
}

/** Defines what is new or changed; stops at the first fault, which a check before cannot have foreseen. */
async function defineAll(context: Context, checked: readonly Checked[]): Promise<Applied> {
  const results: CallResult<'define'>[] = [];
  for (const { file, source, result } of checked) {
    // Root has nothing to claim; for others a claim may be missing, or be no longer needed.
    const idle = result.outcome === 'unchanged' && (await claimsNothing(context));
    const reply = idle ? { ok: true as const, result } : await defineSource(context, source, true);
    if (!reply.ok) return { results, faults: placeFaults(reply.faults, file, source) };
    results.push(reply.result);
  }
  return { results, faults: [] };
}

async function removeAll(context: Context, names: readonly string[]): Promise<readonly CommandFault[]> {
  const replies = await mapBounded(names, atOnce, (name) => context.client.call('remove', { name }));
  return replies.flatMap((reply) => (reply.ok ? [] : reply.faults));
}

async function applyAll(
  context: Context,
  checked: readonly Checked[],
  pruned: readonly string[],
): Promise<Applied> {
  const { results, faults } = await defineAll(context, checked);
  return { results, faults: faults.length > 0 ? faults : await removeAll(context, pruned) };
}

export const apply = defineCommand({
  name: 'apply',
  summary: 'Make the definitions those of a directory.',
  details:
    'Defines every *.yaml and *.yml file in it, changed ones too. All of them are checked first, every fault of every ' +
    'file is shown, and with a fault in any nothing is done. Running machines go on; changes apply at their next start.',
  arguments: { DIRECTORY: { help: 'Directory with definitions.', complete: 'directory' } },
  options: {
    dryRun: { kind: 'flag', short: 'n', help: 'Only check, and say what would be done.' },
    prune: { kind: 'flag', help: 'Remove stopped machines that have no file there; disks are kept.' },
    yes: withoutAsking,
  },
  examples: [
    { line: 'qward apply machines/', meaning: 'define all of them' },
    { line: 'qward apply --dry-run --prune machines/', meaning: 'see what would change' },
  ],
  async run(context, { arguments: { DIRECTORY: directory }, options: { dryRun, prune, yes } }) {
    const files = definitionFiles(directory);
    if ('message' in files) return failed([files]);
    const { checked, faults } = await context.during(`checking ${directory}`, checkAll(context, files));
    if (faults.length > 0) return failed(faults);
    const machines = await context.client.call('list');
    if (!machines.ok) return failed(machines.faults);
    const kept = new Set(checked.map(({ result }) => result.name));
    const surplus = prune ? machines.result.filter(({ name }) => !kept.has(name)) : [];
    const pruned = surplus.filter((machine) => !isAlive(machine)).map(({ name }) => name);
    let defined = checked.map(({ result }) => result);
    if (!dryRun) {
      const refusal = pruned.length > 0 ? confirm(context, `Remove ${nameList(pruned)}?`, yes) : undefined;
      if (refusal !== undefined) return refusal;
      const work = applyAll(context, checked, pruned);
      const applied = await context.during(`applying ${directory}`, work);
      if (applied.faults.length > 0) return failed(applied.faults);
      defined = [...applied.results];
    }
    const removed = pruned.map((name) => ({ name, outcome: 'removed', notes: [] }));
    const running = surplus.filter(isAlive).map(({ name }) => ({
      name,
      outcome: 'kept',
      notes: ['it has no file there, and runs; stop it first'],
    }));
    const results = [...defined, ...removed, ...running];
    return done({ applied: !dryRun, results }, (style) =>
      results.length === 0
        ? `No definitions in ${directory}.\n`
        : results.map((one) => renderDefined(one, style, dryRun)).join(''),
    );
  },
});
