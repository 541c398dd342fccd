import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planDiskStep, type DiskStep } from './disk-job.ts';
import { UnsafeTokenError } from './options.ts';

const GiB = 1024 ** 3;
const site = {
  machine: 'qward-disk-0123456789ab',
  tool: {
    binary: '/usr/bin/qemu-img',
    closure: [{ source: '/usr/bin/qemu-img', target: '/usr/bin/qemu-img' }],
  },
  virtualSize: GiB,
};
const file = <const Format extends 'raw' | 'qcow2' | 'vmdk'>(path: string, format: Format) => ({
  path,
  format,
  claimant: null,
});
const web = file('/srv/web.qcow2', 'qcow2');
const base = file('/srv/base.raw', 'raw');
const target = file('/srv/.new.qcow2.job', 'qcow2');
const overlay = { ...web, backing: [base] };

const node = (driver: string, fd: number, backing: string): string =>
  `{"driver":"${driver}","file":{"driver":"file","filename":"/proc/self/fd/${fd}","locking":"on"},"backing":${backing}}`;
const alone = `json:${node('qcow2', 3, 'null')}`;
const chained = `json:${node('qcow2', 3, node('raw', 4, 'null'))}`;

/** Step, argv, access of each descriptor. */
const golden: readonly (readonly [DiskStep, readonly string[], string])[] = [
  [{ do: 'info', image: web, shared: false }, ['info', '--output=json', alone], 'ro'],
  [{ do: 'info', image: web, shared: true }, ['info', '--output=json', '--force-share', alone], 'ro'],
  [
    {
      do: 'create',
      target,
      size: GiB,
      preallocation: 'off',
      backing: { path: '/srv/base.raw', format: 'raw' },
    },
    [
      'create',
      '-f',
      'qcow2',
      '-o',
      'extent_size_hint=0,preallocation=off',
      '-u',
      '-b',
      '/srv/base.raw',
      '-F',
      'raw',
      '/proc/self/fd/3',
      '1073741824',
    ],
    'rw',
  ],
  [
    { do: 'convert', image: overlay, target, compress: true, rate: 1024 },
    [
      'convert',
      '-p',
      '-c',
      '-r',
      '1024',
      '-t',
      'writeback',
      '-O',
      'qcow2',
      '-o',
      'extent_size_hint=0',
      chained,
      '/proc/self/fd/5',
    ],
    'ro ro rw',
  ],
  [
    { do: 'resize', image: { ...web, backing: [] }, size: GiB, shrink: true, preallocation: 'off' },
    ['resize', '--shrink', '--preallocation=off', alone, '1073741824'],
    'rw',
  ],
  [{ do: 'check', image: web, repair: null }, ['check', '--output=json', alone], 'ro'],
  [{ do: 'check', image: web, repair: 'all' }, ['check', '--output=json', '-r', 'all', alone], 'rw'],
  [{ do: 'commit', image: overlay }, ['commit', '-p', chained], 'rw rw'],
  [
    { do: 'rebase', image: overlay, onto: [file('/srv/new.raw', 'raw')] },
    ['rebase', '-p', '-b', `json:${node('raw', 5, 'null')}`, '-F', 'raw', chained],
    'rw ro ro',
  ],
  [{ do: 'rebase', image: overlay, onto: [] }, ['rebase', '-p', '-b', '', chained], 'rw ro'],
  [
    { do: 'rename-backing', image: web, backing: { path: '/srv/n', format: 'raw' } },
    ['rebase', '-u', '-b', '/srv/n', '-F', 'raw', alone],
    'rw',
  ],
  [{ do: 'snapshot', image: web, action: 'revert', snapshot: 'one' }, ['snapshot', '-a', 'one', alone], 'rw'],
];

test('each step is one command with explicit formats, chains that end, and descriptors only', () => {
  for (const [step, argv, accesses] of golden) {
    const launch = planDiskStep(step, site);
    assert.deepEqual(launch.argv, argv);
    const files = launch.descriptors.map((one) =>
      one.kind === 'file' && one.reopened ? one.access : one.kind,
    );
    assert.equal(files.join(' '), accesses, step.do);
    assert.deepEqual([launch.program, launch.devices, launch.env], ['qemu-img', [], { LANG: 'C' }]);
  }
});

test('a file that is named twice is one descriptor, writable where one use writes', () => {
  const launch = planDiskStep({ do: 'commit', image: { ...web, backing: [web] } }, site);
  assert.deepEqual(
    launch.descriptors.map((one) => (one.kind === 'file' ? [one.path, one.access] : [])),
    [['/srv/web.qcow2', 'rw']],
  );
});

test('names that qemu-img would take for more than a name are refused', () => {
  for (const path of ['json:{}', 'nbd:x', '', 'relative', '/a\nb', '/a\u0000'])
    assert.throws(
      () => planDiskStep({ do: 'rename-backing', image: web, backing: { path, format: 'raw' } }, site),
      UnsafeTokenError,
    );
  for (const snapshot of ['', '-l', 'a b', 'a,b', 'a\nb', '../x', 'x'.repeat(200)])
    assert.throws(
      () => planDiskStep({ do: 'snapshot', image: web, action: 'create', snapshot }, site),
      UnsafeTokenError,
    );
});

test('memory and file sizes are bounded whatever size an image claims', () => {
  const huge = planDiskStep(
    { do: 'check', image: web, repair: null },
    { ...site, virtualSize: Number.MAX_SAFE_INTEGER },
  );
  assert.ok(huge.limits.memory < 3 * GiB);
  assert.ok(Number.isSafeInteger(huge.limits.fileSize));
  assert.ok(planDiskStep({ do: 'info', image: web, shared: false }, site).limits.fileSize <= 64 * 1024 ** 2);
});
