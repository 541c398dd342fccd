import { maxRestMs, readBudget } from './limits.ts';

/** What one chunk cost. */
export interface Spent {
  readonly bytes: number;
  readonly events: number;
  readonly busyMs: number;
}

/** Spends what may be read of one peer. It can go into debt by one chunk; reading rests until that is paid. */
export class ReadBudget {
  readonly #bytes: Bucket;
  readonly #events: Bucket;
  readonly #busyMs: Bucket;

  constructor(nowMs: number) {
    this.#bytes = new Bucket(readBudget.bytes, nowMs);
    this.#events = new Bucket(readBudget.events, nowMs);
    this.#busyMs = new Bucket(readBudget.busyMs, nowMs);
  }

  /** Milliseconds for which reading should rest; 0: go on. */
  spend(spent: Spent, nowMs: number): number {
    return Math.max(
      this.#bytes.spend(spent.bytes, nowMs),
      this.#events.spend(spent.events, nowMs),
      this.#busyMs.spend(spent.busyMs, nowMs),
    );
  }
}

class Bucket {
  readonly #burst: number;
  readonly #perMs: number;
  #left: number;
  #atMs: number;

  constructor({ burst, perSecond }: { readonly burst: number; readonly perSecond: number }, nowMs: number) {
    this.#burst = burst;
    this.#perMs = perSecond / 1000;
    this.#left = burst;
    this.#atMs = nowMs;
  }

  spend(amount: number, nowMs: number): number {
    const earned = Math.max(0, nowMs - this.#atMs) * this.#perMs;
    const left = Math.min(this.#burst, this.#left + earned) - amount;
    this.#left = Math.max(left, -maxRestMs * this.#perMs);
    this.#atMs = nowMs;
    return this.#left >= 0 ? 0 : Math.ceil(-this.#left / this.#perMs);
  }
}
