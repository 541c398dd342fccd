import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hostPaths, parseMounts, type Mount } from './mounts.ts';

const first = (text: string): Mount => parseMounts(text)[0] ?? assert.fail('no mount');

test('a line of mountinfo is taken apart, with optional fields and escapes', () => {
  assert.deepEqual(first('36 35 98:0 /mnt1 /mnt\\0402 ro,noatime shared:7 master:1 - ext3 /dev/root rw'), {
    device: '98:0',
    root: '/mnt1',
    target: '/mnt 2',
    readOnly: true,
    plain: false,
    sharedWith: '7',
    type: 'ext3',
  });
});

test('read-only is what the mount says, not its file system', () => {
  assert.equal(first('36 35 98:0 / / rw - ext3 /dev/root ro').readOnly, false);
});

test('a mount of the jail is found on the host, through subvolumes and mount points', () => {
  const host = parseMounts(
    [
      '1 0 8:1 /@ / rw - btrfs /dev/sda1 rw',
      '2 1 8:2 / /usr rw - ext4 /dev/sda2 rw',
      '3 1 8:1 /@home /home rw - btrfs /dev/sda1 rw',
    ].join('\n'),
  );
  const pathsOf = (line: string) => hostPaths(first(line), host);
  assert.deepEqual(pathsOf('9 8 8:1 /@/etc /etc ro - btrfs /dev/sda1 rw'), ['/etc']);
  assert.deepEqual(pathsOf('9 8 8:2 /share/qemu /usr/share/qemu ro - ext4 /dev/sda2 rw'), [
    '/usr/share/qemu',
  ]);
  assert.deepEqual(pathsOf('9 8 8:2 / /x ro - ext4 /dev/sda2 rw'), ['/usr']);
  assert.deepEqual(pathsOf('9 8 8:1 /@ /x ro - btrfs /dev/sda1 rw'), ['/']);
  assert.deepEqual(pathsOf('9 8 8:1 /@home/alice//deleted /x ro - btrfs /dev/sda1 rw'), ['/home/alice']);
  assert.deepEqual(pathsOf('9 8 0:77 / /proc rw - proc proc rw'), []);
  assert.deepEqual(pathsOf('9 8 8:1 /@homes/bob /x ro - btrfs /dev/sda1 rw'), []);
});
