/**
 * Lets guests wait until no other machine is being brought up: a guest that boots takes the CPU from QEMUs that are
 * still starting, and ten starts at once end later for each. A start alone waits for nothing.
 */
export class StartGate {
  #underway = 0;
  readonly #waiting = new Set<() => void>();

  /** A machine is being brought up, until the returned function is called (once; later calls do nothing). */
  enter(): () => void {
    this.#underway += 1;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#underway -= 1;
      if (this.#underway > 0) return;
      for (const go of this.#waiting) go();
    };
  }

  /** Resolves when nothing is being brought up, after `limitMs` (starts that never cease hold up nobody), or on abort. */
  async quiet(limitMs: number, signal: AbortSignal): Promise<void> {
    if (this.#underway === 0 || signal.aborted) return;
    await new Promise<void>((resolve) => {
      const go = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(go);
        signal.removeEventListener('abort', go);
        resolve();
      };
      const timer = setTimeout(go, limitMs);
      this.#waiting.add(go);
      signal.addEventListener('abort', go);
    });
  }
}
