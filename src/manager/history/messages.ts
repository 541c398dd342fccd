/** What the manager's thread and the one that keeps the history say to each other: plain data. */

/** One entry as it is kept; times in milliseconds since the epoch. */
export interface StoredEntry {
  readonly at: number;
  readonly uid: number;
  readonly user: string;
  readonly pid: number | null;
  readonly call: string;
  readonly machine: string | null;
  /** Whose the machine was then: the owner may read the entry. */
  readonly owner: number | null;
  readonly outcome: string;
  readonly code: string | null;
  readonly rule: string | null;
  readonly details: string | null;
  /** Of a user without any right: such entries have one share of the room together. */
  readonly stranger: boolean;
}

export type KeptEntry = StoredEntry & { readonly id: number };

/** A request to the broker: when it was sent, and when it was answered, each a row. */
export interface BrokerAction {
  readonly at: number;
  readonly call: string;
  readonly machine: string;
  readonly phase: 'asked' | 'answered' | 'refused';
}

export interface EntryFilter {
  readonly machine: string | null;
  /** Name or uid. */
  readonly user: string | null;
  readonly refused: boolean;
  readonly since: number | null;
  /** Only entries of this uid, and of machines that were this uid's; null: all. */
  readonly visibleTo: number | null;
  readonly limit: number;
}

export type ThreadRequest =
  | {
      readonly ask: 'write';
      readonly entries: readonly StoredEntry[];
      readonly actions: readonly BrokerAction[];
    }
  | { readonly ask: 'entries'; readonly filter: EntryFilter }
  | { readonly ask: 'actions'; readonly since: number };

export interface ThreadResults {
  readonly write: readonly KeptEntry[];
  /** Oldest first. */
  readonly entries: readonly KeptEntry[];
  readonly actions: readonly BrokerAction[];
}

export type ThreadReply =
  | { readonly ok: true; readonly result: unknown; readonly damaged: string | null }
  | { readonly ok: false; readonly reason: string };
