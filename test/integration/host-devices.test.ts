/** PCI devices as sysfs and /proc show them, in a tree of files that is made as the kernel makes it. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { readHostDevices } from '../../src/manager/facts/host-devices.ts';

const root = mkdtempSync(join(tmpdir(), 'qward-sysfs-'));
after(() => rmSync(root, { recursive: true }));
const [sys, proc] = [join(root, 'sys'), join(root, 'proc')];

const put = (path: string, text: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
};
const link = (path: string, to: string): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  symlinkSync(join(root, to), join(root, path));
};

interface Made {
  readonly kind: string;
  readonly group: string;
  readonly driver?: string;
}

function makeDevice(address: string, { kind, group, driver }: Made): string {
  const directory = `sys/devices/pci0000:00/${address}`;
  put(`${directory}/class`, `${kind}\n`);
  link(`sys/bus/pci/devices/${address}`, directory);
  link(`sys/kernel/iommu_groups/${group}/devices/${address}`, directory);
  symlinkSync(join(root, `sys/kernel/iommu_groups/${group}`), join(root, directory, 'iommu_group'));
  if (driver !== undefined) {
    mkdirSync(join(root, `sys/bus/pci/drivers/${driver}`), { recursive: true });
    symlinkSync(join(root, `sys/bus/pci/drivers/${driver}`), join(root, directory, 'driver'));
  }
  return directory;
}

const gpu = makeDevice('0000:65:00.0', { kind: '0x030000', group: '7', driver: 'nouveau' });
put(`${gpu}/boot_vga`, '1\n');
makeDevice('0000:65:00.1', { kind: '0x040300', group: '7' });
const disk = makeDevice('0000:66:00.0', { kind: '0x010802', group: '8', driver: 'nvme' });
put(`${disk}/nvme/nvme0/nvme0n1/nvme0n1p2/dev`, '259:2\n');
// An encrypted volume on the second partition, which is mounted.
put('sys/devices/virtual/block/dm-0/dev', '253:0\n');
link('sys/devices/virtual/block/dm-0/slaves/nvme0n1p2', `${disk}/nvme/nvme0/nvme0n1/nvme0n1p2`);
link('sys/dev/block/253:0', 'sys/devices/virtual/block/dm-0');
const card = makeDevice('0000:67:00.0', { kind: '0x020000', group: '9', driver: 'e1000e' });
put(`${card}/net/eno1/flags`, '0x1003\n');
put(`${card}/net/eno2/flags`, '0x1002\n');
put('proc/self/mountinfo', '25 1 253:0 / / rw,relatime shared:1 - ext4 /dev/mapper/root rw\n');
put('proc/swaps', 'Filename\tType\tSize\tUsed\tPriority\n');

test('group, neighbours, and what the host does with a device are seen, through what lies above it too', async () => {
  const addresses = ['0000:65:00.0', '0000:66:00.0', '0000:67:00.0', '0000:70:00.0'];
  const { devices, hasDriver } = await readHostDevices(
    addresses.map((pci) => ({ pci })),
    { sys, proc },
  );
  assert.equal(hasDriver, false);
  const plain = { bootDisplay: false, holds: [], upLinks: [] };
  assert.deepEqual(devices, {
    '0000:65:00.0': {
      ...plain,
      group: '7',
      bootDisplay: true,
      members: [
        { address: '0000:65:00.0', class: '0x030000', driver: 'nouveau' },
        { address: '0000:65:00.1', class: '0x040300', driver: '' },
      ],
    },
    '0000:66:00.0': {
      ...plain,
      group: '8',
      members: [{ address: '0000:66:00.0', class: '0x010802', driver: 'nvme' }],
      holds: ['a file system is mounted at /'],
    },
    '0000:67:00.0': {
      ...plain,
      group: '9',
      members: [{ address: '0000:67:00.0', class: '0x020000', driver: 'e1000e' }],
      upLinks: ['eno1'],
    },
    '0000:70:00.0': null,
  });
});
