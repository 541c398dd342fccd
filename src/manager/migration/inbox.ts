/** What has come and was not taken yet, in its order. One taker at a time. */
export class Inbox<Item> {
  readonly #items: Item[] = [];
  #ended = false;
  #wake: (() => void) | undefined;

  get length(): number {
    return this.#items.length;
  }

  get first(): Item | undefined {
    return this.#items[0];
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#wake?.();
  }

  /** Nothing more comes; what is there can still be taken. */
  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  /** Undefined: nothing comes any more. */
  async next(timeoutMs: number, signal?: AbortSignal): Promise<Item | 'late' | 'aborted' | undefined> {
    const giveUpAt = performance.now() + timeoutMs;
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) return item;
      if (this.#ended) return undefined;
      if (signal?.aborted === true) return 'aborted';
      const leftMs = giveUpAt - performance.now();
      if (leftMs <= 0) return 'late';
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
        signal?.addEventListener('abort', this.#wake, { once: true });
      });
      if (this.#wake !== undefined) signal?.removeEventListener('abort', this.#wake);
      this.#wake = undefined;
    }
  }
}
