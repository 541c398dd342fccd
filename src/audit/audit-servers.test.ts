/** The recorded facts made into those of a virtiofsd, and of a QEMU with a PCI device: what the audit must notice of each. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { LaunchedMachine, OpenDescriptor, ProcessFacts } from '../protocol/broker.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import { expectedWalls, type MachineWalls } from './expected-walls.ts';
import type { Finding } from './finding.ts';
import { parseState } from './process-state.ts';
import { compareDescriptors } from './wall-descriptors.ts';
import { compareUserNamespace } from './wall-namespaces.ts';
import { compareRoot } from './wall-root.ts';

const path = join(import.meta.dirname, '../../test/security/audit-recorded-facts.json');
const { launched, facts } = JSON.parse(readFileSync(path, 'utf8')) as {
  readonly launched: LaunchedMachine;
  readonly facts: ProcessFacts;
};
const expecting = (launch: Partial<LaunchRequest>): MachineWalls =>
  expectedWalls({ ...launched, launch: { ...launched.launch, ...launch } });

const faultsIn = ({ found }: Finding): string => found;

const folder = { kind: 'file', path: '/home/alice/data', access: 'rw', claimant: 1000 } as const;
const share = expecting({ program: 'virtiofsd', shown: [folder] });
const { uid, gid } = share;

function factsOfShare(options: string, idMaps: ProcessFacts['idMaps']): ProcessFacts {
  return {
    ...facts,
    mountinfo: `70 60 254:7 /alice/data / ${options} - ext4 /dev/vda7 rw\n`,
    hostMountinfo: `30 20 254:7 / /home rw,relatime - ext4 /dev/vda7 rw\n`,
    namespaces: { ...facts.namespaces, user: 'user:[4026539999]' },
    ...(idMaps === undefined ? {} : { idMaps }),
  };
}
const options = 'rw,nosuid,nodev,noexec,relatime,idmapped';
const maps = { uid: `         0 ${uid}          1\n`, gid: `         0 ${gid}          1\n` };

test('a shared folder is a mount on which no device, program or set-user-ID counts', () => {
  const look = (words: string): string => faultsIn(compareRoot(parseState(factsOfShare(words, maps)), share));
  assert.doesNotMatch(look(options), /without/);
  for (const flag of ['nosuid', 'nodev', 'noexec'])
    assert.match(
      look(options.replace(`,${flag}`, '')),
      /\/home\/alice\/data without nosuid, nodev and noexec/,
    );
});

test('virtiofsd is nobody of the host but its own uid and gid, whoever it is in its namespace', () => {
  const look = (idMaps: ProcessFacts['idMaps']): string =>
    faultsIn(compareUserNamespace(parseState(factsOfShare(options, idMaps)), share));
  assert.doesNotMatch(look(maps), /of the host/);
  for (const map of ['0 0 1', `0 ${uid} 2`, `0 ${uid} 1\n1 100000 65536`, '0 1000 1', ''])
    assert.match(look({ ...maps, uid: map }), /users of the host/, map);
  for (const map of ['0 0 1', `0 ${gid} 1\n1 1 1`, ''])
    assert.match(look({ ...maps, gid: map }), /groups of the host/, map);
});

test('passt maps nobody of the host, or itself', () => {
  const expected = expecting({ program: 'passt' });
  const look = (map: string): string =>
    faultsIn(compareUserNamespace(parseState(factsOfShare(options, { uid: map, gid: '' })), expected));
  for (const map of ['', `0 ${uid} 1`]) assert.doesNotMatch(look(map), /of the host/);
  for (const map of ['0 0 1', `0 ${uid} 1\n1 1 1`]) assert.match(look(map), /users of the host/);
});

test('a QEMU has no more PCI devices open than it was given, whatever its group holds', () => {
  const device = (fd: number): OpenDescriptor => ({
    fd,
    target: 'anon_inode:[vfio-device]',
    flags: 2,
    device: 14,
    inode: 1,
    type: 0,
  });
  const look = (devices: number, ...given: readonly string[]): string => {
    const expected = expecting({ relaxed: given.map((to) => ({ relax: 'pci', to }) as const) });
    const more = Array.from({ length: devices }, (_, index) => device(100 + index));
    const seen = { ...facts, descriptors: [...facts.descriptors, ...more] };
    return faultsIn(compareDescriptors(parseState(seen), expected));
  };
  assert.doesNotMatch(look(1, '0000:01:00.0'), /PCI/);
  assert.doesNotMatch(look(2, '0000:01:00.0', '0000:01:00.1'), /PCI/);
  assert.match(look(2, '0000:01:00.0'), /101: a PCI device beyond the 1 that were given/);
  assert.match(look(1), /100: a PCI device beyond the 0/);
});

test('a QEMU has the very node of a USB device that it was given, by whatever name, and the one socket that libusb needs', () => {
  const node = { device: 6, inode: 700 };
  const open = (more: Partial<OpenDescriptor>): OpenDescriptor => ({
    fd: 100,
    target: '/dev/bus/usb/001/004',
    flags: 2,
    ...node,
    type: 0o020000,
    ...more,
  });
  const look = (given: boolean, ...descriptors: readonly OpenDescriptor[]): string => {
    const usb = { kind: 'usb', device: '046d:c52b' } as const;
    const { launch } = launched;
    const expected = given
      ? {
          ...expecting({
            descriptors: [...launch.descriptors, usb],
            relaxed: [{ relax: 'usb', to: '046d:c52b' }],
          }),
          files: { ...launched.files, '046d:c52b': node },
        }
      : expecting({});
    const seen = { ...facts, descriptors: [...facts.descriptors, ...descriptors] };
    return faultsIn(compareDescriptors(parseState(seen), expected));
  };
  const socket = (fd: number): OpenDescriptor =>
    open({ fd, target: `socket:[${fd}]`, device: 9, inode: fd, type: 0o140000 });
  assert.doesNotMatch(
    look(true, open({}), open({ fd: 101, target: '/dev/bus/usb/001/004 (deleted)' })),
    /10[01]:/,
  );
  assert.doesNotMatch(look(true, socket(100)), /100:/);
  assert.match(look(true, socket(100), socket(101)), /101: socket:\[101\], not a Unix socket/);
  // Another node in its place, another kind of file, and none that was given.
  assert.match(look(true, open({ inode: 701 })), /100: \/dev\/bus\/usb\/001\/004 was not planned/);
  assert.match(look(true, open({ type: 0o100000 })), /was not planned/);
  assert.match(look(false, open({})), /was not planned/);
  assert.match(look(false, socket(100)), /100: socket:\[100\], not a Unix socket/);
});
