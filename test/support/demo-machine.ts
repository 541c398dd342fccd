/** The definition of a machine that boots the demo guest. */
import type { DemoGuest } from './demo-guest.ts';

export interface DemoMachine {
  readonly name: string;
  readonly guest: DemoGuest;
  /** Path of a qcow2 image. */
  readonly disk?: string;
  /** Added to the kernel command line; see demo-guest-init.sh. */
  readonly switches?: string;
  readonly memory?: string;
  /** Default `tcg`: a test must not depend on a KVM that works. */
  readonly accel?: 'auto' | 'kvm' | 'tcg';
  /** Further lines of YAML, top level. */
  readonly more?: string;
}

/** YAML as a user would write it. */
export function demoMachine(options: DemoMachine): string {
  const { name, guest, disk, switches, memory = '128MiB', accel = 'tcg', more } = options;
  const cmdline = [guest.cmdline, switches].filter(Boolean).join(' ');
  return [
    `name: ${name}`,
    'description: A demo guest',
    `accel: ${accel}`,
    `memory: ${memory}`,
    'boot:',
    `  kernel: ${guest.kernel}`,
    `  initrd: ${guest.initrd}`,
    `  cmdline: ${cmdline}`,
    ...(disk === undefined ? [] : ['disks:', '  - id: root', `    path: ${disk}`, '    format: qcow2']),
    'stop:',
    '  timeout: 20s',
    ...(more === undefined ? [] : [more]),
    '',
  ].join('\n');
}
