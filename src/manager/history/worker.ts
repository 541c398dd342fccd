/** The history's thread as seen from the manager's: begun when it is needed, ended when it is not. */
import { setTimeout as wait } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import type { ThreadReply, ThreadRequest, ThreadResults } from './messages.ts';

/** A thread costs 10 MiB of memory, and 20 ms of another processor to begin. */
const idleMs = 10_000;
const endMs = 3000;
const heapMiB = 32;

type Settle = (reply: ThreadReply) => void;

export class HistoryWorker {
  readonly #path: string;
  readonly #waiting: Settle[] = [];
  #worker: Worker | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Where an unreadable database was put. */
  damaged: string | null = null;

  /** Throws the database's own words where it cannot. */
  async ask<Ask extends ThreadRequest['ask']>(
    request: Extract<ThreadRequest, { ask: Ask }>,
  ): Promise<ThreadResults[Ask]> {
    clearTimeout(this.#idle);
    const worker = (this.#worker ??= this.#begin());
    // A program that ends waits for what it asked, not for an idle thread.
    worker.ref();
    const reply = await new Promise<ThreadReply>((resolve) => {
      this.#waiting.push(resolve);
      // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
      worker.postMessage(request);
    });
    if (this.#waiting.length === 0) {
      worker.unref();
      clearTimeout(this.#idle);
      this.#idle = setTimeout(() => void this.end(), idleMs);
      this.#idle.unref();
    }
    if (!reply.ok) throw new Error(reply.reason);
    this.damaged ??= reply.damaged;
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own thread, answering in turn
    return reply.result as ThreadResults[Ask];
  }

  /** Closes the database and waits until it is. */
  async end(): Promise<void> {
    clearTimeout(this.#idle);
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#worker = undefined;
    const ended = new Promise<void>((resolve) => worker.once('exit', () => resolve()));
    worker.ref();
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    worker.postMessage(null);
    // A disk that does not answer keeps no manager from ending.
    const patience = new AbortController();
    const given = wait(endMs, undefined, { signal: patience.signal }).catch(() => undefined);
    await Promise.race([ended, given]);
    patience.abort();
  }

  #begin(): Worker {
    // Sources are run as they are; what was bundled lies beside the bundle.
    const file = import.meta.url.endsWith('.ts') ? './thread.ts' : './qward-history.js';
    const worker = new Worker(new URL(file, import.meta.url), {
      workerData: this.#path,
      resourceLimits: { maxOldGenerationSizeMb: heapMiB, maxYoungGenerationSizeMb: 4 },
    });
    let reason = 'its thread ended';
    worker.on('message', (reply: ThreadReply) => this.#waiting.shift()?.(reply));
    worker.on('error', (error) => {
      reason = error instanceof Error ? error.message : String(error);
    });
    worker.on('exit', () => {
      if (this.#worker !== worker) return;
      this.#worker = undefined;
      for (const settle of this.#waiting.splice(0)) settle({ ok: false, reason });
    });
    worker.unref();
    return worker;
  }
}
