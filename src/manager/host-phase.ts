/** Whether the host comes up, is up, or goes down: what starts of machines are held against. */
import { failure } from './outcome.ts';

export type Phase = 'up' | 'booting' | 'going-down';

export class HostPhase {
  #phase: Phase = 'up';
  #boot: AbortController | undefined;

  get now(): Phase {
    return this.#phase;
  }

  /** The host starts its machines, until `endBoot`; the signal fires where it goes down meanwhile. A host that went down stays up. */
  beginBoot(): AbortSignal {
    this.#boot ??= new AbortController();
    this.#phase = 'booting';
    return this.#boot.signal;
  }

  endBoot(): void {
    this.#boot = undefined;
    if (this.#phase === 'booting') this.#phase = 'up';
  }

  /** From here on nothing starts; a boot that is under way is ended. */
  goDown(): void {
    this.#phase = 'going-down';
    this.#boot?.abort(new Error('the host goes down'));
    this.#boot = undefined;
  }

  /** The host stays up after all. */
  stayUp(): void {
    if (this.#phase === 'going-down') this.#phase = 'up';
  }

  /** Why no machine starts now; undefined: they may. */
  refusal(machine: string): ReturnType<typeof failure> | undefined {
    if (this.#phase !== 'going-down') return undefined;
    return failure(
      'host-going-down',
      `machine "${machine}" was not started: the host goes down`,
      'where it stays up after all: `sudo qward host start-machines`, which starts what starts with the host',
    );
  }
}
