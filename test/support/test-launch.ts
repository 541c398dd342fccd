/** Launch requests for tests that speak to the broker directly, as the manager does. */
import { execFileSync } from 'node:child_process';
import { gatherQemu } from '../../src/manager/facts/qemu-facts.ts';
import type { Descriptor, LaunchRequest } from '../../src/protocol/launch.ts';

const MiB = 1024 * 1024;

/** A QEMU with no guest but its firmware, which waits for `cont`. `extra` follows the common arguments. */
export async function testLaunch(
  machine: string,
  descriptors: readonly Descriptor[] = [],
  extra: readonly string[] = [],
): Promise<LaunchRequest> {
  const gathered = await gatherQemu('/usr/bin/qemu-system-x86_64');
  if (!gathered.ok) throw new Error(gathered.faults[0]?.message ?? 'no QEMU');
  const { closure, modules } = gathered.value.facts;
  const root = [...closure, ...(modules['accel-tcg-x86_64'] ?? [])];
  return {
    machine,
    binary: '/usr/bin/qemu-system-x86_64',
    argv: [
      '-no-user-config',
      '-nodefaults',
      '-S',
      '-display',
      'none',
      '-machine',
      'q35',
      '-accel',
      'tcg,tb-size=16',
      '-m',
      '32',
      '-sandbox',
      'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
      '-chardev',
      'socket,id=qmp,fd=3,server=on,wait=off',
      '-mon',
      'chardev=qmp,mode=control',
      ...extra,
    ],
    env: { LANG: 'C' },
    descriptors: [{ kind: 'socket', name: 'qmp' }, ...descriptors],
    devices: [],
    root: root.filter((path, index) => root.findIndex(({ target }) => target === path.target) === index),
    limits: {
      memory: 512 * MiB,
      pids: 96,
      cpuWeight: 100,
      cpuQuota: null,
      ioWeight: 100,
      openFiles: 512,
      fileSize: 1024 * MiB,
    },
    program: 'qemu',
  };
}

export function makeImage(path: string, format: 'qcow2' | 'raw' = 'qcow2', size = '8M'): void {
  execFileSync('qemu-img', ['create', '-q', '-f', format, path, size]);
}
