/**
 * Opening files with the rights of a user: file system uid, gid and groups of that user, and no capability. Raw system
 * calls, which are of the calling thread alone, where the C library's change all threads: setfsuid(2), setgroups(2),
 * capset(2), credentials(7).
 */
import { addressOf, checked, syscall } from './libc.ts';

const SYS_getgroups = 115;
const SYS_setgroups = 116;
const SYS_setfsuid = 122;
const SYS_setfsgid = 123;
const SYS_capget = 125;
const SYS_capset = 126;
/** _LINUX_CAPABILITY_VERSION_3, and pid 0: the calling thread. */
const capabilityHeader = new Int32Array([0x2008_0522, 0]);

export interface UserIds {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
}

interface Rights extends UserIds {
  /** Effective, permitted, inheritable for capabilities 0 to 31, then for the others. */
  readonly capabilities: readonly number[];
}

const capabilityCall = (number: number, name: string, sets: Int32Array): number =>
  checked(syscall(number, [addressOf(capabilityHeader), addressOf(sets)]), name, 'capabilities');

/** The rights of the calling thread. An id of -1 is set by no call: the answer is the present one. */
function readRights(): Rights {
  const groups = new Int32Array(checked(syscall(SYS_getgroups, [0, 0]), 'getgroups', 'groups'));
  checked(syscall(SYS_getgroups, [groups.length, addressOf(groups)]), 'getgroups', 'groups');
  const capabilities = new Int32Array(6);
  capabilityCall(SYS_capget, 'capget', capabilities);
  return {
    uid: Number(syscall(SYS_setfsuid, [-1])),
    gid: Number(syscall(SYS_setfsgid, [-1])),
    groups: [...groups].map((group) => group >>> 0),
    capabilities: [...capabilities],
  };
}

function setIds({ uid, gid, groups }: UserIds): void {
  const list = Int32Array.from(groups);
  checked(syscall(SYS_setgroups, [list.length, addressOf(list)]), 'setgroups', 'groups');
  // Neither tells whether it did: the rights are read again.
  syscall(SYS_setfsgid, [gid]);
  syscall(SYS_setfsuid, [uid]);
}

/** Sorted as the kernel keeps them. */
const sameIds = (left: UserIds, right: UserIds): boolean => {
  const key = ({ uid, gid, groups }: UserIds): string =>
    [uid, gid, ...groups.toSorted((one, other) => one - other)].join();
  return key(left) === key(right);
};

/**
 * Runs `act` with a user's rights on files and no capability, then takes back the own ones. `act` is synchronous and opens
 * files, nothing else. Needs CAP_SETUID and CAP_SETGID; throws what `act` throws.
 * SECURITY: promise 1. Nothing else runs meanwhile: no await lies between the change and the way back, and where that fails
 * the process ends.
 */
export function withRightsOf<Result>(user: UserIds, act: () => Result): Result {
  const own = readRights();
  try {
    setIds(user);
    // The file system uid alone leaves capabilities beyond files, which open other users' /proc/PID/mem.
    const [, permitted = 0, inheritable = 0, , permittedHigh = 0, inheritableHigh = 0] = own.capabilities;
    capabilityCall(
      SYS_capset,
      'capset',
      Int32Array.of(0, permitted, inheritable, 0, permittedHigh, inheritableHigh),
    );
    const now = readRights();
    if (!sameIds(now, user) || now.capabilities[0] !== 0 || now.capabilities[3] !== 0)
      throw new Error(`the rights of uid ${user.uid} could not be taken on`);
    return act();
  } finally {
    takeBack(own);
  }
}

function takeBack(own: Rights): void {
  try {
    capabilityCall(SYS_capset, 'capset', Int32Array.from(own.capabilities));
    setIds(own);
    const now = readRights();
    if (sameIds(now, own) && own.capabilities.every((set, index) => set === now.capabilities[index])) return;
  } catch {
    // Ended below.
  }
  process.kill(process.pid, 'SIGKILL');
}
