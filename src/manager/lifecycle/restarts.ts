/** Restarts of one machine by itself: how many there were, the one that is waited for, and why there are no more. */
import { decideRestart, restartsWithin, type EndCause, type RestartRules } from './restart-policy.ts';

export interface PendingRestart {
  /** What it answers. */
  readonly cause: EndCause;
  /** ISO 8601. */
  readonly at: string;
  readonly attempt: number;
  readonly of: number;
}

/** What a successor of the manager must know for the ceiling to hold, and for a wait to go on. */
export interface RestartNote {
  /** When the machine was restarted by itself, ms since the epoch. */
  readonly times: readonly number[];
  readonly pending: PendingRestart | null;
  readonly givenUp: string | null;
}

export interface RestartServices {
  readonly now: () => Date;
  /** The rules of now; undefined: nothing is restarted (not defined, or the host goes down). */
  readonly rules: () => RestartRules | undefined;
  /** The waiting time is over. */
  readonly start: (pending: PendingRestart) => void;
  /** Something that is shown or kept changed; `text` is for the machine's log. */
  readonly onChange: (change: {
    readonly event: 'restart-planned' | 'restart-given-up' | 'restart-cancelled';
    readonly text: string;
    readonly by: string | null;
  }) => void;
}

/** setTimeout(3) of Node takes no more. */
const longestTimerMs = 2 ** 31 - 1;

export class Restarts {
  readonly #services: RestartServices;
  #times: readonly number[] = [];
  #pending: PendingRestart | null = null;
  #timer: NodeJS.Timeout | undefined;
  #givenUp: string | null = null;

  constructor(services: RestartServices) {
    this.#services = services;
  }

  get pending(): PendingRestart | null {
    return this.#pending;
  }

  /** Why it is not restarted any more. */
  get givenUp(): string | null {
    return this.#givenUp;
  }

  get note(): RestartNote {
    return { times: [...this.#times], pending: this.#pending, givenUp: this.#givenUp };
  }

  /** A run ended, or a restart did not come to run. */
  ended(cause: EndCause): void {
    const rules = this.#services.rules();
    if (rules === undefined) return;
    const now = this.#services.now().getTime();
    this.#times = restartsWithin(this.#times, rules.restart.within, now);
    const decision = decideRestart(cause, rules, { restarts: this.#times, now });
    if (decision.kind === 'none') return;
    if (decision.kind === 'give-up') {
      const { restarts, withinMs } = decision;
      this.#givenUp = `restarted ${restarts} ${restarts === 1 ? 'time' : 'times'} within ${withinMs / 1000} s; not restarted any more`;
      this.#services.onChange({ event: 'restart-given-up', text: this.#givenUp, by: null });
      return;
    }
    const { afterMs, attempt, of } = decision;
    this.#wait({ cause, at: new Date(now + afterMs).toISOString(), attempt, of });
    const text = `restarts in ${afterMs / 1000} s, ${attempt} of ${of}`;
    this.#services.onChange({ event: 'restart-planned', text, by: null });
  }

  /** Whether one was waited for: what `by` did comes instead of it. */
  cancel(by: string): boolean {
    if (this.#pending === null) return false;
    this.#forgetPending();
    this.#services.onChange({ event: 'restart-cancelled', text: `the restart was cancelled by ${by}`, by });
    return true;
  }

  /** A user starts the machine: what was before counts no more. */
  startedByHand(): void {
    this.#times = [];
    this.#givenUp = null;
    this.#forgetPending();
  }

  /** A run has begun, whoever began it: there is nothing to wait for. */
  begun(): void {
    this.#forgetPending();
  }

  /** What an earlier manager kept. `resume` waits on, where no run has come meanwhile. */
  recall({ times, pending, givenUp }: RestartNote): void {
    this.#times = times;
    this.#pending = pending;
    this.#givenUp = givenUp;
  }

  /** Waits for the restart that was recalled; one whose time has passed comes at once. */
  resume(): void {
    if (this.#pending !== null) this.#wait(this.#pending);
  }

  /** The manager ends; its successor waits on. */
  release(): void {
    clearTimeout(this.#timer);
  }

  #forgetPending(): void {
    clearTimeout(this.#timer);
    this.#pending = null;
  }

  #wait(pending: PendingRestart): void {
    this.#pending = pending;
    clearTimeout(this.#timer);
    const leftMs = Math.max(0, Date.parse(pending.at) - this.#services.now().getTime());
    this.#timer = setTimeout(
      () => {
        if (leftMs > longestTimerMs) this.#wait(pending);
        else this.#fire(pending);
      },
      Math.min(leftMs, longestTimerMs),
    );
    this.#timer.unref();
  }

  #fire(pending: PendingRestart): void {
    const rules = this.#services.rules();
    // The host goes down, or the definition has another word for it meanwhile.
    if (
      rules === undefined ||
      decideRestart(pending.cause, rules, { restarts: [], now: 0 }).kind === 'none'
    ) {
      this.cancel(rules === undefined ? 'the end of the host' : 'a change of the definition');
      return;
    }
    this.#pending = null;
    this.#times = [...this.#times, this.#services.now().getTime()];
    this.#services.start(pending);
  }
}
