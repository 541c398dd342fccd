import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostDeviceFaults, type HostDevice, type HostDeviceFacts } from './host-device-faults.ts';

const gpu = '0000:65:00.0';
const audio = '0000:65:00.1';

const device = (more: Partial<HostDevice> = {}): HostDevice => ({
  group: '12',
  members: [{ address: gpu, class: '0x030000', driver: 'nouveau' }],
  bootDisplay: false,
  holds: [],
  upLinks: [],
  ...more,
});

const found = (facts: Partial<HostDeviceFacts>, ...given: readonly string[]): readonly string[] =>
  hostDeviceFaults(
    { hostDevices: given.map((pci, index) => ({ id: `d${index}`, pci, rom: true })) },
    { devices: {}, hasDriver: true, ...facts },
  ).map(({ message }) => message);

test('a device alone in its group, or with bridges and what nobody has, can be given', () => {
  assert.deepEqual(found({ devices: { [gpu]: device() } }, gpu), []);
  const members = [
    { address: gpu, class: '0x030000', driver: 'nouveau' },
    { address: '0000:64:00.0', class: '0x060400', driver: 'pcieport' },
    { address: audio, class: '0x040300', driver: '' },
  ];
  assert.deepEqual(found({ devices: { [gpu]: device({ members }) } }, gpu), []);
});

test('a group whose others the host uses is given whole or not at all', () => {
  const members = [
    { address: gpu, class: '0x030000', driver: 'nouveau' },
    { address: audio, class: '0x040300', driver: 'snd_hda_intel' },
  ];
  const devices = { [gpu]: device({ members }), [audio]: device({ members }) };
  assert.deepEqual(found({ devices }, gpu), [
    `PCI device ${gpu} is in IOMMU group 12 with ${audio}, which snd_hda_intel has: neither can be given alone`,
  ]);
  assert.deepEqual(found({ devices }, gpu, audio), []);
});

test('what is missing or in use is said, all of it at once', () => {
  assert.deepEqual(found({}, gpu), [`PCI device ${gpu} is not there`]);
  assert.match(found({ devices: { [gpu]: device({ group: null }) } }, gpu)[0] ?? '', /no IOMMU group/);
  const busy = device({ bootDisplay: true, holds: ['a file system is mounted at /'], upLinks: ['eth0'] });
  assert.deepEqual(found({ devices: { [gpu]: busy }, hasDriver: false }, gpu), [
    `PCI device ${gpu} needs the driver vfio-pci`,
    `PCI device ${gpu} is the graphics card with which the host booted`,
    `PCI device ${gpu} is in use: a file system is mounted at /`,
    `PCI device ${gpu} is the network interface eth0, which is up`,
  ]);
});
