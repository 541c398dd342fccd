/** A QEMU process that is not our child: whether it lives, and how it ended where the kernel tells. */
import { closeSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { openPidfd, pidfdEnded, pidfdExit } from '../../linux/pidfd.ts';
import { isAlive } from '../../linux/process.ts';

export interface ProcessEnd {
  readonly signal: string | null;
  readonly exitCode: number | null;
}

/** A pidfd becomes readable at the end of its process, but libuv cannot wait for one: so a poll, and only around an end. */
const pollMs = 4;

export class ProcessWatch implements Disposable {
  readonly pid: number;
  #pidfd: number | undefined;

  constructor(pid: number, startTime: number) {
    this.pid = pid;
    this.#pidfd = openPidfd(pid);
    // The pid may have been given to another process before we opened it.
    if (!isAlive(pid, startTime)) this[Symbol.dispose]();
  }

  get alive(): boolean {
    return this.#pidfd !== undefined && !pidfdEnded(this.#pidfd);
  }

  /** Waits for the end; false where it still lives after `timeoutMs`. */
  async gone(timeoutMs: number): Promise<boolean> {
    const giveUpAt = performance.now() + timeoutMs;
    while (this.alive) {
      if (performance.now() >= giveUpAt) return false;
      await wait(pollMs);
    }
    return true;
  }

  /** How it ended. The kernel tells from 6.15 on, and only once the process was reaped; else undefined after `timeoutMs`. */
  async end(timeoutMs: number): Promise<ProcessEnd | undefined> {
    const giveUpAt = performance.now() + timeoutMs;
    while (this.#pidfd !== undefined) {
      const exit = pidfdExit(this.#pidfd);
      if (exit.known) return { signal: exit.signal, exitCode: exit.exitCode };
      if (performance.now() >= giveUpAt) return undefined;
      await wait(pollMs);
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    if (this.#pidfd !== undefined) closeSync(this.#pidfd);
    this.#pidfd = undefined;
  }
}
