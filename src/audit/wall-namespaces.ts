/** The namespaces: the process's own, or the host's. */
import { isClosedTo } from '../protocol/passt.ts';
import {
  isPasst,
  isRootless,
  isServer,
  isShare,
  relaxedTo,
  type ExpectedWalls,
  type MachineWalls,
} from './expected-walls.ts';
import { judge, missing, type Finding } from './finding.ts';
import type { ProcessState } from './process-state.ts';

export type NamespaceKey = 'mnt' | 'pid' | 'ipc' | 'uts' | 'cgroup' | 'net';

function faultOfNamespace(state: ProcessState, key: NamespaceKey | 'user'): string | null {
  const own = state.facts.namespaces[key];
  const host = state.facts.hostNamespaces[key];
  // SECURITY: promise 5. What could not be read is not taken for a wall.
  if (own === undefined || host === undefined) return 'could not be read';
  return host.includes(own) ? "the host's" : null;
}

/** SECURITY: promise 6. Where the host's was asked for, one of its own differs as well. */
const hosts = (fault: string | null): Finding =>
  judge("the host's", fault === "the host's" ? [] : [fault ?? 'its own']);

export function compareNamespace(
  key: NamespaceKey,
): (state: ProcessState, expected: ExpectedWalls) => Finding {
  return (state, expected) => {
    const fault = faultOfNamespace(state, key);
    if (relaxedTo(expected, 'namespace').includes(key)) return hosts(fault);
    return judge('its own', fault === null ? [] : [fault]);
  };
}

/** Its own, with nothing in it: not even a TAP is visible. The OCI runtimes raise `lo`, which leads nowhere. */
export function compareNetwork(state: ProcessState, expected: ExpectedWalls): Finding {
  if (expected !== null && isPasst(expected)) return compareHostNetwork(state, expected);
  const fault = faultOfNamespace(state, 'net');
  if (relaxedTo(expected, 'namespace').includes('net')) return hosts(fault);
  if (fault !== null) return judge('', [fault]);
  const known = isServer(expected) ? ['lo', 'eth0'] : ['lo'];
  const faults = state.interfaces.filter((name) => !known.includes(name)).map((name) => `interface ${name}`);
  // One that its broker did not come to join, or whose link was taken away, serves nobody.
  if (isServer(expected) && !state.interfaces.includes('eth0')) faults.push('no eth0: joined to no network');
  return judge(`its own, only ${known.join(' and ')}`, faults);
}

/** SECURITY: promise 5. passt is where the host's connections are, and what it must not reach there was seen to be closed. */
function compareHostNetwork({ facts }: ProcessState, { uid, rootless }: MachineWalls): Finding {
  const { hostFilter = '' } = facts;
  if (rootless !== null) return missing("the host's, and open to it: a user has no packet filter");
  if (hostFilter === '') return judge('', ["the host's, and no packet filter closes the host"]);
  const closed = isClosedTo(uid, hostFilter);
  return judge("the host's, the host closed", closed ? [] : ['a packet filter other than planned']);
}

/**
 * A session's jail stands in one of its own. The system instance makes none: device nodes would belong to nobody in it, and VFIO is checked against the first
 * one. For other processes it is no wall that could be missing.
 */
export function compareUserNamespace(state: ProcessState, expected: ExpectedWalls): Finding {
  const fault = faultOfNamespace(state, 'user');
  if (fault === 'could not be read') return missing('the kernel has no user namespaces');
  const planned = isRootless(expected) || isPasst(expected) || isServer(expected) || isShare(expected);
  if (fault !== null) return judge("the host's", planned ? ["the host's"] : []);
  if (expected === null || planned) return judge('its own', faultsOfMaps(state, expected));
  return judge('its own', ['its own, which was not planned']);
}

/** SECURITY: promise 5. Whatever it is in its user namespace, outside it is its own uid; of virtiofsd the same holds for its group. */
function faultsOfMaps({ facts: { idMaps } }: ProcessState, expected: ExpectedWalls): readonly string[] {
  // A broker of before told of none.
  if (idMaps === undefined || expected === null) return [];
  const { uid, gid } = expected;
  const outside = (map: string): string =>
    map
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).slice(1).join(' '))
      .join(', ');
  const [users, groups] = [outside(idMaps.uid), outside(idMaps.gid)];
  // passt maps nobody.
  const nobody = users === '' && !isShare(expected);
  return [
    ...(nobody || users === `${uid} 1`
      ? []
      : [`the users of the host in it (first, number): ${users || 'none'}`]),
    ...(!isShare(expected) || groups === `${gid} 1`
      ? []
      : [`the groups of the host in it: ${groups || 'none'}`]),
  ];
}
