import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cpuOf, notTheDisks, seesHostCpu, whatDoesNotFit, type Here, type Offer } from './what-fits.ts';

const argv = ['/usr/bin/qemu-system-x86_64', '-machine', 'q35', '-rtc', 'base=then', '-m', 'size=96M'];
const offer: Offer = {
  kind: 'offer',
  version: 1,
  definition: '{}',
  revision: null,
  argv,
  qemu: { major: 7, minor: 2, micro: 1 },
  cpu: null,
  paused: false,
  files: {
    '/kernel': { size: 5, modifiedMs: 7, written: false },
    '/disk': { size: 9, modifiedMs: 1, written: true },
  },
};
const here: Here = {
  argv: [...argv.with(4, 'base=now'), '-incoming', 'defer'],
  marks: { '/kernel': { size: 5, modifiedMs: 7 }, '/disk': { size: 10, modifiedMs: 2 } },
  qemu: { major: 7, minor: 2, micro: 9 },
  cpu: 'mine',
};
const why = (changed: Partial<Offer>, at: Partial<Here> = {}): string[] =>
  whatDoesNotFit({ ...offer, ...changed }, { ...here, ...at }).map(({ message }) => message);

test('the same machine fits: its clock, a release of QEMU and what its guest writes may differ', () => {
  assert.deepEqual(why({}), []);
  assert.deepEqual(why({}, { qemu: null }), []);
  assert.deepEqual(why({ cpu: 'mine' }), []);
});

test('a block device fits by a name that is its own, not by one that each host gives', () => {
  const device = (path: string): string[] => {
    const mark = { size: 9, modifiedMs: null };
    return why({ files: { [path]: { ...mark, written: true } } }, { marks: { [path]: mark } });
  };
  assert.deepEqual(device('/dev/disk/by-id/wwn-0x5000c500a0b1c2d3'), []);
  assert.deepEqual(device('/dev/disk/by-id/dm-uuid-LVM-x'), []);
  for (const path of [
    '/dev/sdb',
    '/dev/mapper/vg0-web',
    '/dev/vg0/web',
    '/dev/disk/by-id/dm-name-vg0-web',
    '/dev/disk/by-path/pci-0000:00:1f.2-ata-1',
  ])
    assert.match(device(path).join(), /may be another one on each host/, path);
});

test('everything that does not fit is told at once', () => {
  const faults = why(
    { argv: argv.with(2, 'pc'), qemu: { major: 9, minor: 0, micro: 0 }, cpu: 'another' },
    { marks: { '/kernel': { size: 5, modifiedMs: 8 } } },
  );
  assert.match(
    faults.join('\n'),
    /-machine pc became -machine q35[\s\S]*QEMU 9\.0[\s\S]*has 7\.2[\s\S]*CPU[\s\S]*\/kernel is another[\s\S]*\/disk is no file/,
  );
  assert.equal(faults.length, 5);
});

test('a guest sees the CPU of the host by KVM alone, where its model is that of the host', () => {
  const words = (accel: string, cpu: string): string[] => ['qemu', '-accel', accel, '-cpu', cpu];
  assert.equal(seesHostCpu(words('kvm', 'host,vmx=off')), true);
  assert.equal(seesHostCpu(words('kvm', 'max')), true);
  assert.equal(seesHostCpu(words('kvm', 'Skylake-Server')), false);
  assert.equal(seesHostCpu(words('tcg,thread=multi', 'max')), false);
});

test('of /proc/cpuinfo the first CPU counts, without what changes from moment to moment', () => {
  const one = 'processor\t: 0\nvendor_id\t: X\nmodel\t\t: 6\ncpu MHz\t\t: 1.5\nflags\t\t: fpu sse\n';
  assert.equal(cpuOf(`${one}\n${one.replace('sse', 'avx')}`), 'vendor_id=X;model=6;flags=fpu sse');
});

test('a disk is what QEMU has open, and one that the other side names', () => {
  const found = (path: string, inode: number) =>
    ({ path, ok: true, size: 9, modifiedMs: 1, device: 1, inode, head: '', worldReadable: false }) as const;
  const asked = {
    written: ['/disk'],
    there: { '/disk': { size: 9, modifiedMs: 1 } },
    here: [found('/disk', 5), found('/kernel', 6)],
    opened: { '/disk': { device: 1, inode: 5 }, '/kernel': { device: 1, inode: 6 } },
  };
  assert.deepEqual(notTheDisks(asked), []);
  assert.match(notTheDisks({ ...asked, there: {} }).join(), /\/disk is written to/);
  assert.match(notTheDisks({ ...asked, here: [found('/disk', 7)] }).join(), /\/disk is another file by now/);
  assert.match(notTheDisks({ ...asked, opened: {} }).join(), /\/disk is another.*\/kernel is another/);
});
