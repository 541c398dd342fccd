/** The caller's claims for one machine while its definition changes: claimed before, taken back where it fails. */
import { widest, type NeededFile } from '../definition/named-files.ts';
import type { Reply } from './client.ts';
import type { ClaimsClient } from './claims-client.ts';
import type { Owned } from './own-files.ts';

/** The caller's register at the broker. */
export type Claims = Pick<ClaimsClient, 'claim' | 'claimLike' | 'unclaim' | 'claims'>;

type Files = readonly NeededFile[];

export interface ClaimChange {
  /** To be claimed. */
  readonly files: Files;
  /** Another machine, of which the caller's claims are to hold for this one too. */
  readonly like?: string;
  /** What the machine needs once it is changed: claims for anything else are taken back. Undefined: not known. */
  readonly keep: Files | (() => Promise<Files | undefined>);
  /** Where the call fails it may have been done all the same: what the machine needs then stays claimed, all where that is not known. */
  readonly unsure?: true;
}

export class ClaimSet {
  readonly #claims: Claims;
  readonly #machine: string;

  constructor(claims: Claims, machine: string) {
    this.#claims = claims;
    this.#machine = machine;
  }

  async paths(): Promise<ReadonlySet<string>> {
    const listed = await this.#claims.claims(this.#machine);
    return new Set(listed.ok ? listed.result.map(({ path }) => path) : []);
  }

  /** Claims, calls, and leaves the claims as they were where the call fails or throws. */
  async around<Result>(
    call: () => Promise<Reply<Result>>,
    { files, like, keep, unsure }: ClaimChange,
  ): Promise<Owned<Result>> {
    const before = await this.#claims.claims(this.#machine);
    if (!before.ok) return { reply: before, notes: [] };
    let kept = false;
    try {
      const refused = await this.#claim(files, like);
      if (refused !== undefined) return { reply: refused, notes: [] };
      const reply = await call();
      kept = reply.ok;
      if (!reply.ok) return { reply, notes: [] };
      return {
        reply,
        notes: await this.#settle(before.result, typeof keep === 'function' ? await keep() : keep),
      };
    } finally {
      if (!kept)
        await this.#restore(before.result, unsure === true && typeof keep === 'function' ? keep : undefined);
    }
  }

  async #claim(files: Files, like: string | undefined): Promise<Reply<never> | undefined> {
    const copied = like === undefined ? undefined : await this.#claims.claimLike(this.#machine, like);
    if (copied?.ok === false) return copied;
    const claimed = files.length === 0 ? undefined : await this.#claims.claim(this.#machine, files);
    return claimed?.ok === false ? claimed : undefined;
  }

  /** Takes back what is not needed any more; gives what changed since `before`. */
  async #settle(before: Files, keep: Files | undefined): Promise<readonly string[]> {
    const now = await this.#listed();
    if (keep !== undefined) await this.#narrow(now, keep);
    const after = keep === undefined ? now : await this.#listed();
    const same = (one: NeededFile, files: Files): boolean =>
      files.some(({ path, access }) => path === one.path && access === one.access);
    return [
      ...after
        .filter((file) => !same(file, before))
        .map(
          ({ path, access }) => `may ${access === 'rw' ? 'read and write' : 'read'} ${path} with your rights`,
        ),
      ...before
        .filter(({ path }) => !after.some((file) => file.path === path))
        .map(({ path }) => `may no longer open ${path} with your rights`),
    ];
  }

  /** Each claim is as wide as what is wanted, and none is there that is not. */
  async #narrow(now: Files, wanted: Files): Promise<void> {
    const wantedAccess = new Map(wanted.map(({ path, access }) => [path, access]));
    const wrong = now.filter(
      ({ path, access }) => access !== wantedAccess.get(path) && !(access === 'ro' && wantedAccess.has(path)),
    );
    if (wrong.length === 0) return;
    await this.#claims.unclaim(
      this.#machine,
      wrong.map(({ path }) => path),
    );
    const smaller = wrong.flatMap(({ path }): NeededFile[] =>
      wantedAccess.has(path) ? [{ path, access: 'ro' }] : [],
    );
    if (smaller.length > 0) await this.#claims.claim(this.#machine, smaller);
  }

  async #restore(before: Files, needed: (() => Promise<Files | undefined>) | undefined): Promise<void> {
    const more = needed === undefined ? [] : await needed().catch(() => undefined);
    if (more !== undefined) await this.#narrow(await this.#listed(), widest([...before, ...more]));
  }

  async #listed(): Promise<Files> {
    const listed = await this.#claims.claims(this.#machine);
    return listed.ok ? listed.result : [];
  }
}
