/** `qward top`: what machines used between two looks. */
import type { CallResult } from '../../api/calls.ts';
import { paintState } from './machine-state.ts';
import { formatBytes } from './sizes.ts';
import type { Style } from './style.ts';
import { renderTable, type Column } from './table.ts';

export type Stats = CallResult<'stats'>;

export interface Usage {
  readonly name: string;
  readonly state: Stats['state'];
  /** Hundredths of one CPU; null, here and below: not known. */
  readonly cpu: number | null;
  readonly memory: number | null;
  readonly limit: number | null;
  /** Bytes a second. */
  readonly read: number | null;
  readonly written: number | null;
  readonly received: number | null;
  readonly sent: number | null;
}

const sum = <Item>(items: readonly Item[] | null, of: (item: Item) => number): number | null =>
  items === null ? null : items.reduce((total, item) => total + of(item), 0);

/** A machine that was started meanwhile counts from its next look on. */
export function usageOf(before: readonly Stats[], now: readonly Stats[]): readonly Usage[] {
  const rows = now.map((machine): Usage => {
    const old = before.find(({ name }) => name === machine.name);
    const seconds = old === undefined ? 0 : (Date.parse(machine.at) - Date.parse(old.at)) / 1000;
    const rate = (of: (one: Stats) => number | null): number | null => {
      const [first, last] = [old === undefined ? null : of(old), of(machine)];
      return first === null || last === null || last < first || !(seconds > 0)
        ? null
        : (last - first) / seconds;
    };
    const cpu = rate((one) => one.cpu?.seconds ?? null);
    const { name, state, memory } = machine;
    return {
      name,
      state,
      cpu: cpu === null ? null : cpu * 100,
      memory: memory?.used ?? null,
      limit: memory?.limit ?? null,
      read: rate(({ disks }) => sum(disks, ({ readBytes }) => readBytes)),
      written: rate(({ disks }) => sum(disks, ({ writtenBytes }) => writtenBytes)),
      received: rate(({ nics }) => sum(nics, ({ receivedBytes }) => receivedBytes)),
      sent: rate(({ nics }) => sum(nics, ({ sentBytes }) => sentBytes)),
    };
  });
  return rows.toSorted((left, right) => (right.cpu ?? -1) - (left.cpu ?? -1));
}

const bytes = (value: number | null): string => (value === null ? '' : formatBytes(Math.round(value)));

const columns: readonly Column<Usage>[] = [
  { title: 'NAME', cell: ({ name }) => name },
  { title: 'STATE', cell: ({ state }) => state },
  { title: 'CPU%', cell: ({ cpu }) => (cpu === null ? '' : cpu.toFixed(1)), align: 'right' },
  { title: 'MEMORY', cell: ({ memory }) => bytes(memory), align: 'right' },
  { title: 'LIMIT', cell: ({ limit }) => bytes(limit), align: 'right' },
  { title: 'READ/S', cell: ({ read }) => bytes(read), align: 'right' },
  { title: 'WRITE/S', cell: ({ written }) => bytes(written), align: 'right' },
  { title: 'IN/S', cell: ({ received }) => bytes(received), align: 'right' },
  { title: 'OUT/S', cell: ({ sent }) => bytes(sent), align: 'right' },
];

export function renderUsage(rows: readonly Usage[], style: Style): string {
  if (rows.length === 0) return 'No machine runs.\n';
  const painted = columns.map((column): Column<Usage> =>
    column.title === 'STATE'
      ? { ...column, paint: (text, { state }) => paintState(text, state, style) }
      : column,
  );
  return renderTable(rows, painted, style);
}
