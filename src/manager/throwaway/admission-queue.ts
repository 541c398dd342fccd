/**
 * In which order throwaway machines start: as many at once as the host has memory for, the others wait, first come first served. Whose
 * own quota is used up is passed by others and keeps their place.
 */
import { readFileSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import type { Fault } from '../../definition/fault.ts';
import { failure, success, type Outcome } from '../outcome.ts';

export interface Ticket {
  readonly uid: number;
  /** Bytes of memory. */
  readonly memory: number;
  /** Why the owner's quota has no room for it. */
  readonly quota: () => Promise<readonly Fault[]>;
  /** Called at once when it is let in: from then on it counts. */
  readonly onAdmitted: () => void;
  /** Fires when nobody waits any more. */
  readonly signal: AbortSignal;
  /** So many are before it. */
  readonly onPlace: (before: number) => void;
}

/** What was let in; all of it is given back. */
export interface Place extends Disposable {
  /** The process, once there is one. */
  pid: number | undefined;
  /** It takes the host's CPUs no longer to come up. */
  readonly up: () => void;
}

interface Waiting {
  readonly ticket: Ticket;
  readonly answer: PromiseWithResolvers<Outcome<Place>>;
  told: number;
}

interface Held {
  readonly uid: number;
  readonly memory: number;
  pid: number | undefined;
  coming: boolean;
}

export interface HostMemory {
  /** Bytes that the host has. */
  readonly total: () => number;
  /** Bytes that programs can still have. */
  readonly available: () => number;
  /** Bytes that the process has. */
  readonly used: (pid: number) => number;
}

const maxWaiting = 1024;
const maxWaitingOfUser = 256;
/** Beside the guest's own, as measured with a guest that idles. */
const processBytes = 96 * 1024 ** 2;
/** Of what is available, so much stays. */
const keptShare = 0.1;
const lookEveryMs = 250;
const comingAtOnce = 2 * availableParallelism();

export const hostMemory: HostMemory = {
  total: totalmem,
  available: () => {
    const [, kib = '0'] = /^MemAvailable: +(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'latin1')) ?? [];
    return Number(kib) * 1024;
  },
  used: (pid) => {
    try {
      return Number(readFileSync(`/proc/${pid}/statm`, 'latin1').split(' ')[1]) * 4096;
    } catch {
      return 0;
    }
  },
};

export class AdmissionQueue implements Disposable {
  readonly #memory: HostMemory;
  readonly #waiting: Waiting[] = [];
  readonly #held = new Set<Held>();
  /** Something changed since the last look. */
  #changed = false;
  #looking = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(memory: HostMemory = hostMemory) {
    this.#memory = memory;
  }

  get any(): boolean {
    return this.#waiting.length > 0 || this.#held.size > 0;
  }

  /** Resolves when it is this one's turn, or with why it never is. */
  async wait(ticket: Ticket): Promise<Outcome<Place>> {
    if (ticket.signal.aborted) return failure('timed-out', 'nobody waits for it any more', '');
    const ofUser = this.#waiting.filter(({ ticket: { uid } }) => uid === ticket.uid).length;
    if (this.#waiting.length >= maxWaiting || ofUser >= maxWaitingOfUser)
      return failure(
        'resources-short',
        `${this.#waiting.length} throwaway machines wait already, ${ofUser} of them yours`,
        'try again when some are over',
      );
    const waiting: Waiting = { ticket, answer: Promise.withResolvers(), told: -1 };
    this.#waiting.push(waiting);
    const leave = (): void => {
      this.#settle(waiting, failure('timed-out', 'nobody waits for it any more', ''));
    };
    ticket.signal.addEventListener('abort', leave, { once: true });
    this.#timer ??= setInterval(() => this.#look(), lookEveryMs);
    this.#look();
    try {
      return await waiting.answer.promise;
    } finally {
      ticket.signal.removeEventListener('abort', leave);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #settle(waiting: Waiting, outcome: Outcome<Place>): void {
    const at = this.#waiting.indexOf(waiting);
    if (at === -1) return;
    this.#waiting.splice(at, 1);
    waiting.answer.resolve(outcome);
    if (this.#waiting.length === 0) this[Symbol.dispose]();
  }

  #look(): void {
    this.#changed = true;
    if (!this.#looking) void this.#lookWhileChanging();
  }

  async #lookWhileChanging(): Promise<void> {
    this.#looking = true;
    while (this.#changed) {
      this.#changed = false;
      await this.#letIn();
    }
    this.#looking = false;
  }

  async #letIn(): Promise<void> {
    const turns = [...this.#waiting];
    for (const waiting of turns) {
      const { ticket } = waiting;
      const coming = [...this.#held].filter((held) => held.coming);
      if (coming.length >= comingAtOnce) break;
      // SECURITY: promise 4. Guests that never say that they are up take no more than half of the places.
      if (coming.filter(({ uid }) => uid === ticket.uid).length >= Math.ceil(comingAtOnce / 2)) continue;
      // As it is before the question: what ends meanwhile makes room for the next look.
      const others = [...this.#held].some(({ uid }) => uid === ticket.uid);
      const over = await ticket.quota();
      // Who left meanwhile leaves no place behind that nobody has.
      if (!this.#waiting.includes(waiting)) continue;
      if (over.length > 0) {
        // What no end of another of theirs would make room for.
        if (!others) this.#settle(waiting, { ok: false, faults: over });
        continue;
      }
      const room = this.#room(ticket.memory);
      if (room === 'none') break;
      if (room === 'never') {
        const needed = Math.ceil((ticket.memory + processBytes) / 1024 ** 2);
        this.#settle(
          waiting,
          failure(
            'resources-short',
            `the host has no ${needed} MiB of memory left for it`,
            'give it less, or stop something else',
          ),
        );
        continue;
      }
      this.#settle(waiting, success(this.#hold(ticket)));
    }
    for (const [before, waiting] of this.#waiting.entries()) {
      if (waiting.told === before) continue;
      waiting.told = before;
      waiting.ticket.onPlace(before);
    }
  }

  #room(memory: number): 'there' | 'none' | 'never' {
    const held = [...this.#held];
    // What the others were promised and have not touched yet is not free.
    const promised = held.reduce((sum, one) => {
      const used = one.pid === undefined ? 0 : this.#memory.used(one.pid);
      return sum + Math.max(0, one.memory + processBytes - used);
    }, 0);
    const free = this.#memory.available() * (1 - keptShare) - promised;
    if (memory + processBytes <= free) return 'there';
    return held.length === 0 || memory + processBytes > this.#memory.total() ? 'never' : 'none';
  }

  #hold({ uid, memory, onAdmitted }: Ticket): Place {
    onAdmitted();
    const held: Held = { uid, memory, pid: undefined, coming: true };
    this.#held.add(held);
    const look = (): void => this.#look();
    const leave = (): void => void this.#held.delete(held);
    return {
      get pid() {
        return held.pid;
      },
      set pid(pid) {
        held.pid = pid;
      },
      up: () => {
        held.coming = false;
        look();
      },
      [Symbol.dispose]: () => {
        leave();
        look();
      },
    };
  }
}
