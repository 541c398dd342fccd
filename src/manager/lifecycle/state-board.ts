/** State of one machine, since when, and who waits for it to change. */
import type { MachineState } from '../../api/contract.ts';

export class StateBoard {
  readonly #now: () => Date;
  readonly #onChange: () => void;
  readonly #waiting = new Set<(state: MachineState) => void>();
  #state: MachineState;
  #since: string;

  constructor(state: MachineState, options: { readonly now: () => Date; readonly onChange: () => void }) {
    this.#state = state;
    this.#now = options.now;
    this.#onChange = options.onChange;
    this.#since = options.now().toISOString();
  }

  get state(): MachineState {
    return this.#state;
  }

  /** ISO 8601. */
  get since(): string {
    return this.#since;
  }

  set(state: MachineState, since = this.#now().toISOString()): void {
    if (state === this.#state) return;
    this.#state = state;
    this.#since = since;
    this.#onChange();
    for (const tell of this.#waiting) tell(state);
  }

  /** The first of these states that is reached; undefined after `timeoutMs`, or when the signal fires. */
  reach(
    states: readonly MachineState[],
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<MachineState | undefined> {
    if (states.includes(this.#state)) return Promise.resolve(this.#state);
    return new Promise((resolve) => {
      const settle = (state: MachineState | undefined): void => {
        clearTimeout(timer);
        options.signal.removeEventListener('abort', giveUp);
        this.#waiting.delete(tell);
        resolve(state);
      };
      const tell = (state: MachineState): void => {
        if (states.includes(state)) settle(state);
      };
      const giveUp = (): void => {
        settle(undefined);
      };
      const timer = setTimeout(giveUp, options.timeoutMs);
      options.signal.addEventListener('abort', giveUp, { once: true });
      this.#waiting.add(tell);
      if (options.signal.aborted) giveUp();
    });
  }
}
