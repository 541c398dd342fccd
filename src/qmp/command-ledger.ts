import type { CommandResult } from './command-result.ts';

interface Waiting {
  readonly resolve: (result: CommandResult<unknown>) => void;
  readonly timer: NodeJS.Timeout;
}

/** The longest delay that a timer of Node takes; a longer one would fire at once. */
const longestMs = 2 ** 31 - 1;

/** Which ids are out, who waits for each, and how long still. */
export class CommandLedger {
  readonly #waiting = new Map<string, Waiting>();
  /** Commands whose deadline has passed and that QEMU may still answer. */
  readonly #late = new Set<string>();
  readonly #onTimeout: (timeoutsInARow: number) => void;
  #lastId = 0;
  #timeoutsInARow = 0;

  constructor(onTimeout: (timeoutsInARow: number) => void) {
    this.#onTimeout = onTimeout;
  }

  /** Commands without an answer, late ones included. */
  get outstanding(): number {
    return this.#waiting.size + this.#late.size;
  }

  nextId(): string {
    this.#lastId += 1;
    return String(this.#lastId);
  }

  /** The result of the command `id`, at the latest after `timeoutMs`. Never rejects. */
  expect(id: string, command: string, timeoutMs: number): Promise<CommandResult<unknown>> {
    return new Promise((resolve) => {
      // By way of setImmediate: where we were busy ourselves, the answer may lie in the socket unread.
      const expire = (): unknown => setImmediate(() => this.#timeOut(id, command, timeoutMs));
      const timer = setTimeout(expire, Math.min(timeoutMs, longestMs));
      this.#waiting.set(id, { resolve, timer });
    });
  }

  /** False: no command of this id is out, or it was answered before. */
  settle(id: string, result: CommandResult<unknown>): boolean {
    // SECURITY: rule QMP. Each id is answered once; a late answer is dropped, not given to another.
    if (this.#late.delete(id)) return true;
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return false;
    this.#waiting.delete(id);
    clearTimeout(waiting.timer);
    this.#timeoutsInARow = 0;
    waiting.resolve(result);
    return true;
  }

  endAll(message: string): void {
    for (const { resolve, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      resolve({ ok: false, code: 'session-ended', message });
    }
    this.#waiting.clear();
    this.#late.clear();
  }

  #timeOut(id: string, command: string, timeoutMs: number): void {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return;
    this.#waiting.delete(id);
    this.#late.add(id);
    this.#timeoutsInARow += 1;
    const message = `QEMU did not answer "${command}" within ${timeoutMs} ms; it may be busy or hung, and may still do it`;
    waiting.resolve({ ok: false, code: 'timed-out', message });
    this.#onTimeout(this.#timeoutsInARow);
  }
}
