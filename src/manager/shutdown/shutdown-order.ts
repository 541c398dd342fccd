/** In which order machines end with the host: the reverse of that in which they start. Pure. */

export interface Ordered {
  readonly name: string;
  /** Machines that start before this one. */
  readonly after: readonly string[];
}

/**
 * For each machine, those that must have ended before it is ended: all that come after it, also by way of machines that
 * are in between. Of machines that come after each other none waits for the other.
 */
export function endsBefore(machines: readonly Ordered[]): ReadonlyMap<string, ReadonlySet<string>> {
  const dependents = new Map<string, string[]>();
  for (const { name, after } of machines)
    for (const other of after) dependents.set(other, [...(dependents.get(other) ?? []), name]);
  const reached = new Map(machines.map(({ name }) => [name, reachable(name, dependents)]));
  return new Map(
    [...reached].map(([name, later]) => [
      name,
      new Set([...later].filter((other) => reached.get(other)?.has(name) !== true)),
    ]),
  );
}

/** All that come after it; itself too where it is in a circle. */
function reachable(start: string, dependents: ReadonlyMap<string, readonly string[]>): ReadonlySet<string> {
  const found = new Set<string>();
  const open = [start];
  for (const name of open)
    for (const next of dependents.get(name) ?? [])
      if (!found.has(next)) {
        found.add(next);
        open.push(next);
      }
  return found;
}
