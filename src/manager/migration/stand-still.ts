/** How long a guest stands still while the rest of its memory goes over: a peer that takes that drop by drop does not keep it so. */
export class StandStill {
  /** Milliseconds. */
  readonly limitMs: number;
  #since: number | undefined;

  /** `downtimeMs`: how long it may stand still as its user said. */
  constructor(downtimeMs: number) {
    this.limitMs = Math.max(10 * downtimeMs, leastMs);
  }

  /** Whether it is too long by `now`, in ms of a clock that does not jump, when QEMU was asked whether the guest runs. */
  isTooLong(running: boolean, now: number): boolean {
    if (running) this.#since = undefined;
    else this.#since ??= now;
    return this.#since !== undefined && now - this.#since > this.limitMs;
  }
}

/** The end of a move on a slow disk or a busy host takes seconds. */
const leastMs = 30_000;
