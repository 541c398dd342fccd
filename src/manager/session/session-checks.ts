/** What a session can and cannot give on this host, for `qward doctor`. */
import { readFileSync } from 'node:fs';
import { release } from 'node:os';
import { accountOf } from '../../linux/accounts.ts';
import { userNamespaceFault } from '../../linux/user-namespaces.ts';
import type { BrokerStatus } from '../../protocol/broker.ts';
import { hasThreadLimit } from '../../protocol/rootless.ts';
import type { Check } from '../doctor.ts';
import { ownUsbCheck, ownUsbDevices } from './own-usb.ts';

export function sessionChecks(status: BrokerStatus | undefined): readonly Check[] {
  return [
    namespaceCheck(status?.runtime ?? null),
    uidCheck(),
    groupCheck(),
    ownUsbCheck(ownUsbDevices(), userName()),
    ...(status === undefined ? [] : [limitCheck(status)]),
  ];
}

/** Where no runtime works, AppArmor may be why: it lets only programs with a profile make them (Ubuntu 24.04). */
function namespaceCheck(runtime: string | null): Check {
  const check = 'user namespaces';
  const fault = userNamespaceFault(runtime === null);
  if (fault === undefined) return { check, state: 'ok', found: 'users can make them', cure: '' };
  return { check, state: 'missing', found: fault.message, cure: fault.hint };
}

/** Never `ok`: the system instance gives more. */
function uidCheck(): Check {
  const uid = process.getuid?.() ?? -1;
  return {
    check: 'uid of machines',
    state: 'degraded',
    found: `${uid}, yours, for every machine of yours: between them stand namespaces and filters, and no uid of their own`,
    cure: 'machines that must not trust one another belong into the system instance (--system)',
  };
}

const userName = (): string => accountOf(process.getuid?.() ?? -1)?.name ?? 'USER';

function groupCheck(): Check {
  const check = 'groups of machines';
  const gid = process.getgid?.();
  const groups = (process.getgroups?.() ?? []).filter((group) => group !== gid);
  const names = groups.map(groupName);
  const surplus = names.filter((name) => name !== 'kvm');
  if (surplus.length === 0)
    return { check, state: 'ok', found: names.length === 0 ? 'none' : 'kvm, which opens /dev/kvm', cure: '' };
  return {
    check,
    state: 'degraded',
    found: `${surplus.join(', ')}: a machine has them as well, since no user can drop a group; it sees nothing that they open`,
    cure: 'use an account that is in no other group than kvm',
  };
}

function groupName(gid: number): string {
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((one) => one.split(':')[2] === String(gid));
  return line?.split(':')[0] ?? String(gid);
}

function limitCheck({ scopes, runtime }: BrokerStatus): Check {
  const check = 'limits of machines';
  if (scopes === true)
    return { check, state: 'ok', found: 'each machine is a scope of your own systemd', cure: '' };
  return {
    check,
    state: 'degraded',
    found: hasThreadLimit({ runtime: runtime ?? undefined, cgroup: '' }, release())
      ? 'no cgroup of yours: memory and CPU of a machine have no limit; its threads have'
      : 'no cgroup of yours: memory, CPU and threads of a machine have no limit',
    cure: `log in by a session of systemd-logind, or: loginctl enable-linger ${userName()}; with cgroup v2 and dbus-user-session`,
  };
}
