/** The register of claims: which user lets which machine open which file. Root's own file; asked at every opening. */
import { statSync, type BigIntStats } from 'node:fs';
import {
  maxClaimBytesOfUser,
  maxClaimsOfMachine,
  maxClaimsOfUser,
  type Claim,
  type ClaimedFile,
} from '../protocol/claims.ts';
import { machineNamePattern, type Access } from '../protocol/launch.ts';
import { openState, UnusableState } from './state.ts';

/** Whose claims for which machine; null: of every user, of every machine. */
export interface ClaimScope {
  readonly machine: string | null;
  readonly uid: number | null;
}

export interface Claims {
  /** The user's claim by which the machine may have the path with this access: one for `rw` serves `ro` too. */
  readonly find: (machine: string, uid: number, path: string, access: Access) => Claim | undefined;
  readonly list: (scope: ClaimScope) => Claim[];
  /** Records all of them or, where they are too many, none: 'full'. Gives whether each is new. Throws UnusableState. */
  readonly add: (machine: string, uid: number, files: readonly ClaimedFile[]) => boolean[] | 'full';
  /** Takes back those of these paths, or all; gives what was there. Throws UnusableState. */
  readonly remove: (scope: ClaimScope, paths: readonly string[] | null) => Claim[];
  readonly rename: (machine: string, to: string) => void;
  /** For the status: while there is one, nothing is opened with the rights of users, nor claimed. */
  readonly fault: () => UnusableState | undefined;
  /** Throws where nothing can be changed. */
  readonly check: () => void;
}

/** The file, parsed once for all the files of a launch. */
function openRegister(path: string) {
  const file = openState<readonly Claim[]>(path, {
    key: 'claims',
    parse: (content) => (Array.isArray(content) && content.every(isClaim) ? content : undefined),
    cure: 'users then claim their files again (qward claim)',
  });
  let known: { readonly stamp: string; readonly claims: readonly Claim[] | undefined } | undefined;
  /** Undefined where it is not used. */
  const read = (): readonly Claim[] | undefined => {
    const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
    if (stats === undefined) return [];
    const stamp = stampOf(stats);
    if (known?.stamp !== stamp) {
      const found = file.look();
      known = { stamp, claims: found instanceof UnusableState ? undefined : found };
    }
    return known.claims;
  };
  return {
    read,
    load: (): readonly Claim[] => read() ?? file.read() ?? [],
    save: (claims: readonly Claim[]): void => {
      file.write(claims);
      known = { stamp: stampOf(statSync(path, { bigint: true })), claims };
    },
    // Each status asks: what users claimed is not parsed anew for it.
    fault: () => (read() === undefined ? file.fault() : undefined),
  };
}

export function openClaims(path: string, now: () => Date): Claims {
  const { read, load, save, fault } = openRegister(path);
  return {
    find: (machine, uid, path, access) =>
      read()?.find(
        (claim) =>
          claim.machine === machine && claim.uid === uid && claim.path === path && serves(claim, access),
      ),
    list: (scope) => load().filter((claim) => isIn(scope, claim)),
    add: (machine, uid, files) => {
      const at = now().toISOString();
      const claims = new Map(load().map((claim) => [keyOf(claim), claim]));
      const fresh = files.map(({ path, access }) => {
        const claim: Claim = { machine, uid, path, access, at };
        const before = claims.get(keyOf(claim));
        if (before !== undefined && serves(before, access)) return false;
        claims.set(keyOf(claim), claim);
        return true;
      });
      if (!fresh.includes(true)) return fresh;
      const all = [...claims.values()];
      if (isTooMuch(all, machine, uid)) return 'full';
      save(all);
      return fresh;
    },
    remove: (scope, paths) => {
      const claims = load();
      const named = new Set(paths);
      const isGone = (claim: Claim): boolean =>
        isIn(scope, claim) && (paths === null || named.has(claim.path));
      const gone = claims.filter(isGone);
      if (gone.length > 0) save(claims.filter((claim) => !isGone(claim)));
      return gone;
    },
    rename: (machine, to) => {
      const claims = load();
      const moved = claims.flatMap((claim) => (claim.machine === machine ? [{ ...claim, machine: to }] : []));
      const keys = new Set(moved.map(keyOf));
      const kept = claims.filter((claim) => claim.machine !== machine && !keys.has(keyOf(claim)));
      if (moved.length > 0) save([...kept, ...moved]);
    },
    fault,
    check: () => void load(),
  };
}

const stampOf = ({ ino, size, ctimeNs }: BigIntStats): string => `${ino} ${size} ${ctimeNs}`;

const serves = (claim: ClaimedFile, access: Access): boolean => claim.access === 'rw' || access === 'ro';

const keyOf = ({ machine, uid, path }: Claim): string => `${uid} ${machine} ${path}`;

function isIn({ machine, uid }: ClaimScope, claim: Claim): boolean {
  return (machine === null || claim.machine === machine) && (uid === null || claim.uid === uid);
}

function isTooMuch(claims: readonly Claim[], machine: string, uid: number): boolean {
  const own = claims.filter((claim) => claim.uid === uid);
  const bytes = own.reduce((sum, { path }) => sum + Buffer.byteLength(path), 0);
  const ofMachine = own.filter((claim) => claim.machine === machine).length;
  return ofMachine > maxClaimsOfMachine || own.length > maxClaimsOfUser || bytes > maxClaimBytesOfUser;
}

function isClaim(value: unknown): value is Claim {
  const field = (name: string): unknown => Reflect.get(Object(value), name);
  return (
    machineNamePattern.test(String(field('machine'))) &&
    Number.isSafeInteger(field('uid')) &&
    ['machine', 'path', 'at'].every((name) => typeof field(name) === 'string') &&
    ['ro', 'rw'].includes(String(field('access')))
  );
}
