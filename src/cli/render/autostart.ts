/** `qward autostart list`, and what `qward host start-machines` says of each machine. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';
import { renderTable } from './table.ts';

type Entry = CallResult<'autostart'>['machines'][number];
type Booted = Entry['boot'];

const words: Readonly<Record<Booted['state'], string>> = {
  'not-begun': '-',
  waiting: 'waiting',
  starting: 'starting',
  started: 'started, not ready yet',
  ready: 'started',
  'not-ready': 'started, not ready',
  failed: 'not started',
  skipped: 'not started',
};

/** What a person reads of a state; `ran`: it ran already. */
export function bootText({ state, reason, ran }: Booted): string {
  const word = ran && (state === 'ready' || state === 'started') ? 'runs already' : words[state];
  return reason === null ? word : `${word}: ${reason}`;
}

const bad = ({ boot: { state } }: Entry): boolean => ['failed', 'skipped', 'not-ready'].includes(state);

export function renderAutostart(
  machines: readonly Entry[],
  { booting }: { readonly booting: boolean },
  style: Style,
): string {
  const table = renderTable(
    machines,
    [
      { title: 'NAME', cell: ({ name }) => name, paint: (text) => style.bold(text) },
      { title: 'ENABLED BY', cell: ({ enabledBy }) => enabledBy },
      { title: 'AFTER', cell: ({ after }) => after.join(','), fold: true },
      { title: 'READY', cell: ({ ready }) => ready },
      {
        title: 'LAST BOOT',
        cell: ({ boot }) => bootText(boot),
        fold: true,
        paint: (text, row) => (bad(row) ? style.red(text) : text),
      },
    ],
    style,
  );
  return booting ? `${table}They are being started now.\n` : table;
}

/** `db: started`. */
export const bootLine = (machine: Booted, style: Style): string =>
  `${style.bold(escapeLine(machine.name))}: ${escapeLine(bootText(machine))}\n`;
