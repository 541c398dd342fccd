/** Every call that changes something: who, what, which machine, and whether it was allowed. Append-only, JSON lines. */
import { appendFile, rename, stat } from 'node:fs/promises';
import type { Identity } from './roles.ts';

export interface Change {
  readonly call: string;
  readonly machine: string | null;
  /** `done`, or the code of the fault with which it was refused or failed. */
  readonly outcome: string;
  /** What was asked for, where the call alone does not say it. */
  readonly details?: string;
}

const maxFileBytes = 16 * 1024 * 1024;
/** Refusals of users without any right: so many at once, and then one in so long. */
const strangerBurst = 20;
const strangerEveryMs = 10_000;

export class ChangeLog {
  readonly #path: string;
  readonly #now: () => Date;
  readonly #onFault: (error: unknown) => void;
  #writes: Promise<void> = Promise.resolve();
  #strangerLines = strangerBurst;
  #strangerAt = 0;
  #leftOut = 0;

  /** `onFault`: a change could not be logged; the change itself stands. */
  constructor(
    path: string,
    options: { readonly now: () => Date; readonly onFault: (error: unknown) => void },
  ) {
    this.#path = path;
    this.#now = options.now;
    this.#onFault = options.onFault;
  }

  write({ uid, user }: Identity, change: Change): void {
    this.#writeLine({ at: this.#now().toISOString(), uid, user, ...change });
  }

  /** SECURITY: promise 4. Who has no right here cannot push out by refusals what others did: most are only counted. */
  writeStranger({ uid, user }: Identity, { call, machine, outcome }: Change): void {
    const at = this.#now();
    const earned = Math.floor((at.getTime() - this.#strangerAt) / strangerEveryMs);
    if (earned !== 0) {
      this.#strangerLines = Math.min(strangerBurst, this.#strangerLines + Math.max(0, earned));
      this.#strangerAt = at.getTime();
    }
    if (this.#strangerLines === 0) {
      this.#leftOut += 1;
      return;
    }
    this.#strangerLines -= 1;
    const leftOut = this.#leftOut === 0 ? {} : { leftOut: this.#leftOut };
    this.#leftOut = 0;
    const named = machine?.slice(0, 63) ?? null;
    this.#writeLine({ at: at.toISOString(), uid, user, call, machine: named, outcome, ...leftOut });
  }

  #writeLine(entry: object): void {
    const line = `${JSON.stringify(entry)}\n`;
    this.#writes = this.#writes.then(() => this.#append(line)).catch(this.#onFault);
  }

  /** Waits until what was written so far is in the file. */
  async flush(): Promise<void> {
    await this.#writes;
  }

  async #append(line: string): Promise<void> {
    const size = await stat(this.#path).then(
      (stats) => stats.size,
      () => 0,
    );
    if (size > maxFileBytes) await rename(this.#path, `${this.#path}.1`);
    await appendFile(this.#path, line, { mode: 0o600 });
  }
}
