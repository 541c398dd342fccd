import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { lockedImage } from './locked-image.ts';

const file = (path: string) =>
  ({ kind: 'file', path, access: 'rw', claimant: null, reopened: false }) as const;
const launch = {
  argv: ['-add-fd', 'fd=4,set=1,opaque=ro', '-add-fd', 'fd=5,set=2,opaque=ro'],
  descriptors: [{ kind: 'socket', name: 'qmp' }, file('/srv/one.raw'), file('/srv/two.raw')],
} as unknown as LaunchRequest;
const words = (set: string): string[] => [
  'qemu-system-x86_64: -blockdev {...}: Failed to get "write" lock',
  `Is another process using the image [${set}]?`,
];

test('the descriptor set that QEMU names leads to the path of the image', () => {
  assert.deepEqual(lockedImage(words('/dev/fdset/2'), launch), { path: '/srv/two.raw' });
});

test('a set that is not of the launch, or none, is a locked image without a path', () => {
  for (const name of ['/dev/fdset/3', '/srv/other.raw'])
    assert.deepEqual(lockedImage(words(name), launch), { path: undefined }, name);
});

test('words of other things are no lock', () => {
  assert.equal(lockedImage(['Could not open [/dev/fdset/1]'], launch), undefined);
});
