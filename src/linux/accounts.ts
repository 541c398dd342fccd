/** Users and groups as the system's account database has them (nsswitch(5)): getpwuid_r(3), getgrouplist(3). */
import { getUint32, getUint64, toString } from 'node:ffi';
import { addressOf, cString, libc } from './libc.ts';

export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  /** All groups, the primary one among them. */
  readonly groups: readonly number[];
}

const scratchBytes = 64 * 1024;
const maxGroups = 65_536;

type Lookup = (record: bigint, scratch: bigint, length: bigint, result: bigint) => number;

/** Runs a `_r` function of the database; the found record is read while its memory is alive. */
function find<Found>(lookup: Lookup, read: (record: bigint) => Found): Found | undefined {
  const record = Buffer.alloc(64);
  const scratch = Buffer.alloc(scratchBytes);
  const result = new BigUint64Array(1);
  const failed = lookup(
    addressOf(record),
    addressOf(scratch),
    BigInt(scratch.length),
    addressOf(new Uint8Array(result.buffer)),
  );
  if (failed !== 0 || result[0] === 0n) return undefined;
  return read(addressOf(record));
}

/** struct passwd: name at 0, uid at 16, gid at 20. */
function readAccount(record: bigint): Account {
  const name = toString(getUint64(record)) ?? '';
  const gid = getUint32(record, 20);
  return { name, uid: getUint32(record, 16), gid, groups: groupsOf(name, gid) };
}

/** Most accounts are in a handful of groups; getgrouplist(3) says how many there are where they do not fit. */
function groupsOf(name: string, gid: number, room = 64): number[] {
  const groups = new Int32Array(room);
  const count = new Int32Array([room]);
  const account = cString(name);
  if (libc().getgrouplist(addressOf(account), gid, addressOf(groups), addressOf(count)) >= 0)
    return [...groups.subarray(0, count[0] ?? 0)].map((group) => group >>> 0);
  const needed = count[0] ?? 0;
  return needed > room && needed <= maxGroups ? groupsOf(name, gid, needed) : [gid];
}

export function accountOf(uid: number): Account | undefined {
  return find(
    (record, scratch, length, result) => libc().getpwuid_r(uid, record, scratch, length, result),
    readAccount,
  );
}

export function accountNamed(name: string): Account | undefined {
  const text = cString(name);
  return find(
    (record, scratch, length, result) => libc().getpwnam_r(addressOf(text), record, scratch, length, result),
    readAccount,
  );
}

/** struct group: gid at 16. */
export function groupIdOf(name: string): number | undefined {
  const text = cString(name);
  return find(
    (record, scratch, length, result) => libc().getgrnam_r(addressOf(text), record, scratch, length, result),
    (record) => getUint32(record, 16),
  );
}
