/** Who the process is: uid, groups, capabilities, no_new_privs, seccomp; on every thread (CVE-2018-15746). */
import {
  capabilitiesOf,
  hasNoGuest,
  isPasst,
  isShare,
  isTpm,
  relaxedTo,
  type ExpectedWalls,
  type Rootless,
} from './expected-walls.ts';
import { judge, missing, type Finding } from './finding.ts';
import { shareCapabilities } from '../protocol/side-servers.ts';
import { capabilityNames, capabilitySet } from '../protocol/capability-names.ts';
import { faultsOfThreads, type ProcessState } from './process-state.ts';

/** Real, effective, saved and file system id. */
const idsOf = (fields: ReadonlyMap<string, string>, name: string): readonly string[] =>
  (fields.get(name) ?? '').split(/\s+/);

export function compareUid(state: ProcessState, expected: ExpectedWalls): Finding {
  const named = relaxedTo(expected, 'user').length > 0;
  const faults = faultsOfThreads(state, (fields) =>
    (['Uid', 'Gid'] as const).flatMap((name) => {
      const ids = idsOf(fields, name);
      const planned = expected === null ? ids[0] : String(name === 'Uid' ? expected.uid : expected.gid);
      const fault = `${name.toLowerCase()} ${ids.join(' ')}`;
      return ids.length === 4 && (planned !== '0' || named) && ids.every((id) => id === planned)
        ? []
        : [fault];
    }),
  );
  // An account that was asked for has processes of its own.
  const sharers = named ? [] : (state.facts.sharers ?? []);
  if (sharers.length > 0)
    faults.push(`${sharers.length} other process(es) with this uid, pid ${sharers[0] ?? ''}`);
  const main = state.threads[0]?.fields ?? new Map<string, string>();
  return judge(`uid ${idsOf(main, 'Uid')[0] ?? ''}, gid ${idsOf(main, 'Gid')[0] ?? ''}`, faults);
}

export function compareGroups(state: ProcessState, expected: ExpectedWalls): Finding {
  if (expected !== null && expected.rootless !== null)
    return compareOwnGroups(state, expected.gid, expected.rootless);
  const faults = faultsOfThreads(state, (fields) => {
    const groups = fields.get('Groups');
    return groups === '' ? [] : [`groups ${groups ?? 'unknown'}`];
  });
  return judge('none', faults);
}

/** A user drops no group: the one that opens /dev/kvm is planned, any other is what a session cannot take away. */
function compareOwnGroups(state: ProcessState, gid: number, { groups, kvmGroup }: Rootless): Finding {
  const found = (fields: ReadonlyMap<string, string>): readonly number[] =>
    (fields.get('Groups') ?? '')
      .split(/\s+/)
      .filter(Boolean)
      .map(Number)
      // The own gid stands there as well, as a rule.
      .filter((group) => group !== gid);
  const faults = faultsOfThreads(state, (fields) =>
    found(fields).flatMap((group) => (groups.includes(group) ? [] : [`group ${group}, which is not yours`])),
  );
  const main = found(state.threads[0]?.fields ?? new Map<string, string>());
  const surplus = main.filter((group) => group !== kvmGroup);
  if (faults.length === 0 && surplus.length > 0)
    return missing(
      `${surplus.join(' ')} of yours: no user can drop a group; nothing that they open is in its root`,
    );
  return judge(main.length === 0 ? 'none' : `${main.join(' ')}, that of /dev/kvm`, faults);
}

const capabilitySets = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'] as const;

const isMain = (fields: ReadonlyMap<string, string>): boolean => fields.get('Pid') === fields.get('Tgid');

/** The thread that its library makes first keeps two in its own user namespace, by which it comes back to the jail's root, and no further. */
function compareShareCapabilities(state: ProcessState): Finding {
  const kept = ['0'.repeat(16), capabilitySet(shareCapabilities)];
  const faults = faultsOfThreads(state, (fields) =>
    capabilitySets.flatMap((name) => {
      const set = fields.get(name) ?? '';
      return set === kept[0] || (!isMain(fields) && kept.includes(set))
        ? []
        : [`${name}: ${capabilityNames(set) || 'none'}`];
    }),
  );
  return judge('none but, on one thread, sys_chroot and setpcap in a user namespace of its own', faults);
}

/**
 * SECURITY: promise 6. Just those that were asked for, in each of the sets: one more differs, and so does one less. What passt has in
 * its bounding set counts in its own user namespace alone, and it can execute nothing to get it.
 */
export function compareCapabilities(state: ProcessState, expected: ExpectedWalls): Finding {
  if (isShare(expected)) return compareShareCapabilities(state);
  const names = capabilitiesOf(expected);
  const planned = capabilitySet(names);
  const sets = isPasst(expected) ? capabilitySets.filter((name) => name !== 'CapBnd') : capabilitySets;
  const faults = faultsOfThreads(state, (fields) =>
    sets.flatMap((name) => {
      const set = fields.get(name) ?? '';
      return set === planned ? [] : [`${name}: ${capabilityNames(set) || 'none'}`];
    }),
  );
  if (isPasst(expected)) return judge('none to use, in a user namespace of its own', faults);
  return judge(names.length === 0 ? 'all five sets empty' : `all five sets ${names.join(' ')}`, faults);
}

export function compareNoNewPrivileges(state: ProcessState): Finding {
  const faults = faultsOfThreads(state, (fields) => (fields.get('NoNewPrivs') === '1' ? [] : ['not set']));
  return judge('set on every thread', faults);
}

/** Filters that a process has at least: ours the bundle's and QEMU's, passt's or swtpm's own, an image tool the bundle's; any other jailed QEMU one. */
export function filtersOf(expected: ExpectedWalls): 0 | 1 | 2 {
  const [mode] = relaxedTo(expected, 'seccomp');
  if (mode !== undefined) return mode === 'off' ? 0 : 1;
  if (isPasst(expected) || isTpm(expected) || isShare(expected)) return 2;
  return expected === null || hasNoGuest(expected.launch.program) ? 1 : 2;
}

export function compareSeccomp(state: ProcessState, expected: ExpectedWalls): Finding {
  const atLeast = filtersOf(expected);
  const counts = state.threads.map(({ fields }) => fields.get('Seccomp_filters'));
  const faults = faultsOfThreads(state, (fields) => {
    if (fields.get('Seccomp') !== '2') return atLeast === 0 ? [] : ['no filter'];
    // Before Linux 5.9 the kernel does not tell the number.
    const count = Number(fields.get('Seccomp_filters') ?? atLeast);
    // A thread that was there before virtiofsd's own filter has the jail's.
    return count >= (isShare(expected) && !isMain(fields) ? 1 : atLeast) ? [] : [`${count} filter(s)`];
  });
  if (atLeast === 0) return judge('no filter is asked for', faults);
  return judge(`filters on each of ${counts.length} threads: ${counts[0] ?? 'uncounted'}`, faults);
}
