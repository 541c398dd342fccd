/** The ways of the system's broker, which is root: means.ts says what each is for. */
import { fchownSync, mkdirSync } from 'node:fs';
import { compileBundle } from '../jail/bundle.ts';
import { removeCgroup } from '../jail/cgroups.ts';
import { mountTmpfs, unmount } from '../linux/mount.ts';
import { withRightsOf } from '../linux/open-as.ts';
import type { Policy } from '../policy/policy.ts';
import { refuse, type BrokerContext } from './context.ts';
import { giveFile } from './give-file.ts';
import { closeHost, listFilter, openHost } from './host-filter.ts';
import { openJailRoots } from './jail-root.ts';
import type { JailIds, Means } from './means.ts';
import { joinServer, listNetwork, networksUp, openCard, takeDown } from './network-links.ts';
import { openShown } from './open-shown.ts';
import type { MachinePlaces } from './places.ts';
import { overlaps, rangeAccount } from './slots.ts';
import { endRecorded, runs } from './sweep.ts';

/** QEMU's stdout and stderr, and the sockets' inodes. */
const logBytes = 256 * 1024;

const sameOf = (uid: number): JailIds => ({ uid, gid: uid });

/** `context` is asked when it is whole. */
export function rootMeans(context: () => BrokerContext, { brokerRun }: BrokerContext['paths']): Means {
  const roots = openJailRoots(`${brokerRun}/roots`);
  return {
    isSession: false,
    takeIds: (machine, policy) => takeIds(context(), machine, policy),
    trialIds: () => sameOf(trialUid(context())),
    openShown,
    openRoot: ({ machine, root, program }, shown) => {
      const opened =
        shown.length === 0 ? roots.open(root, program) : roots.openOwn(machine, root, { program, shown });
      return opened.ok ? { ...opened, mounts: [] } : opened;
    },
    leaveRoot: ({ directory }, shown) => {
      if (shown.length > 0) roots.remove(directory);
    },
    compile: compileBundle,
    close: () => {
      roots.close();
      // Stays while a machine is in it.
      removeCgroup(context().cgroups, context().cgroupParent);
    },
    makeDirectory: (places) => makeDirectory(places, context().managerGid),
    removeDirectory: ({ directory }) => {
      while (unmount(directory)) {
        // A launch that was cut off and repeated can have mounted twice.
      }
    },
    // crun gives the log to the machine's group too (container.c, maybe_chown_std_streams); the manager is to read it.
    keepLog: (fd, uid) => fchownSync(fd, uid, context().managerGid),
    withRightsOf,
    giveFile,
    runs: (machine) => runs(context(), machine),
    end: (machine, record) => endRecorded(context(), machine, record),
    closeHost: (range) => closeHost(context(), range),
    openHost: () => openHost(context()),
    listFilter: (uid) => listFilter(context(), uid),
    openCard: (machine, card, multiQueue) => openCard(context(), machine, card, multiQueue),
    joinServer,
    listNetwork: (network) => listNetwork(context(), network),
    networksUp: () => networksUp(context()),
    takeDown: (network) => takeDown(context(), network),
  };
}

/** SECURITY: promise 2. A uid of the range, which no account and no other machine has. */
function takeIds(
  context: BrokerContext,
  machine: string,
  { uidRange }: Policy,
): JailIds | ReturnType<typeof refuse> {
  const clashes = overlaps(uidRange);
  if (clashes.length > 0) {
    const { base, count } = uidRange;
    return refuse(
      'wall-missing',
      `the uid range ${base} to ${base + count - 1} is not qward's alone: ${clashes.join(', ')}`,
      `choose another uidRange in the policy; only the account ${rangeAccount} may lie in it`,
    );
  }
  const uid = context.slots.take(machine, uidRange);
  if (uid !== undefined) return sameOf(uid);
  return refuse('resources-short', 'every uid of the range is taken', 'remove some, or raise uidRange.count');
}

/** The last uid of the range, which no machine has for long; the kernel's for nobody where the policy tells of none. */
function trialUid(context: BrokerContext): number {
  const policy = context.readPolicy();
  if (!policy.ok) return 65_534;
  const { base, count } = policy.policy.uidRange;
  return base + count - 1;
}

/** SECURITY: promise 2. The log and sockets of a machine are the manager's to read; no machine's uid can enter. */
function makeDirectory({ directory }: MachinePlaces, managerGid: number): void {
  mkdirSync(directory, { mode: 0o700 });
  // The set-group-ID bit gives every file in it the manager's group from its first instant.
  mountTmpfs(directory, `size=${logBytes},nr_inodes=16,mode=2750,uid=0,gid=${managerGid}`);
}
