import type { Failed } from '../outcome.ts';

/** The machine has it, or has it no more; the definition was not changed. */
export function halfDone(done: string, machine: string, { faults }: Failed): Failed {
  const [first, ...rest] = faults;
  if (first === undefined) return { ok: false, faults };
  const message = `${done}, and the definition of machine "${machine}" was not changed: ${first.message}`;
  return { ok: false, faults: [{ ...first, message }, ...rest] };
}
