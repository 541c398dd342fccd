/** One change at a time for each name of a machine; others wait. */
export class NameLocks {
  readonly #tails = new Map<string, Promise<unknown>>();

  /** Runs `work` when nobody else has one of these names. */
  async hold<Result>(names: readonly string[], work: () => Promise<Result>): Promise<Result> {
    const before = names.map((name) => this.#tails.get(name) ?? Promise.resolve());
    const turn = Promise.all(before).then(work);
    const tail = turn.catch(() => undefined);
    for (const name of names) this.#tails.set(name, tail);
    try {
      return await turn;
    } finally {
      for (const name of names) if (this.#tails.get(name) === tail) this.#tails.delete(name);
    }
  }
}
