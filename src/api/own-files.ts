/**
 * Defining machines with files of one's own: the broker is told which files a machine may open with the caller's rights,
 * over the caller's own connection, and only then is the machine defined.
 *
 * SECURITY: promise 4. What is claimed comes from what the caller wrote, never from what the manager says: a manager that
 * was taken over makes nobody claim what they did not name. Its word counts only where it makes a claim smaller.
 */
import { widest, type NeededFile } from '../definition/named-files.ts';
import { accessOfKey, writtenFiles } from '../definition/written-files.ts';
import type { CallInput, CallResult } from './calls.ts';
import type { QwardClient, Reply } from './client.ts';
import { ClaimSet, type Claims } from './claim-set.ts';
import { settledChain } from './settled-chain.ts';

/** The answer of the call, and what changed among the caller's claims for the machine, a line each. */
export interface Owned<Result> {
  readonly reply: Reply<Result>;
  readonly notes: readonly string[];
}

/** As `define` of the API, for one whole text. */
export interface DefineInput {
  readonly source: string;
  readonly replace?: boolean;
}

export class OwnFiles {
  readonly #client: Pick<QwardClient, 'call'>;
  readonly #claims: Claims;

  constructor(client: Pick<QwardClient, 'call'>, claims: Claims) {
    this.#client = client;
    this.#claims = claims;
  }

  /** Every fault of the definition comes before anything is claimed. */
  async define({ source, replace = false }: DefineInput): Promise<Owned<CallResult<'define'>>> {
    const define = (): Promise<Reply<CallResult<'define'>>> =>
      this.#client.call('define', { source, replace });
    const written = writtenFiles(source);
    // What is not to be read is the manager's to refuse.
    if (written === undefined) return { reply: await define(), notes: [] };
    const checked = await this.#client.call('define', { source, replace, dryRun: true });
    if (!checked.ok) return { reply: checked, notes: [] };
    const set = new ClaimSet(this.#claims, written.name);
    return await set.around(define, { files: written.files, keep: written.files });
  }

  /**
   * A machine that comes from another host, whose manager says how it is defined. SECURITY: promise 4. Claimed are just those of its
   * files that the caller has claimed for it there, no wider.
   */
  async takeOver(
    { source, replace = false }: DefineInput,
    claimed: readonly NeededFile[],
  ): Promise<Owned<CallResult<'define'>>> {
    const written = writtenFiles(source);
    const there = new Map(claimed.map(({ path, access }) => [path, access]));
    const files = (written?.files ?? []).flatMap(({ path, access }): NeededFile[] => {
      const had = there.get(path);
      return had === undefined ? [] : [{ path, access: had === 'ro' ? 'ro' : access }];
    });
    return await new ClaimSet(this.#claims, written?.name ?? '').around(
      () => this.#client.call('define', { source, replace }),
      { files, keep: written?.files ?? [] },
    );
  }

  /** `original` is what the text was made from: what stands in it already was not written by the caller. */
  async edit(input: CallInput<'edit'>, original: string): Promise<Owned<CallResult<'edit'>>> {
    const edit = (): Promise<Reply<CallResult<'edit'>>> => this.#client.call('edit', input);
    const [before, after] = [writtenFiles(original), writtenFiles(input.source)];
    if (after === undefined) return { reply: await edit(), notes: [] };
    const set = new ClaimSet(this.#claims, input.name);
    const files = before === undefined ? [] : await this.#written(set, before.files, after.files);
    if (files.length > 0) {
      const checked = await this.#client.call('define', {
        source: input.source,
        replace: true,
        dryRun: true,
      });
      if (!checked.ok) return { reply: checked, notes: [] };
    }
    return await set.around(edit, { files, keep: after.files });
  }

