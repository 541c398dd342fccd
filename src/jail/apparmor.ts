/** AppArmor's profiles of what runs in jails (packaging/apparmor/qward), as far as this host has loaded them. */
import { readFileSync } from 'node:fs';
import { errorCode } from '../linux/errno.ts';
import { relaxations, type JailedProgram, type LaunchRequest } from '../protocol/launch.ts';

/** One line `NAME (MODE)` a profile; apparmor(7). */
const loadedProfiles = '/sys/kernel/security/apparmor/profiles';

/** The drill tries what the machine's QEMU could. */
const profileOf: Readonly<Record<JailedProgram, string>> = {
  qemu: 'qward-qemu',
  'qemu-img': 'qward-qemu-img',
  drill: 'qward-qemu',
  hook: 'qward-hook',
  passt: 'qward-passt',
  dnsmasq: 'qward-dnsmasq',
  swtpm: 'qward-swtpm',
  virtiofsd: 'qward-virtiofsd',
};

/** Of a machine that is given more than QEMU itself needs. */
const relaxedProfile = 'qward-qemu-relaxed';

/** Profiles that a launch asks for instead of its program's; none: it asks for no other. */
export function profilesOf(
  launch: Pick<LaunchRequest, 'program' | 'relaxed' | 'shown' | 'devices'>,
): readonly string[] {
  const named = relaxations(launch, 'apparmor');
  if (named.length > 0) return named;
  const devices = launch.devices.filter((path) => path !== '/dev/kvm');
  const more = [...(launch.relaxed ?? []), ...(launch.shown ?? []), ...devices];
  const server = launch.program === 'swtpm' || launch.program === 'virtiofsd';
  return more.length > 0 && !server ? [relaxedProfile] : [];
}

/**
 * The label that a program's process must have; empty where AppArmor is on and qward's profiles are not loaded, undefined
 * where the host has no AppArmor. A profile in complain mode is used, and the audit shows that it enforces nothing.
 */
export function labelFor(
  program: JailedProgram,
  profiles: string | undefined = loaded(),
  [name = profileOf[program]]: readonly string[] = [],
): string | undefined {
  if (profiles === undefined) return undefined;
  if (name === unconfined) return name;
  return profiles.split('\n').some((line) => line.startsWith(`${name} (`)) ? `${name} (enforce)` : '';
}

/** AppArmor is there, and which profiles it has loaded is hidden from root's broker. */
export class HiddenProfiles extends Error {
  readonly cure =
    'let the broker read that file: start it in the host itself, not in a container, and under no profile that denies it (`aa-status`)';
  constructor(code: string) {
    super(
      `AppArmor's list of profiles cannot be read (${loadedProfiles}: ${code}); which label a jail must have is not known, and none is made`,
    );
    this.name = 'HiddenProfiles';
  }
}

/**
 * The list; undefined on a host without AppArmor. Nobody but root may read it: a user's broker gives no label, and the audit says so.
 * SECURITY: promise 5. Throws HiddenProfiles: what root cannot see is not taken for missing.
 */
export function loaded(
  read: () => string = () => readFileSync(loadedProfiles, 'utf8'),
  isRoot = process.geteuid?.() === 0,
): string | undefined {
  try {
    return read();
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT' || (!isRoot && ['EACCES', 'EPERM'].includes(code))) return undefined;
    throw new HiddenProfiles(code);
  }
}

/** AppArmor's word for no profile. */
const unconfined = 'unconfined';

/** SELinux' label of the process where a relaxation names one. */
export function selinuxLabel(launch: Pick<LaunchRequest, 'relaxed'>): string | undefined {
  return relaxations(launch, 'selinux').find((label) => label !== 'none');
}

/** What the OCI configuration says of labels: a relaxation's, else AppArmor's `label`. */
export function labelsIn(
  launch: Pick<LaunchRequest, 'relaxed'>,
  label: string | undefined,
): { readonly apparmorProfile?: string; readonly selinuxLabel?: string } {
  const selinux = selinuxLabel(launch);
  return {
    ...(label === undefined || label === '' ? {} : { apparmorProfile: label.replace(/ .*/, '') }),
    ...(selinux === undefined ? {} : { selinuxLabel: selinux }),
  };
}
