/**
 * What is under way on one machine: one operation at a time. Who asks for the same as what is under way gets its
 * outcome; who asks for something else waits, except for a stop, which ends a start.
 */
import type { Outcome } from '../outcome.ts';

export type OperationKind = 'start' | 'stop' | 'save' | 'move' | 'change' | 'swap';

export interface Operation {
  readonly kind: OperationKind;
  /** Asks the operation to give up. It ends cleanly, and `done` then says so. */
  readonly abort: () => void;
  /** Never rejects. */
  readonly done: Promise<Outcome<string>>;
}

export class Operations {
  #current: Operation | undefined;
  readonly #onBug: (error: unknown) => Outcome<never>;

  constructor(onBug: (error: unknown) => Outcome<never>) {
    this.#onBug = onBug;
  }

  get current(): Operation | undefined {
    return this.#current;
  }

  /** Begins an operation; there must be none. */
  begin(kind: OperationKind, work: (signal: AbortSignal) => Promise<Outcome<string>>): Operation {
    if (this.#current !== undefined) throw new Error(`${this.#current.kind} is under way`);
    const controller = new AbortController();
    const done = work(controller.signal)
      .catch((error: unknown) => this.#onBug(error))
      .finally(() => {
        this.#current = undefined;
      });
    this.#current = {
      kind,
      done,
      abort: () => {
        controller.abort();
      },
    };
    return this.#current;
  }
}
