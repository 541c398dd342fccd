/** In which order machines start with the host, and which of them cannot. Pure: names in, names and reasons out. */

export interface Wish {
  readonly name: string;
  /** Machines that must be ready before. */
  readonly after: readonly string[];
}

export interface World {
  /** Machines that exist. */
  readonly defined: ReadonlySet<string>;
  /** Machines that run already. */
  readonly running: ReadonlySet<string>;
}

/** Why a machine is not started, or is not ready. */
export interface Reason {
  readonly text: string;
  /** The same for who may not see all of `about`: it names only what the machine's own definition names. */
  readonly plain: string;
  /** The machines, there or not, of which `text` tells beside the one that it is about. */
  readonly about: readonly string[];
  /** Of a chain of reasons the first: what is told beside the nearest. */
  readonly root: Pick<Reason, 'text' | 'about'>;
}

export interface Order {
  /** What starts, each with what must be ready before; what runs already, and is only waited for, has `enabled` false. */
  readonly steps: readonly Step[];
  /** What does not start, whatever else does. */
  readonly held: ReadonlyMap<string, Reason>;
}

export interface Step extends Wish {
  readonly enabled: boolean;
}

/** `wishes`: the machines that are enabled, each once. Whoever comes after one that is held is held, too. */
export function orderOf(wishes: readonly Wish[], { defined, running }: World): Order {
  const enabled = new Map(wishes.map((wish) => [wish.name, wish]));
  const held = new Map<string, Reason>();
  const runsAnyway = (name: string): boolean => !enabled.has(name) && defined.has(name) && running.has(name);
  for (const { name, after } of wishes) {
    const missing = after.find((other) => !enabled.has(other) && !runsAnyway(other));
    if (missing !== undefined) held.set(name, missingReason(missing, defined.has(missing)));
  }
  for (const cycle of cyclesOf(enabled))
    for (const [index, name] of cycle.entries())
      held.set(name, cycleReason([...cycle.slice(index), ...cycle.slice(0, index), name]));
  spread(wishes, held);
  const steps = wishes.filter(({ name }) => !held.has(name)).map((wish) => ({ ...wish, enabled: true }));
  const waitedFor = new Set(steps.flatMap(({ after }) => after).filter(runsAnyway));
  return { held, steps: [...[...waitedFor].map((name) => ({ name, after: [], enabled: false })), ...steps] };
}

/** The reason of a machine that failed by itself. */
export function ownReason(text: string): Reason {
  return { text, plain: text, about: [], root: { text, about: [] } };
}

/** Why a machine is not started whose `dependency` is not ready; `what` happened to that one, and why. */
export function afterUnready(dependency: string, what: string, cause: Reason): Reason {
  return reasonAfter(dependency, {
    text: `it comes after ${dependency}, which ${what}: ${cause.text}`,
    about: [dependency, ...cause.about],
  });
}

/** The same where `dependency` was itself kept back by another: the root of it is told, not the whole chain. */
export function afterHeld(dependency: string, { root }: Reason): Reason {
  const text = `it comes after ${dependency}, which was not started either: ${root.text}`;
  return { ...reasonAfter(dependency, { text, about: [dependency, ...root.about] }), root };
}

function missingReason(other: string, isDefined: boolean): Reason {
  const text = isDefined
    ? `it comes after ${other}, which does not start with the host (\`qward autostart on ${other}\`) and does not run`
    : `it comes after ${other}, which is not defined`;
  return reasonAfter(other, { text, about: [other] });
}

/** `path`: from the machine along `after` back to it. */
function cycleReason(path: readonly string[]): Reason {
  const [, next = ''] = path;
  const text = `it comes after itself: ${path.join(' after ')}`;
  return reasonAfter(next, { text, about: [...new Set(path)] });
}

function reasonAfter(dependency: string, root: Reason['root']): Reason {
  return { ...root, plain: `it comes after ${dependency}, which is not ready`, root };
}

/** Who comes after what is held is held. Each is looked at once for every other: no order of `wishes` is assumed. */
function spread(wishes: readonly Wish[], held: Map<string, Reason>): void {
  for (let more = true; more;) {
    more = false;
    for (const { name, after } of wishes) {
      const dependency = held.has(name) ? undefined : after.find((other) => held.has(other));
      const cause = dependency === undefined ? undefined : held.get(dependency);
      if (dependency === undefined || cause === undefined) continue;
      held.set(name, afterHeld(dependency, cause));
      more = true;
    }
  }
}

/** For each machine that comes after itself a shortest way round; told once for all machines on it. */
function cyclesOf(wishes: ReadonlyMap<string, Wish>): readonly (readonly string[])[] {
  const done = new Set<string>();
  const cycles: (readonly string[])[] = [];
  for (const name of unordered(wishes)) {
    const cycle = done.has(name) ? undefined : shortestCycle(name, wishes);
    if (cycle === undefined) continue;
    for (const member of cycle) done.add(member);
    cycles.push(cycle);
  }
  return cycles;
}

/** What no order has room for, without what is only behind a cycle, or before one. */
function unordered(wishes: ReadonlyMap<string, Wish>): readonly string[] {
  const names = [...wishes.keys()];
  const after = peel(names, (name) => wishes.get(name)?.after ?? []);
  const dependents = reversed(after, (name) => wishes.get(name)?.after ?? []);
  return peel(after, (name) => dependents.get(name) ?? []);
}

/** Takes away whatever points at nothing that is left, as long as there is any (Kahn's algorithm). */
function peel(names: readonly string[], pointsAt: (name: string) => readonly string[]): readonly string[] {
  const left = new Set(names);
  const targetsOf = (name: string): readonly string[] =>
    [...new Set(pointsAt(name))].filter((one) => left.has(one));
  const counts = new Map(names.map((name) => [name, targetsOf(name).length]));
  const pointers = reversed(names, targetsOf);
  const free = names.filter((name) => counts.get(name) === 0);
  for (const name of free) {
    left.delete(name);
    for (const pointer of pointers.get(name) ?? []) {
      const count = (counts.get(pointer) ?? 0) - 1;
      counts.set(pointer, count);
      if (count === 0) free.push(pointer);
    }
  }
  return [...left];
}

function reversed(
  names: readonly string[],
  pointsAt: (name: string) => readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const pointers = new Map<string, string[]>();
  for (const name of names)
    for (const target of new Set(pointsAt(name))) {
      const known = pointers.get(target);
      if (known === undefined) pointers.set(target, [name]);
      else known.push(name);
    }
  return pointers;
}

/** From a machine along `after` back to it, breadth first; undefined: it does not come after itself. */
function shortestCycle(start: string, wishes: ReadonlyMap<string, Wish>): readonly string[] | undefined {
  const cameFrom = new Map<string, string>();
  const waiting = [start];
  for (const name of waiting)
    for (const next of wishes.get(name)?.after ?? []) {
      if (next === start) return pathTo(name, start, cameFrom);
      if (cameFrom.has(next) || !wishes.has(next)) continue;
      cameFrom.set(next, name);
      waiting.push(next);
    }
  return undefined;
}

function pathTo(end: string, start: string, cameFrom: ReadonlyMap<string, string>): readonly string[] {
  const path = [end];
  for (let name = end; name !== start;) {
    name = cameFrom.get(name) ?? start;
    path.unshift(name);
  }
  return path;
}
