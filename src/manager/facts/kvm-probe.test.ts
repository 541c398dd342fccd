import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { judgeKvmProbe, planKvmProbe } from './kvm-probe.ts';
import { probeBootSector, probeMagic, probeSourceSha256 } from './kvm-probe-image.ts';

const qemu = {
  binary: '/usr/bin/qemu-system-x86_64',
  version: { major: 7, minor: 2, micro: 0 },
  closure: [],
  modules: {},
};

test('the boot sector belongs to the source beside it', () => {
  const source = readFileSync(new URL('../../../resources/kvm-probe/probe.S', import.meta.url));
  assert.equal(createHash('sha256').update(source).digest('hex'), probeSourceSha256);
  const sector = probeBootSector();
  assert.equal(sector.length, 512);
  assert.equal(sector.readUInt16LE(510), 0xaa55);
  assert.ok(sector.includes(probeMagic));
});

test('the probe is an ordinary launch with /dev/kvm, a read-only image and two sockets', () => {
  const planned = planKvmProbe(qemu, '/var/lib/qward/vars/kvm-probe.img');
  assert.ok(planned.ok);
  const { launch, accel } = planned.plan;
  assert.equal(accel.kind, 'kvm');
  assert.equal(launch.machine, 'kvm-probe');
  assert.deepEqual(launch.devices, ['/dev/kvm']);
  assert.deepEqual(launch.descriptors, [
    { kind: 'socket', name: 'qmp' },
    { kind: 'socket', name: 'console' },
    {
      kind: 'file',
      path: '/var/lib/qward/vars/kvm-probe.img',
      access: 'ro',
      claimant: null,
      reopened: false,
    },
  ]);
  assert.ok(launch.argv.includes('-S'));
  assert.ok(launch.limits.memory < 512 * 1024 ** 2);
});

test('a QEMU that is too old makes no plan', () => {
  const planned = planKvmProbe({ ...qemu, version: { major: 5, minor: 2, micro: 0 } }, '/x/kvm-probe.img');
  assert.ok(!planned.ok);
  assert.deepEqual(
    planned.faults.map(({ code }) => code),
    ['qemu-too-old'],
  );
});

test('only the whole message proves KVM', () => {
  assert.equal(judgeKvmProbe(Buffer.from(`firmware\r\n${probeMagic}\r\n`)).works, true);
  for (const output of ['', probeMagic.slice(0, -1), 'SeaBIOS (version 1.16.2)'])
    assert.equal(judgeKvmProbe(Buffer.from(output)).works, false, output);
});
