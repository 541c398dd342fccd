import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProcessFacts } from '../protocol/broker.ts';
import { listExposure } from './exposure.ts';
import { parseState } from './process-state.ts';

function exposure(args: readonly string[], mappedFiles: readonly string[] = []): Record<string, string> {
  const facts = {
    pid: 1,
    kernel: '6.18.0',
    exe: '/usr/bin/qemu-system-x86_64',
    cmdline: ['qemu', ...args],
    status: '',
    threads: [],
    mountinfo: '',
    hostMountinfo: '',
    netDev: '',
    mappedFiles,
  };
  const rows = listExposure(parseState(facts as unknown as ProcessFacts), { qemuVersion: '7.2.22' });
  return Object.fromEntries(rows.map(({ subject, found, note }) => [subject, `${found}: ${note}`]));
}

test('devices and back-ends are counted, in lists and in JSON', () => {
  const args = [
    ['-device', 'virtio-net-pci,netdev=n'],
    ['-device', '{"driver":"virtio-blk-pci"}'],
    ['-device', 'virtio-blk-pci'],
    ['-netdev', 'user,id=n'],
    ['-blockdev', '{"driver":"qcow2"}'],
    ['-vnc', ':1'],
  ];
  const found = exposure(args.flat());
  assert.match(found['devices'] ?? '', /^virtio-net-pci; virtio-blk-pci \(2\):/);
  assert.match(found['back-ends'] ?? '', /^netdev user; blockdev qcow2; vnc :1:/);
});

test('accelerator and machine type are told with what QEMU promises', () => {
  assert.match(exposure(['-accel', 'kvm', '-machine', 'q35'])['accelerator'] ?? '', /^kvm:/);
  assert.match(exposure(['-enable-kvm'])['accelerator'] ?? '', /^kvm:/);
  assert.match(exposure(['-machine', 'pc-q35-7.2,accel=kvm'])['accelerator'] ?? '', /^kvm:/);
  assert.match(exposure([])['accelerator'] ?? '', /^tcg: QEMU promises no security/);
  assert.match(exposure(['-M', 'microvm'])['machine type'] ?? '', /^microvm: inside/);
  assert.match(exposure(['-machine', 'type=pc-i440fx-7.2'])['machine type'] ?? '', /^pc-i440fx-7\.2: inside/);
  assert.match(exposure(['-M', 'isapc'])['machine type'] ?? '', /^isapc: outside/);
  assert.match(exposure(['-M', 'pcx'])['machine type'] ?? '', /^pcx: outside/);
});

test('risky libraries are named by their file', () => {
  const found = exposure([], ['/usr/lib/libslirp.so.0.4.0', '/usr/lib/libc.so.6']);
  assert.match(found['library'] ?? '', /^libslirp\.so\.0\.4\.0:/);
});

test('versions are told, and odd option names do no harm', () => {
  const found = exposure(['-constructor', 'x', '-__proto__', 'y']);
  assert.match(found['QEMU'] ?? '', /7\.2\.22/);
  assert.match(found['kernel'] ?? '', /^6\.18\.0/);
  assert.match(found['devices'] ?? '', /^none/);
});
