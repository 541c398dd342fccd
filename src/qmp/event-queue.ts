import { type QmpEvent, eventKey } from './events.ts';
import { maxQueuedEvents } from './limits.ts';

/** An event, and how many like it have come since its reader last looked. */
export interface CountedEvent {
  readonly event: QmpEvent;
  readonly count: number;
}

/**
 * Events on their way to one reader. Equal ones are coalesced at the place of the newest, so that the last of
 * STOP and RESUME is still the last; of too many different ones the oldest go, those without a meaning to us first.
 */
export class EventQueue implements AsyncIterable<CountedEvent> {
  /** Oldest first: a Map keeps the order of insertion. */
  readonly #waiting = new Map<string, CountedEvent>();
  readonly #capacity: number;
  #dropped = 0;
  #closed = false;
  #hasReader = false;
  #wake: (() => void) | undefined;

  constructor(capacity: number = maxQueuedEvents) {
    this.#capacity = capacity;
  }

  /** How many events were thrown away, coalesced ones not counted. */
  get dropped(): number {
    return this.#dropped;
  }

  push(event: QmpEvent): void {
    const key = eventKey(event);
    const count = (this.#waiting.get(key)?.count ?? 0) + 1;
    this.#waiting.delete(key);
    this.#waiting.set(key, { event, count });
    if (this.#waiting.size > this.#capacity) this.#dropOldest();
    this.#wake?.();
  }

  /** No more will come; what waits is still delivered. */
  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<CountedEvent, void, undefined> {
    if (this.#hasReader)
      throw new Error('the events of a QMP session have one reader, and it is there already');
    this.#hasReader = true;
    for (;;) {
      const [oldest] = this.#waiting;
      if (oldest !== undefined) {
        this.#waiting.delete(oldest[0]);
        yield oldest[1];
      } else if (this.#closed) {
        return;
      } else {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
    }
  }

  /** SECURITY: rule QMP. A flood of made-up events cannot push out one that the manager acts on. */
  #dropOldest(): void {
    const [oldest] = this.#waiting.keys();
    const victim = [...this.#waiting].find(([, { event }]) => event.name === 'other')?.[0] ?? oldest;
    const lost = victim === undefined ? undefined : this.#waiting.get(victim);
    if (victim === undefined || lost === undefined) return;
    this.#waiting.delete(victim);
    this.#dropped += lost.count;
  }
}
