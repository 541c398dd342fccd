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

export class ChangeLog {
  readonly #path: string;
  readonly #now: () => Date;
  readonly #onFault: (error: unknown) => void;
  #writes: Promise<void> = Promise.resolve();

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
    const line = `${JSON.stringify({ at: this.#now().toISOString(), uid, user, ...change })}\n`;
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
