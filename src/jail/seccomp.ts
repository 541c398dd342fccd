/**
 * Seccomp profiles (resources/seccomp, data with a reason for each call) → the `linux.seccomp` object of the OCI runtime
 * specification (https://github.com/opencontainers/runtime-spec/blob/v1.0.2/config-linux.md#seccomp).
 */
import hook from '../../resources/seccomp/hook.json' with { type: 'json' };
import qemuImg from '../../resources/seccomp/qemu-img.json' with { type: 'json' };
import dnsmasq from '../../resources/seccomp/dnsmasq.json' with { type: 'json' };
import passt from '../../resources/seccomp/passt.json' with { type: 'json' };
import qemu from '../../resources/seccomp/qemu.json' with { type: 'json' };
import swtpm from '../../resources/seccomp/swtpm.json' with { type: 'json' };
import virtiofsd from '../../resources/seccomp/virtiofsd.json' with { type: 'json' };
import relaxed from '../../resources/seccomp/relaxed.json' with { type: 'json' };

/** A profile as it stands in resources/seccomp. */
export interface ProfileData {
  readonly name: string;
  readonly about: string;
  readonly architectures: readonly string[];
  readonly groups: readonly ProfileGroup[];
}

export interface ProfileGroup {
  readonly group: string;
  readonly rules: readonly ProfileRule[];
}

export interface ProfileRule {
  readonly call: string;
  /** What QEMU needs the call for, or why it is answered so. */
  readonly reason: string;
  /** When the call is made, where no test sees it: without this word an unused call is a fault. */
  readonly kept?: string;
  /** Alternatives, each a list of conditions that must all hold; without them the call is allowed with any arguments. */
  readonly anyOf?: readonly (readonly ProfileCondition[])[];
  /** The call is refused with this errno in place of EPERM. */
  readonly errno?: string;
}

/** A condition on one argument, in OCI's words; with SCMP_CMP_MASKED_EQ `value` is the mask and `valueTwo` the result. */
export interface ProfileCondition {
  readonly index: number;
  readonly op: string;
  readonly value: number;
  readonly valueTwo?: number;
  readonly reason: string;
  /** As of a rule. */
  readonly kept?: string;
}

export interface OciSeccomp {
  readonly defaultAction: 'SCMP_ACT_ERRNO';
  readonly defaultErrnoRet: number;
  readonly architectures: readonly string[];
  readonly flags: readonly string[];
  readonly syscalls: readonly OciSyscall[];
}

export interface OciSyscall {
  readonly names: readonly string[];
  readonly action: 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO';
  readonly errnoRet?: number;
  readonly args?: readonly Omit<ProfileCondition, 'reason' | 'kept'>[];
}

/** Errnos that a profile may name (errno(3), x86-64). */
export const profileErrnos: Readonly<Record<string, number>> = { EPERM: 1, ENOSYS: 38 };

/** Names of the profiles in resources/seccomp. */
export type SeccompProfile = 'qemu' | 'qemu-img' | 'hook' | 'passt' | 'dnsmasq' | 'swtpm' | 'virtiofsd';

/** The profiles by name, in the form in which they are written. */
export const seccompProfiles: Readonly<Record<SeccompProfile, ProfileData>> = {
  qemu,
  'qemu-img': qemuImg,
  hook,
  passt,
  dnsmasq,
  swtpm,
  virtiofsd,
};

/** What a machine may call beside its profile: groups of resources/seccomp/relaxed.json, and calls with any arguments. */
export interface MoreCalls {
  readonly groups: readonly string[];
  readonly calls: readonly string[];
}

export const relaxedGroups: readonly ProfileGroup[] = relaxed.groups;

export function compileSeccomp(name: SeccompProfile, more?: MoreCalls): OciSeccomp {
  const profile = seccompProfiles[name];
  return compileProfile(more === undefined ? profile : withMore(profile, more));
}

/** A call that is allowed with any arguments has no other rule. */
function withMore(profile: ProfileData, { groups, calls }: MoreCalls): ProfileData {
  const named: ProfileGroup = { group: 'by name', rules: calls.map((call) => ({ call, reason: 'relaxed' })) };
  const more = [...relaxedGroups.filter(({ group }) => groups.includes(group)), named];
  const rules = more.flatMap((group) => group.rules);
  const open = new Set(rules.filter(({ anyOf }) => anyOf === undefined).map(({ call }) => call));
  const kept = [...profile.groups, ...more.filter((group) => group !== named)].map((group) => ({
    ...group,
    rules: group.rules.filter(({ call }) => !open.has(call)),
  }));
  return {
    ...profile,
    groups: [...kept, { group: 'open', rules: [...open].map((call) => ({ call, reason: 'relaxed' })) }],
  };
}

/** Calls without conditions come first and as one entry, as the kernel decides those without running the filter. */
export function compileProfile(profile: ProfileData): OciSeccomp {
  const rules = profile.groups.flatMap((group) => group.rules);
  const plain = rules.filter((rule) => rule.errno === undefined && rule.anyOf === undefined);
  return {
    // SECURITY: promise 2. What the profile does not name is refused.
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    // SECURITY: promise 2. 32-bit calls have other numbers: a process that makes one is killed by the filter.
    architectures: profile.architectures,
    // Explicitly none: without this list crun 1.8 would switch off the kernel's speculation defences for the process.
    flags: [],
    syscalls: [
      { names: plain.map((rule) => rule.call), action: 'SCMP_ACT_ALLOW' },
      ...rules.filter((rule) => !plain.includes(rule)).flatMap(compileRule),
    ],
  };
}

function compileRule({ call, errno, anyOf }: ProfileRule): OciSyscall[] {
  if (errno !== undefined)
    return [{ names: [call], action: 'SCMP_ACT_ERRNO', errnoRet: errnoNumber(call, errno) }];
  return (anyOf ?? []).map((conditions) => ({
    names: [call],
    action: 'SCMP_ACT_ALLOW',
    args: conditions.map(({ index, op, value, valueTwo }) => ({
      index,
      op,
      value,
      ...(valueTwo === undefined ? {} : { valueTwo }),
    })),
  }));
}

function errnoNumber(call: string, errno: string): number {
  const number = profileErrnos[errno];
  if (number === undefined) throw new TypeError(`seccomp profile: ${call}: unknown errno ${errno}`);
  return number;
}
