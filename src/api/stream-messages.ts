/** What the streams carry in their text frames. */
import type { ApiFault } from './errors.ts';

/** One text frame of the event stream. */
export interface MachineEvent {
  readonly at: string;
  /** Past tense: machine.defined, machine.started, machine.stopped, machine.crashed, machine.changed, machine.removed, guest.reset, … */
  readonly event: string;
  readonly machine: string | null;
  readonly by: string | null;
  readonly details: Readonly<Record<string, unknown>>;
}

/** One text frame of the console stream; the bytes of the guest are in binary frames. */
export interface ConsoleNotice {
  /**
   * attached: first frame. replayed: the scroll-back, where there was any, has been sent; what follows is new. lost: bytes were dropped, here or before the scroll-back. writer-taken: another client took
   * the right to write (`steal`); this one goes on as a watcher. ended: the machine stopped or the manager goes down;
   * the stream closes after it.
   */
  readonly notice: 'attached' | 'replayed' | 'lost' | 'writer-taken' | 'ended';
  /** Whether this client may write from now on. */
  readonly writer: boolean;
  /** A line for people. */
  readonly message: string;
  /** Offset of the next byte that follows, of all that the guest has ever written; in `attached` and `lost`. */
  readonly offset?: number;
  /** In `ended`: the machine goes on, and the next manager has its console. */
  readonly goesOn?: true;
}

/** One text frame of the stream of a throwaway machine. */
export interface ThrowawayNotice {
  /**
   * named: first frame; the client claims its files for the machine of this name, and sends its wish. waiting: `before` others are to
   * start first. starting, started, ready: how far it is; from `ready` on the runner in the guest hears. ended: the machine is over,
   * and why; failed: it did not come up, by `faults`. The stream closes after these two.
   */
  readonly notice: 'named' | 'waiting' | 'starting' | 'started' | 'ready' | 'ended' | 'failed';
  readonly name: string;
  /** A line for people. */
  readonly message: string;
  readonly before?: number;
  readonly faults?: readonly ApiFault[];
}

/** One text frame of the stream of a guest's file; the file itself is in binary frames. */
export interface FileNotice {
  /** progress: so much was written in the guest. done: all of it. failed: no more of it; the stream closes after these two. */
  readonly notice: 'progress' | 'done' | 'failed';
  readonly bytes: number;
  /** Why it failed, a line for people; the guest may have written a part of it. */
  readonly message: string;
}
