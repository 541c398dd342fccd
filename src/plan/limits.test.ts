import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaunchLimits } from '../protocol/launch.ts';
import { fileOf, planOf } from './sample-facts.ts';

const mib = 1024 ** 2;
const limitsOf = (yaml: string): LaunchLimits => planOf(yaml).launch.limits;

test('what the definition limits is passed on', () => {
  const limits = limitsOf(
    'name: a\nlimits: {memory: 2GiB, pids: 99, cpuQuota: 0.05, cpuWeight: 7, ioWeight: 8}',
  );
  assert.deepEqual(
    [limits.memory, limits.pids, limits.cpuQuota, limits.cpuWeight, limits.ioWeight],
    [2048 * mib, 99, 5000, 7, 8],
  );
});

test('without limits there is room for QEMU beside the guest, more for more of everything', () => {
  const plain = limitsOf('name: a\nmemory: 1GiB');
  assert.ok(plain.memory > (1024 + 256 + 64) * mib && plain.memory < 2048 * mib, String(plain.memory / mib));
  assert.deepEqual([plain.pids, plain.cpuQuota], [1 + 64 + 16, null]);
  const disk = 'disks: [{id: d, path: /i/d, format: qcow2}]';
  for (const more of ['cpu: {count: 2}', disk, 'vnc: true', 'nics: [{id: n, kind: bridge, bridge: br0}]'])
    assert.ok(limitsOf(`name: a\nmemory: 1GiB\n${more}`).memory > plain.memory, more);
  const kvm = planOf('name: a', { kvm: { works: true, reason: '' } }).launch.limits;
  assert.ok(kvm.memory < plain.memory - 256 * mib);
});

test('no file can grow beyond the largest writable image and a margin', () => {
  const size = (yaml: string): number => limitsOf(yaml).fileSize;
  assert.equal(size('name: a'), 64 * mib);
  assert.equal(size('name: a\ndisks: [{id: d, path: /i/d, format: raw, readonly: true}]'), 64 * mib);
  assert.equal(size('name: a\ndisks: [{id: d, path: /i/d, format: raw}]'), (1024 + 64) * mib);
  const qcow2 = size('name: a\ndisks: [{id: d, path: /i/d, format: qcow2}]');
  assert.ok(qcow2 >= 11 * 1024 * mib && qcow2 < 12 * 1024 * mib);
});

test('an image whose header claims the largest size still gives a number that the kernel takes', () => {
  const yaml = 'name: a\ndisks: [{id: d, path: /i/d, format: qcow2}]';
  const files = { '/i/d': fileOf({ format: 'qcow2', virtualSize: Number.MAX_SAFE_INTEGER }) };
  assert.equal(planOf(yaml, { files }).launch.limits.fileSize, Number.MAX_SAFE_INTEGER);
});

test('descriptors are bounded, and enough for those of the plan three times', () => {
  const yaml = 'name: a\ncpu: {count: 255}\nnics: [{id: n, kind: bridge, bridge: br0}]';
  const { descriptors, limits } = planOf(yaml).launch;
  assert.ok(limits.openFiles > descriptors.length * 3 && limits.openFiles <= 65_536);
});

test('memory that can be plugged in later is part of the limits from the start on', () => {
  const plain = limitsOf('name: a\nmemory: 1GiB');
  const room = 'name: a\nmemory: 1GiB\nmemoryMaximum: 4GiB\nmemorySlots: 2';
  assert.ok(limitsOf(room).memory >= plain.memory + 3072 * mib);
  const pages = limitsOf(`${room}\nmemoryBacking: {hugePages: 2MiB}`);
  assert.ok(pages.fileSize >= 4096 * mib, 'a module of huge pages is a file of the kernel');
  assert.equal(limitsOf(`${room}\nlimits: {memory: 2GiB}`).memory, 2048 * mib);
});
