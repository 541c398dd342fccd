/** The ways of a session's broker, which is its user and no more: means.ts says what each is for. */
import { closeSync, mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { release } from 'node:os';
import { dirname } from 'node:path';
import type { OpenFile } from '../../linux/descriptors.ts';
import { errorCode, unlessMissing } from '../../linux/errno.ts';
import type { Refusal } from '../../protocol/broker.ts';
import { hasThreadLimit } from '../../protocol/rootless.ts';
import { compileRootless, uidWithin } from '../../jail/rootless.ts';
import { userNamespaceFault } from '../../linux/user-namespaces.ts';
import { shownGrant } from '../../policy/shown-rules.ts';
import { refuse, type BrokerContext } from '../context.ts';
import type { FileDescriptor, FileGiving, JailIds, Means } from '../means.ts';
import { openReadOnlyByMount } from './read-only-mount.ts';
import { openSkeleton } from './skeleton.ts';
import { endProcesses, processesOf } from './user-processes.ts';

export function userMeans(context: () => BrokerContext): Means {
  const ids = ownIds();
  return {
    isSession: true,
    takeIds: () => {
      // SECURITY: promise 2. Without a user namespace there is no jail, and so no machine.
      const fault = userNamespaceFault();
      return fault === undefined ? ids : refuse('wall-missing', fault.message, fault.hint);
    },
    trialIds: () => ids,
    // The runtime binds them itself, with the user's rights: there are no others.
    openShown: ({ shown = [] }, grounds) => {
      const refusals = shown.flatMap((one) => {
        const grant = shownGrant(one, grounds);
        return grant.ok ? [] : [grant.refusal];
      });
      return Promise.resolve(refusals.length === 0 ? { ok: true, mounts: [] } : { ok: false, refusals });
    },
    openRoot: (launch) => openSkeleton(context(), launch),
    leaveRoot: () => undefined,
    compile: (launch, site, { mounts }) => {
      const threadLimit = hasThreadLimit(site, release());
      const ioWeights = controllersOf(context().scopeBase).includes('io');
      return compileRootless(launch, { ...site, mounts, threadLimit, ioWeights });
    },
    environment: busEnvironment(),
    close: () => undefined,
    makeDirectory: ({ directory, log }) => {
      mkdirSync(directory, { mode: 0o700 });
      mkdirSync(dirname(log), { recursive: true, mode: 0o700 });
    },
    removeDirectory: ({ log }) => rmSync(log, { force: true }),
    keepLog: () => undefined,
    // The broker has no other rights than the user's.
    withRightsOf: (_user, act) => act(),
    giveFile,
    runs: (machine) => processesOf(context(), machine).length > 0,
    end: (machine, record) => endProcesses(context(), machine, record),
    // No user has a packet filter: what a user's own programs reach of the host, a guest with a network does.
    closeHost: () => [],
    openHost: () => undefined,
    listFilter: () => '',
    openCard: (_machine, { network }) => ({
      code: 'network-missing',
      message: `there is no network "${network}": a session has none of qward's own, since no user can make a bridge`,
      hint: 'use kind: user, or the system instance (--system)',
    }),
    joinServer: () => Promise.resolve([]),
    listNetwork: () => '',
    networksUp: () => [],
    takeDown: () => undefined,
  };
}

/** What the user's systemd was given of cgroup v2; nothing where it is not there. */
function controllersOf(cgroup: string): readonly string[] {
  const path = `/sys/fs/cgroup${cgroup}/cgroup.controllers`;
  return unlessMissing(() => readFileSync(path, 'utf8').trim().split(' ')) ?? [];
}

/** Where the runtimes find the user's own systemd. */
function busEnvironment(): Readonly<Record<string, string>> {
  const names = ['XDG_RUNTIME_DIR', 'DBUS_SESSION_BUS_ADDRESS'];
  return Object.fromEntries(names.flatMap((name) => (process.env[name] ? [[name, process.env[name]]] : [])));
}

/** The user's own. */
function ownIds(): JailIds {
  const [uid = -1, gid = -1] = [process.getuid?.(), process.getgid?.()];
  // The own gid stands among them as well, as a rule.
  const groups = process.getgroups?.() ?? [];
  return {
    uid,
    gid,
    within: uidWithin,
    rootless: { groups, kvmGroup: kvmGroup() },
  };
}

function kvmGroup(): number | null {
  const stats = statSync('/dev/kvm', { throwIfNoEntry: false });
  return stats === undefined || (stats.mode & 0o006) === 0o006 || (stats.mode & 0o060) !== 0o060
    ? null
    : stats.gid;
}

/**
 * SECURITY: promise 2. What is given to be read alone is the user's own to write, and /proc/self/fd/N opens it again: so it comes
 * from a mount on which nobody writes. What the machine may write anyway, and what the user may not, is given as it is.
 */
async function giveFile(
  { path, access }: FileDescriptor,
  opened: OpenFile,
  { written, ids }: FileGiving,
): Promise<number | Refusal> {
  const { uid, mode } = opened.stats;
  const couldWrite = uid === ids.uid || (mode & 0o022) !== 0;
  if (access === 'rw' || written.has(path) || !couldWrite) return opened.fd;
  try {
    return await openReadOnlyByMount(path, opened);
  } catch (error) {
    return {
      code: 'file-unreadable',
      message: `"${path}" is yours to write, and cannot be shown to be read alone (${errorCode(error) || String(error)})`,
      hint: 'chmod a-w and give it to root, or let the machine write it',
    };
  } finally {
    closeSync(opened.fd);
  }
}
