/**
 * What no argument may say: it would lower a wall, or take the machine out of qward's hands. One table, each with the rule
 * and the cure.
 */
import type { QemuOption } from './qemu-options.ts';
import { leavesOf, valueOf } from './option-values.ts';

export interface RefusedOption {
  readonly options: readonly string[];
  /** Only with such a value. */
  readonly when?: (value: string) => boolean;
  readonly rule: string;
  readonly reason: string;
  readonly cure: string;
}

const keyIs =
  (implied: string, pattern: RegExp) =>
  (value: string): boolean =>
    pattern.test(valueOf(leavesOf(value, implied), implied, 'driver') ?? '');

const stopsNesting = (value: string): boolean =>
  ['vmx', 'svm'].every((name) => new RegExp(`,(?:-${name}|${name}=off)(?:,|$)`).test(value));

const privileges = 'it needs privileges in QEMU, which has none from its first instruction on';

export const refusedOptions: readonly RefusedOption[] = [
  {
    options: ['daemonize'],
    rule: 'one-process',
    reason: 'the process that qward proves and watches would end, and another go on',
    cure: 'leave it out: machines run in the background anyway',
  },
  {
    options: ['runas'],
    rule: 'no-privileges',
    reason: privileges,
    cure: 'leave it out, or set confinement.user',
  },
  {
    options: ['chroot', 'run-with'],
    rule: 'no-privileges',
    reason: privileges,
    cure: 'leave it out: QEMU has a root directory of its own',
  },
  {
    options: ['pidfile'],
    rule: 'no-privileges',
    reason: 'its root directory is read-only',
    cure: 'leave it out: `qward status` tells the pid',
  },
  {
    options: ['sandbox'],
    rule: 'seccomp-by-name',
    reason: "the last one counts, and would take the place of qward's",
    cure: 'set confinement.seccomp',
  },
  {
    options: ['qmp', 'qmp-pretty', 'monitor', 'mon'],
    rule: 'one-monitor',
    reason: 'whoever reaches a second monitor commands QEMU past roles and history',
    cure: 'use `qward qmp` and `qward monitor`; commands after the start go into qemu.qmp',
  },
  {
    options: ['qtest', 'qtest-log', 'accel'],
    when: (value) => /^(?!kvm|tcg|accel=)/.test(value) || value.includes('qtest'),
    rule: 'one-monitor',
    reason: 'it is for tests of QEMU, and drives the machine past its CPUs',
    cure: 'leave it out; the accelerator is `accel` of the definition',
  },
  {
    options: ['add-fd'],
    rule: 'own-descriptors',
    reason: 'descriptors and their sets are numbered by qward',
    cure: 'name the file in confinement.files, and its path in the argument',
  },
  {
    options: ['readconfig', 'writeconfig'],
    rule: 'seen-arguments',
    reason: 'what it says stands in a file that nobody has looked at',
    cure: 'write its sections as arguments',
  },
  {
    options: ['preconfig', 'incoming'],
    rule: 'audit-before-guest',
    reason: 'qward lets the guest go once every wall is proved, and it would not go then',
    cure: 'leave it out',
  },
  {
    options: ['vnc', 'display'],
    when: (value) => /^(?!none|egl-headless|dbus)/.test(value),
    rule: 'vnc-by-descriptor',
    reason: 'viewers come through the manager, with their roles',
    cure: 'set vnc: true in the definition, and use `qward vnc`',
  },
  {
    options: ['cpu'],
    when: (value) => !stopsNesting(value),
    rule: 'no-nesting',
    reason: 'it takes the place of the model that switches nested virtualisation off',
    cure: 'set cpu.model, or append ",vmx=off,svm=off"',
  },
  {
    options: ['netdev', 'nic', 'net'],
    when: keyIs('type', /^user$/),
    rule: 'no-user-network',
    reason: 'libslirp would handle the packets of the guest within QEMU',
    cure: 'use nics of the definition',
  },
  {
    options: ['netdev', 'nic', 'net'],
    when: (value) => keyIs('type', /^(?:tap|bridge)$/)(value) && !/(?:^|,)(?:fd|fds|vhostfd)=/.test(value),
    rule: 'no-new-privileges',
    reason:
      'a TAP device is made with CAP_NET_ADMIN, and a helper would be a program with more rights than QEMU',
    cure: 'use nics of the definition with kind: bridge',
  },
  {
    options: ['fda', 'fdb'],
    rule: 'no-floppy',
    reason: 'the floppy controller is where guests have broken out before',
    cure: 'copy it to an image for disks or cdroms',
  },
  {
    options: ['drive'],
    when: (value) => valueOf(leavesOf(value, 'file'), 'if') === 'floppy',
    rule: 'no-floppy',
    reason: 'the floppy controller is where guests have broken out before',
    cure: 'copy it to an image for disks or cdroms',
  },
  {
    options: ['device'],
    when: keyIs('driver', /^(?:floppy|isa-fdc|sysbus-fdc)$/),
    rule: 'no-floppy',
    reason: 'the floppy controller is where guests have broken out before',
    cure: 'copy it to an image for disks or cdroms',
  },
  {
    options: ['h', 'help', 'version', 'audio-help'],
    rule: 'a-machine',
    reason: 'QEMU prints it and ends',
    cure: 'leave it out',
  },
];

/** The rows that an option meets; one of them is enough. */
export function refusalOf({ name, value }: QemuOption): RefusedOption | undefined {
  return refusedOptions.find(
    ({ options, when }) => options.includes(name) && (when === undefined || when(value ?? '')),
  );
}
