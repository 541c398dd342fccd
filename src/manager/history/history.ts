/**
 * Who did, or tried to do, what: kept beside the calls, never before them. Entries are handed on in batches a tenth of a
 * second after the first of them; a manager that is killed loses no more than those. What a full disk refuses waits.
 */
import type { Identity } from '../roles.ts';
import type {
  BrokerAction,
  EntryFilter,
  KeptEntry,
  StoredEntry,
  ThreadRequest,
  ThreadResults,
} from './messages.ts';
import { inTime } from './in-time.ts';
import { HistoryWorker } from './worker.ts';

export interface Change {
  readonly call: string;
  readonly machine: string | null;
  /** Uid of the machine's owner; null: none. */
  readonly owner: number | null;
  readonly outcome: 'begun' | 'done' | 'refused' | 'failed';
  readonly code: string | null;
  readonly rule: string | null;
  readonly details: string | null;
}

export interface HistoryState {
  /** Why the last batch could not be written; null: it could. */
  readonly fault: string | null;
  readonly waiting: number;
  /** Entries that found no room while nothing could be written. */
  readonly lost: number;
  readonly damaged: string | null;
}

export interface HistoryOptions {
  readonly path: string;
  readonly now: () => Date;
  /** The first failure of a row of them. */
  readonly onFault: (error: unknown) => void;
}

const batchMs = 100;
const retryMs = 5000;
const maxWaiting = 10_000;
/** Refusals of users without any right: so many at once, and then one in so long. */
const strangerBurst = 20;
const strangerEveryMs = 10_000;
/** Who asks for the history waits so long for its disk; and one that is silent for so long is told of. */
const patienceMs = 5000;
const silence = (ms: number): string => `its disk has not answered for ${Math.round(ms / 1000)} s`;
const maxNameLength = 63;

export class History {
  readonly #options: HistoryOptions;
  readonly #worker: HistoryWorker;
  readonly #listeners = new Set<(entry: KeptEntry) => void>();
  #entries: StoredEntry[] = [];
  #actions: BrokerAction[] = [];
  #timer: NodeJS.Timeout | undefined;
  #due = 0;
  #writing: Promise<void> | undefined;
  /** What is being written, and since when (`performance.now`). */
  #under = { entries: 0, since: 0 };
  #fault: string | null = null;
  #lost = 0;
  #strangersLeft = strangerBurst;
  #strangerAt = 0;
  #leftOut = 0;
  #ended = false;

  constructor(options: HistoryOptions) {
    this.#options = options;
    this.#worker = new HistoryWorker(options.path);
  }

  record(identity: Identity, change: Change): void {
    this.#add(identity, change, false);
  }

  /** SECURITY: promise 4. Who has no right here cannot push out by refusals what others did: most are only counted. */
  recordStranger(identity: Identity, change: Change): void {
    const at = this.#options.now().getTime();
    const earned = Math.floor((at - this.#strangerAt) / strangerEveryMs);
    if (earned !== 0) {
      this.#strangersLeft = Math.min(strangerBurst, this.#strangersLeft + Math.max(0, earned));
      this.#strangerAt = at;
    }
    if (this.#strangersLeft === 0) {
      this.#leftOut += 1;
      return;
    }
    this.#strangersLeft -= 1;
    const details =
      this.#leftOut === 0 ? null : `${this.#leftOut} more of users without rights were left out`;
    this.#leftOut = 0;
    this.#add(identity, { ...change, details }, true);
  }

  /** A request to the broker, to be compared with the broker's own log. */
  recordAction(action: Omit<BrokerAction, 'at'>): void {
    if (this.#actions.length < maxWaiting)
      this.#actions.push({ at: this.#options.now().getTime(), ...action });
    this.#schedule(batchMs);
  }

  /** The last `filter.limit` entries, oldest first, those of this moment among them. */
  async entries(filter: EntryFilter): Promise<readonly KeptEntry[]> {
    return await this.#ask({ ask: 'entries', filter });
  }

  async actions(since: number): Promise<readonly BrokerAction[]> {
    return await this.#ask({ ask: 'actions', since });
  }

  /** Throws where the disk does not answer in time: whoever waits for it longer is told nothing. */
  async #ask<Ask extends ThreadRequest['ask']>(
    request: Extract<ThreadRequest, { ask: Ask }>,
  ): Promise<ThreadResults[Ask]> {
    const work = this.flush().then(() => this.#worker.ask(request));
    return await inTime(work, patienceMs, silence(patienceMs));
  }

  /** Calls back for each entry once it is kept; the result ends it. */
  subscribe(listener: (entry: KeptEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  get state(): HistoryState {
    const { entries, since } = this.#under;
    const silentMs = this.#writing === undefined ? 0 : performance.now() - since;
    return {
      fault: silentMs > patienceMs ? silence(silentMs) : this.#fault,
      lost: this.#lost,
      waiting: this.#entries.length + entries,
      damaged: this.#worker.damaged,
    };
  }

  /** Tries to write all that waits. */
  async flush(): Promise<void> {
    await this.#writing;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#entries.length + this.#actions.length > 0) await (this.#writing = this.#write());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended = true;
    // A disk that does not answer keeps no manager from ending.
    await inTime(this.flush(), patienceMs, silence(patienceMs)).catch(() => undefined);
    clearTimeout(this.#timer);
    await this.#worker.end();
  }

  #add({ uid, user, pid }: Identity, change: Change, stranger: boolean): void {
    if (this.#entries.length >= maxWaiting) {
      this.#lost += 1;
      return;
    }
    const at = this.#options.now().getTime();
    const machine = change.machine?.slice(0, maxNameLength) ?? null;
    this.#entries.push({ at, uid, user, pid, ...change, machine, stranger });
    this.#schedule(batchMs);
  }

  /** The earlier of this time and one that was set before: a new entry may find room where the last one did not. */
  #schedule(afterMs: number): void {
    // Calls may end after the history has: what they say is not tried for ever.
    if (this.#ended) return;
    const due = performance.now() + afterMs;
    if (this.#timer !== undefined && this.#due <= due) return;
    clearTimeout(this.#timer);
    this.#due = due;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      void this.flush();
    }, afterMs);
  }

  async #write(): Promise<void> {
    const [entries, actions] = [this.#entries, this.#actions];
    [this.#entries, this.#actions] = [[], []];
    this.#under = { entries: entries.length, since: performance.now() };
    try {
      const kept = await this.#worker.ask({ ask: 'write', entries, actions });
      this.#fault = null;
      for (const entry of kept) for (const listener of this.#listeners) listener(entry);
    } catch (error) {
      if (this.#fault === null) this.#options.onFault(error);
      this.#fault = error instanceof Error ? error.message : String(error);
      this.#entries = [...entries, ...this.#entries];
      this.#actions = [...actions, ...this.#actions];
      this.#schedule(retryMs);
    } finally {
      this.#under = { entries: 0, since: 0 };
      this.#writing = undefined;
    }
  }
}
