import assert from 'node:assert/strict';
import { test } from 'node:test';
import { placeDevice, ports } from './hotplug-place.ts';
import { optionsOf } from './launched-options.ts';
import { plannedDisk } from './planned-disk.ts';
import { planOf } from './sample-facts.ts';

const { launch } = planOf(`
name: a
scsiControllers: [{}]
disks:
  - id: root
    path: /var/lib/qward/images/web.qcow2
    format: qcow2
    backing: [{ path: /var/lib/qward/images/base.qcow2, format: qcow2 }]
    limits: { iops: 100 }
  - { id: data, path: /var/lib/qward/images/data.raw, format: raw, bus: scsi, wwn: "5000c50015ea71aa" }
`);

test('a disk of a launch is its device, its nodes from the lowest up, its limits and its descriptors', () => {
  const root = plannedDisk(launch, 'root');
  assert.deepEqual(
    root?.nodes.map((node) => [node['node-name'], node['driver']]),
    [
      ['file.1', 'file'],
      ['image.1', 'qcow2'],
      ['file.2', 'file'],
      ['image.2', 'qcow2'],
      ['root', 'throttle'],
    ],
  );
  assert.deepEqual(
    root.groups.map(({ id }) => id),
    ['limits.root'],
  );
  assert.deepEqual(
    [...root.sets].map(([set, files]) => [set, files.map(({ file }) => `${file.access} ${file.path}`)]),
    [
      ['1', ['ro /var/lib/qward/images/base.qcow2']],
      ['2', ['ro /var/lib/qward/images/web.qcow2', 'rw /var/lib/qward/images/web.qcow2']],
    ],
  );
  for (const { index, file } of [...root.sets.values()].flat()) assert.equal(launch.descriptors[index], file);
});

test('a number of 64 bits goes to QEMU as it was written', () => {
  assert.match(JSON.stringify(plannedDisk(launch, 'data')?.device), /"wwn":5764824127192592810\b/);
});

test('what is no disk is none', () => {
  for (const id of ['rng.0', 'never', 'ctl.scsi']) assert.equal(plannedDisk(launch, id), undefined, id);
});

test('places are given out until there are none', () => {
  const devices = optionsOf(launch, '-device');
  assert.deepEqual(ports(devices).free, ['port.0', 'port.1', 'port.2', 'port.3']);
  const disk = { driver: 'virtio-blk-pci', bus: 'pcie.0', addr: '0c.0', id: 'x', bootindex: 1 };
  const used = ['port.0', 'port.1', 'port.3'].map((bus) => ({ driver: 'virtio-blk-pci', bus }));
  assert.deepEqual(placeDevice(disk, [...devices, ...used], launch), {
    ok: true,
    device: { driver: 'virtio-blk-pci', bus: 'port.2', id: 'x' },
  });
  const full = placeDevice(disk, [...devices, ...used, { bus: 'port.2' }], launch);
  assert.ok(!full.ok && full.cure.includes('hotplug: {ports: 8}'), JSON.stringify(full));
  const scsi = { driver: 'scsi-hd', bus: 'ctl.scsi.0', 'scsi-id': 0, id: 'y' };
  assert.deepEqual(placeDevice(scsi, devices, launch), { ok: true, device: { ...scsi, 'scsi-id': 1 } });
  assert.equal(placeDevice({ ...scsi, bus: 'ctl.scsi1.0' }, devices, launch).ok, false);
  assert.equal(
    placeDevice({ driver: 'virtio-blk-device', bus: 'virtio-mmio-bus.4' }, devices, launch).ok,
    false,
  );
});
