/** The machine that is measured, the same for qward, libvirt and bare QEMU. */
import { copyFileSync, mkdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { createDemoDisk, type DemoGuest } from '../test/support/demo-guest.ts';

export interface BenchGuest {
  readonly memoryMib: number;
  readonly kernel: string;
  readonly initrd: string;
  readonly cmdline: string;
  /** One for each machine that is started. */
  readonly disks: readonly string[];
  readonly cgroupMounts: readonly string[];
  /** Where the bench must not be; bench/run tells. */
  readonly hostMountNamespace: string;
}

const cgroupMounts = (): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .map((line) => line.split(' ')[4] ?? '');

export const memoryMib = 96;
export const machineName = (index: number): string => `bench-${String(index).padStart(3, '0')}`;

export interface BenchGuestOptions {
  readonly disks: number;
  readonly memoryMib: number;
}

/** Copies kernel and initrd for libvirt, which changes the owner of what it is given. */
export function makeBenchGuest(
  demo: DemoGuest,
  directory: string,
  { disks, memoryMib: memory }: BenchGuestOptions,
): BenchGuest {
  mkdirSync(directory, { recursive: true });
  const kernel = join(directory, 'vmlinuz');
  const initrd = join(directory, 'initrd');
  copyFileSync(demo.kernel, kernel);
  copyFileSync(demo.initrd, initrd);
  const paths = Array.from({ length: disks }, (_, index) => join(directory, `${machineName(index)}.qcow2`));
  paths.forEach(createDemoDisk);
  return {
    memoryMib: memory,
    kernel,
    initrd,
    cmdline: demo.cmdline,
    disks: paths,
    cgroupMounts: cgroupMounts(),
    hostMountNamespace: process.env['QWARD_BENCH_HOST_MNT'] ?? readlinkSync('/proc/self/ns/mnt'),
  };
}
