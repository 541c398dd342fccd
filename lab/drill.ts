/** Drills in the lab: what a relaxation opens is told beside a machine of the same host that has none. */
import type { LabHost } from './host.ts';

/** Each probe with its verdict. The machine must be stopped. */
export async function drilled(
  host: Pick<LabHost, 'run'>,
  name: string,
): Promise<ReadonlyMap<string, string>> {
  const { output } = await host.run(`qward drill ${name} --json`, 300_000);
  const rows: unknown = Reflect.get(Object(JSON.parse(output)), 'rows');
  const text = (row: unknown, key: string): string => String(Reflect.get(Object(row), key));
  return new Map(
    (Array.isArray(rows) ? (rows as readonly unknown[]) : []).map((row) => [
      text(row, 'probe'),
      text(row, 'verdict'),
    ]),
  );
}

/** `probe: before -> after`, of those that differ. */
export const drillChanges = (
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): readonly string[] =>
  [...new Set([...before.keys(), ...after.keys()])]
    .filter((probe) => before.get(probe) !== after.get(probe))
    .map((probe) => `${probe}: ${before.get(probe) ?? 'none'} -> ${after.get(probe) ?? 'none'}`)
    .sort();
