/**
 * Work on images as a job: the broker is told which files it may open with the caller's rights, what is made is the caller's
 * own file from the start, and gets its name when it is whole.
 *
 * SECURITY: promise 4. What is claimed comes from what the caller names, never from what the manager says.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { link, lstat, open, unlink } from 'node:fs/promises';
import { diskJobPrefix, maxTargetNameBytes, partPath } from '../protocol/disk-job.ts';
import type { CallInput, CallResult } from './calls.ts';
import type { ClaimsClient } from './claims-client.ts';
import type { QwardClient, Reply } from './client.ts';
import type { ApiFault, ErrorCode } from './errors.ts';

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

  constructor(client: QwardClient, claims: ClaimsClient) {
    this.#client = client;
    this.#claims = claims;
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
    const part = target === undefined ? undefined : await makePart(target.path, job);
    if (part?.ok === false) return part.reply;
    const made = part?.made ?? false;
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
      const named = made && target !== undefined ? await publish(target.path, job) : undefined;
      done = named === undefined;
      return named ?? reply;
    } finally {
      polling.abort();
      if (!done && made && target !== undefined)
        await unlink(partPath(target.path, job)).catch(() => undefined);
      if (!isRoot()) await this.#claims.unclaim(job, null).catch(() => undefined);
    }
  }

  /** Root never claims: its rights are given by the policy alone. */
  async #claim(job: string, files: readonly DiskFile[]): Promise<Reply<never> | undefined> {
    if (isRoot() || files.length === 0) return undefined;
    const widest = new Map<string, DiskFile>();
    for (const file of files) if (file.access === 'rw' || !widest.has(file.path)) widest.set(file.path, file);
    const claimed = await this.#claims.claim(job, [...widest.values()]);
    return claimed.ok ? undefined : claimed;
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

const isRoot = (): boolean => process.getuid?.() === 0;

type Part =
  | { readonly ok: true; readonly made: boolean }
  | { readonly ok: false; readonly reply: Reply<never> };

/** An empty file of the caller's, where the caller can make one; else the manager has it made, for administrators. */
async function makePart(path: string, job: string): Promise<Part> {
  if (isRoot()) return { ok: true, made: false };
  if (
    await lstat(path).then(
      () => true,
      () => false,
    )
  )
    return { ok: false, reply: exists(path) };
  if (Buffer.byteLength(path.slice(path.lastIndexOf('/') + 1)) > maxTargetNameBytes)
    return {
      ok: false,
      reply: refusal('request-invalid', `"${path}": the file's name is too long`, 'choose a shorter one'),
    };
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(partPath(path, job), flags, 0o600);
    await file.close();
    return { ok: true, made: true };
  } catch {
    return { ok: true, made: false };
  }
}

/** A link does not replace what stands there meanwhile, as a rename would. */
async function publish(path: string, job: string): Promise<Reply<never> | undefined> {
  try {
    await link(partPath(path, job), path);
    await unlink(partPath(path, job));
    return undefined;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return exists(path);
    const reason = error instanceof Error ? error.message : String(error);
    return refusal(
      'disk-failed',
      `"${path}" cannot be named: ${reason}`,
      'look at the directory and its file system',
    );
  }
}

const exists = (path: string): Reply<never> =>
  refusal('file-exists', `"${path}" is there already`, 'choose another name, or remove it');

function refusal(code: ErrorCode, message: string, hint: string): Reply<never> {
  const fault: ApiFault = { code, message, hint };
  return { ok: false, status: 0, faults: [fault] };
}
