/** What is to be taken back where something fails half-way, the last first. */
export class Undo {
  readonly #steps: (() => unknown)[] = [];

  push(step: () => unknown): void {
    this.#steps.push(step);
  }

  /** All of it stays. */
  keep(): void {
    this.#steps.length = 0;
  }

  /** Each is tried, whatever becomes of the others. */
  async run(): Promise<void> {
    for (const step of this.#steps.splice(0).reverse())
      try {
        await step();
      } catch {
        // What cannot be taken back is named by the next attempt.
      }
  }
}