  /** The paths among the values are claimed, and nothing else of the definition. */
  async set(input: CallInput<'set'>): Promise<Owned<CallResult<'set'>>> {
    const set = (): Promise<Reply<CallResult<'set'>>> => this.#client.call('set', input);
    if (!input.changes.some(({ key }) => /^(?:disks|cdroms|boot)\./.test(key)))
      return { reply: await set(), notes: [] };
    const values = new Map(input.changes.map(({ key, value }) => [key, value]));
    const paths = input.changes.flatMap(({ key, value }) => {
      const access = accessOfKey(key);
      if (access === undefined || value === null) return [];
      const readonly = values.get(key.replace(/path$/, 'readonly'));
      return [{ id: key.split('.')[1] ?? '', path: value, access, readonly }];
    });
    const readonly = await this.#readonlyDisks(input.name);
    const files = paths.map(({ id, path, access, readonly: typed }): NeededFile => {
      const narrow = typed === 'true' || (typed === undefined && readonly.has(id));
      return { path, access: narrow ? 'ro' : access };
    });
    return await new ClaimSet(this.#claims, input.name).around(set, {
      files,
      keep: () => this.#filesOf(input.name),
    });
  }

  /** The disc is claimed for as long as it is in a drive, or in the definition. */
  async setMedium(input: CallInput<'setMedium'>): Promise<Owned<CallResult<'setMedium'>>> {
    const { name, path } = input;
    return await new ClaimSet(this.#claims, name).around(() => this.#client.call('setMedium', input), {
      files: path === null ? [] : [{ path, access: 'ro' }],
      keep: () => this.#filesInUse(name),
    });
  }

  /** A disk is claimed for as long as it is attached, or in the definition. */
  async attach(input: CallInput<'attach'>): Promise<Owned<CallResult<'attach'>>> {
    const { name, disk } = input;
    const written = writtenFiles(JSON.stringify({ name, disks: disk === undefined ? [] : [disk] }));
    return await new ClaimSet(this.#claims, name).around(() => this.#client.call('attach', input), {
      files: written?.files ?? [],
      keep: () => this.#filesInUse(name),
    });
  }

  /** The image that a disk moves into; the one that it had is not claimed any more. */
  async mirror(input: CallInput<'mirror'>, signal: AbortSignal): Promise<Owned<CallResult<'mirror'>>> {
    const { name, path } = input;
    return await new ClaimSet(this.#claims, name).around(
      () => this.#client.call('mirror', input, { signal }),
      { files: [{ path, access: 'rw' }], keep: () => this.#filesAfterWork(name), unsure: true },
    );
  }

  /** Only for as long as it takes: the machine does not need it afterwards. */
  async backup(input: CallInput<'backup'>, signal: AbortSignal): Promise<Owned<CallResult<'backup'>>> {
    const { name, disks } = input;
    return await new ClaimSet(this.#claims, name).around(
      () => this.#client.call('backup', input, { signal }),
      { files: disks.map(({ path }) => ({ path, access: 'rw' })), keep: () => this.#filesInUse(name) },
    );
  }

  async overlay(input: CallInput<'overlay'>): Promise<Owned<CallResult<'overlay'>>> {
    const { name, disks } = input;
    return await new ClaimSet(this.#claims, name).around(() => this.#client.call('overlay', input), {
      files: disks.map(({ path }) => ({ path, access: 'rw' })),
      keep: () => this.#filesAfterWork(name),
      unsure: true,
    });
  }

  /** `below` is written, which the manager says: where the user named it for the machine before, and only there, it may be. */
  async commit(
    input: CallInput<'commit'>,
    below: string,
    signal: AbortSignal,
  ): Promise<Owned<CallResult<'commit'>>> {
    const { name } = input;
    const set = new ClaimSet(this.#claims, name);
    const files = (await set.paths()).has(below) ? [{ path: below, access: 'rw' as const }] : [];
    return await set.around(() => this.#client.call('commit', input, { signal }), {
      files,
      keep: () => this.#filesAfterWork(name),
      unsure: true,
    });
  }

  async pull(input: CallInput<'pull'>, signal: AbortSignal): Promise<Owned<CallResult<'pull'>>> {
    const { name } = input;
    return await new ClaimSet(this.#claims, name).around(() => this.#client.call('pull', input, { signal }), {
      files: [],
      keep: () => this.#filesAfterWork(name),
      unsure: true,
    });
  }

  async detach(input: CallInput<'detach'>): Promise<Owned<CallResult<'detach'>>> {
    const { name } = input;
    return await new ClaimSet(this.#claims, name).around(() => this.#client.call('detach', input), {
      files: [],
      keep: () => this.#filesInUse(name),
    });
  }

  /** What the caller claimed for the machine is claimed for its clone, and the paths that are named here. */
  async clone(input: CallInput<'clone'>): Promise<Owned<CallResult<'clone'>>> {
    const readonly = await this.#readonlyDisks(input.name);
    const files = Object.entries(input.disks ?? {}).map(([id, path]): NeededFile => ({
      path,
      access: readonly.has(id) ? 'ro' : 'rw',
    }));
    return await new ClaimSet(this.#claims, input.to).around(() => this.#client.call('clone', input), {
      like: input.name,
      files,
      keep: () => this.#filesOf(input.to),
    });
  }

  /** Paths that the caller added, or made writable where a claim for reading was the caller's before. */
  async #written(
    set: ClaimSet,
    before: readonly NeededFile[],
    after: readonly NeededFile[],
  ): Promise<readonly NeededFile[]> {
    const shown = new Map(before.map(({ path, access }) => [path, access]));
    const isNew = ({ path }: NeededFile): boolean => !shown.has(path);
    const widened = after.filter(({ path, access }) => access === 'rw' && shown.get(path) === 'ro');
    const known = widened.length === 0 ? new Set() : await set.paths();
    return [...after.filter(isNew), ...widened.filter(({ path }) => known.has(path))];
  }

  /** The manager's word: it makes claims smaller, and takes back those that are not needed. */
  async #filesOf(name: string): Promise<readonly NeededFile[] | undefined> {
    const reply = await this.#client.call('definition', { name });
    return reply.ok ? writtenFiles(reply.result.source)?.files : undefined;
  }

  /** The same with what the running machine was given since its start. */
  async #filesInUse(name: string): Promise<readonly NeededFile[] | undefined> {
    const files = await this.#filesOf(name);
    const media = await this.#client.call('media', { name });
    const devices = await this.#client.call('devices', { name });
    if (files === undefined || !media.ok || !devices.ok) return undefined;
    const discs = media.result.drives.flatMap(({ path }) => (path === null ? [] : [path]));
    return widest([
      ...files,
      ...discs.map((path): NeededFile => ({ path, access: 'ro' })),
      ...devices.result.disks.filter(({ attached }) => attached).flatMap((disk) => disk.files),
    ]);
  }

  /** SECURITY: promise 7. What is given up is undone with these files: until then nothing of what they are claimed for is taken back. */
  async #filesAfterWork(name: string): Promise<readonly NeededFile[] | undefined> {
    const settled = await settledChain(this.#client, name);
    return settled === undefined ? undefined : await this.#filesInUse(name);
  }

  async #readonlyDisks(name: string): Promise<ReadonlySet<string>> {
    const reply = await this.#client.call('definition', { name });
    return new Set(reply.ok ? writtenFiles(reply.result.source)?.readonlyDisks : []);
  }
}
