import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  absentUsb,
  hostDeviceFaults,
  type HostDevice,
  type HostDeviceFacts,
  type HostUsbDevice,
} from './host-device-faults.ts';

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
    { hostDevices: given.map((pci, index) => ({ id: `d${index}`, pci, rom: true, optional: false })) },
    { devices: {}, hasDriver: true, usb: [], ...facts },
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

const usb = (port: string, id: string, more: Partial<HostUsbDevice> = {}): HostUsbDevice => ({
  port,
  id,
  isHub: false,
  holds: [],
  ...more,
});

const foundUsb = (devices: readonly HostUsbDevice[], given: string, optional = false): readonly string[] =>
  hostDeviceFaults(
    { hostDevices: [{ id: 'key', usb: given, rom: true, optional }] },
    { devices: {}, hasDriver: false, usb: devices },
  ).map(({ message, hint }) => `${message}; ${hint}`);

test('a USB device is the one that fits, and is in nobody’s use', () => {
  const key = usb('1-2', '046d:c52b');
  const twins = [key, usb('1-4', '0781:5581'), usb('2-1.3', '0781:5581', { holds: ['/dev/sda1 is swap'] })];
  const hub = usb('1-1', '1d6b:0104', { isHub: true });
  assert.deepEqual(foundUsb([key], '046d:c52b'), []);
  assert.deepEqual(foundUsb([key], '1-2'), []);
  assert.match(foundUsb([key, hub], '1-3')[0] ?? '', /1-3 is not there; .* the host has 046d:c52b at 1-2$/);
  assert.deepEqual(foundUsb([], '1-3', true), []);
  assert.match(foundUsb(twins, '0781:5581', true)[0] ?? '', /is there 2 times, at 1-4, 2-1\.3/);
  assert.match(foundUsb(twins, '2-1.3')[0] ?? '', /is in use: \/dev\/sda1 is swap/);
  assert.match(foundUsb([hub], '1-1', true)[0] ?? '', /is a hub/);
});

test('what need not be there and is not is left out of a start', () => {
  const hostDevices = ['1-1', '1-2', '1-3'].map((port, index) => ({
    id: port.replace('1-', 'd'),
    usb: port,
    rom: true,
    optional: index > 0,
  }));
  assert.deepEqual(absentUsb({ hostDevices }, { usb: [usb('1-2', '046d:c52b')] }), ['d3']);
});
