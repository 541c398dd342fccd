/** What happens to machines: kept for a while, and told to whoever listens. */
import type { MachineEvent } from '../api/contract.ts';

export type EventListener = (event: MachineEvent) => void;

/** Keeps the last `capacity` events. Listeners are called at once and must not wait. */
export class EventHistory {
  readonly #capacity: number;
  readonly #now: () => Date;
  readonly #events: MachineEvent[] = [];
  readonly #listeners = new Set<EventListener>();

  constructor(capacity: number, now: () => Date) {
    this.#capacity = capacity;
    this.#now = now;
  }

  emit(
    event: string,
    machine: string | null,
    by: string | null,
    details: MachineEvent['details'] = {},
  ): void {
    const entry: MachineEvent = { at: this.#now().toISOString(), event, machine, by, details };
    this.#events.push(entry);
    if (this.#events.length > this.#capacity) this.#events.shift();
    for (const listener of this.#listeners) listener(entry);
  }

  /** The last `count` events, oldest first. */
  recent(count: number): readonly MachineEvent[] {
    return count <= 0 ? [] : this.#events.slice(-count);
  }

  /** The same without what happened under a name before the machine that has it now. */
  recentOfPresent(count: number): readonly MachineEvent[] {
    const recent = this.recent(count);
    const begins = new Map(
      recent.map(({ event, machine }, index) => [isBirth(event) ? machine : null, index]),
    );
    return recent.filter(({ machine }, index) => machine === null || index >= (begins.get(machine) ?? 0));
  }

  /** Calls back for each event from now on; the result ends it. */
  subscribe(listener: EventListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
}

/** With it begins what belongs to a machine of this name. */
export const isBirth = (event: string): boolean => event === 'machine.defined' || event === 'machine.renamed';
