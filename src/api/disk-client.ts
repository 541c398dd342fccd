/**
 * Work on images as a job: the broker is told which files it may open with the caller's rights, what is made is the caller's
 * own file from the start, and gets its name when it is whole.
 *
 * SECURITY: promise 4. What is claimed comes from what the caller names, never from what the manager says.
 */
import { randomBytes } from 'node:crypto';
import { diskJobPrefix, partPath } from '../protocol/disk-job.ts';
import type { CallInput, CallResult } from './calls.ts';
import type { ClaimsClient } from './claims-client.ts';
import type { QwardClient, Reply } from './client.ts';
import type { Reach } from './reach.ts';
import type { FaultText } from './target-files.ts';

export type DiskCall =
  | 'diskInfo'
  | 'diskCreate'
  | 'diskConvert'
  | 'diskImport'
  | 'diskResize'
  | 'diskCheck'
  | 'diskRebase'
  | 'diskCommit'
  | 'diskSnapshot';

interface DiskFile {
  readonly path: string;
  readonly access: 'ro' | 'rw';
}

type Target = Omit<CallInput<'diskCreate'>['target'], 'made'>;
/** As the call of the API, without the job's name, which is chosen here. */
export type DiskInput<Name extends DiskCall> = Omit<CallInput<Name>, 'job' | 'target'> &
  (CallInput<Name> extends { readonly target: unknown } ? { readonly target: Target } : unknown);

export interface DiskProgress {
  readonly doing: string;
  /** Null: not known. */
  readonly percent: number | null;
}

export interface DiskOptions {
  /** Every file that the input names, with what the job does to it; not the target. Paths are absolute. */
  readonly files: readonly DiskFile[];
  /** Ends the job; nothing of it is left then. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: DiskProgress) => void;
}

const askEveryMs = 250;

export class DiskClient {
  readonly #client: QwardClient;
  readonly #claims: ClaimsClient;
  readonly #reach: Reach;

  constructor(client: QwardClient, claims: ClaimsClient, reach: Reach) {
    this.#client = client;
    this.#claims = claims;
    this.#reach = reach;
  }

  async run<Name extends DiskCall>(
    name: Name,
    input: DiskInput<Name>,
    { files, signal, onProgress }: DiskOptions,
  ): Promise<Reply<CallResult<Name>>> {
    const job = `${diskJobPrefix}${randomBytes(8).toString('hex')}`;
    // The compiler cannot see into a conditional type whose name is still open.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    const { target } = input as { readonly target?: Target };
    // Root's files are made by the broker, as the policy says.
    const asRoot = await this.#isRoot();
    const { targets } = this.#reach;
    const part = target === undefined || asRoot ? { made: false } : await targets.make(target.path, job);
    if ('fault' in part) return refusal(part.fault);
    const { made } = part;
    const madeFiles: readonly DiskFile[] =
      target !== undefined && made ? [{ path: partPath(target.path, job), access: 'rw' }] : [];
    const polling = new AbortController();
    let done = false;
    try {
      const refused = await this.#claim(job, [...files, ...madeFiles]);
      if (refused !== undefined) return refused;
      void this.#ask(job, polling.signal, onProgress);
      const body = { ...input, job, ...(target === undefined ? {} : { target: { ...target, made } }) };
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the input with what was left out of it
      const call = this.#client.call.bind(this.#client) as (
        name: Name,
        input: unknown,
        options: object,
      ) => Promise<Reply<CallResult<Name>>>;
      const reply = await call(name, body, signal === undefined ? {} : { signal });
      if (!reply.ok) return reply;
      const fault = made && target !== undefined ? await targets.publish(target.path, job) : null;
      done = fault === null;
      return fault === null ? reply : refusal(fault);
    } finally {
      polling.abort();
      if (!done && made && target !== undefined)
        await targets.remove(target.path, job).catch(() => undefined);
      if (!asRoot) await this.#claims.unclaim(job, null).catch(() => undefined);
    }
  }

  /** Root never claims: its rights are given by the policy alone. */
  async #claim(job: string, files: readonly DiskFile[]): Promise<Reply<never> | undefined> {
    if (files.length === 0 || (await this.#isRoot())) return undefined;
    const widest = new Map<string, DiskFile>();
    for (const file of files) if (file.access === 'rw' || !widest.has(file.path)) widest.set(file.path, file);
    const claimed = await this.#claims.claim(job, [...widest.values()]);
    return claimed.ok ? undefined : claimed;
  }

  async #isRoot(): Promise<boolean> {
    return (await this.#reach.uid()) === 0;
  }

  async #ask(job: string, signal: AbortSignal, tell: DiskOptions['onProgress']): Promise<void> {
    if (tell === undefined) return;
    while (!signal.aborted) {
      await new Promise((resolve) => setTimeout(resolve, askEveryMs));
      if (signal.aborted) return;
      const reply = await this.#client.call('diskProgress', { job }, { signal }).catch(() => undefined);
      if (reply?.ok === true) tell(reply.result);
    }
  }
}

const refusal = (fault: FaultText): Reply<never> => ({ ok: false, status: 0, faults: [fault] });
