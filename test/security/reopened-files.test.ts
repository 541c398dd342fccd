/** Promises 2 and 3: a file that a jailed process may open again as if its own stays its owner's, whatever the process calls. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { auditProcess } from '../../src/audit/audit-process.ts';
import { expectedWalls } from '../../src/audit/expected-walls.ts';
import { openAsOwn } from '../../src/linux/idmapped.ts';
import type { LaunchedMachine, ProcessFacts } from '../../src/protocol/broker.ts';
import type { Access, Descriptor, JailedProgram } from '../../src/protocol/launch.ts';
import { startTestBroker, traces, type TestBroker } from '../support/broker.ts';
import { linesUntilEnd, perlLaunch } from '../support/perl-launch.ts';
import { makeImage, testLaunch } from '../support/test-launch.ts';

const owner = 910_000_031;

function privateFile(path: string, content: string, mode = 0o600): string {
  writeFileSync(path, content);
  chownSync(path, owner, owner);
  chmodSync(path, mode);
  return path;
}

const reopened = (path: string, access: Access): Descriptor => ({
  kind: 'file',
  path,
  access,
  claimant: null,
  reopened: true,
});

/** Owner, mode, times of change, size, ACL, attributes and flags. */
const factsOf = (path: string): string =>
  execFileSync(
    'sh',
    [
      '-c',
      'stat -c "%u %g %a %y %z %s %h %i" "$0"; getfacl -pn "$0"; getfattr --absolute-names -d -m - "$0"; lsattr "$0"',
      path,
    ],
    { encoding: 'utf8' },
  );

/** Every call that changes owner, mode, times, label, ACL or flags; `FD` is the descriptor, `PATH` the way to it in /proc. */
const attacks: readonly (readonly [name: string, call: string])[] = [
  ['chmod', '90, PATH, 0666'],
  ['fchmod', '91, FD, 0666'],
  ['fchmodat', '268, -100, PATH, 0666'],
  ['fchmodat2', '452, FD, EMPTY, 0666, 0x1000'],
  ['chown', '92, PATH, 0, 0'],
  ['fchown', '93, FD, 0, 0'],
  ['lchown', '94, PATH, 0, 0'],
  ['fchownat', '260, FD, EMPTY, 0, 0, 0x1000'],
  ['utime', '132, PATH, ZEROES'],
  ['utimes', '235, PATH, ZEROES'],
  ['futimesat', '261, -100, PATH, ZEROES'],
  ['utimensat', '280, FD, 0, ZEROES, 0'],
  ['setxattr', '188, PATH, NAME, VALUE, 1, 0'],
  ['lsetxattr', '189, PATH, NAME, VALUE, 1, 0'],
  ['fsetxattr', '190, FD, NAME, VALUE, 1, 0'],
  ['setxattrat', '463, FD, EMPTY, 0x1000, NAME, ZEROES, 16'],
  ['removexattr', '197, PATH, KEPT'],
  ['lremovexattr', '198, PATH, KEPT'],
  ['fremovexattr', '199, FD, KEPT'],
  ['removexattrat', '466, FD, EMPTY, 0x1000, KEPT'],
  ['FS_IOC_SETFLAGS', '16, FD, 0x40086602, FLAGS'],
  ['FS_IOC32_SETFLAGS', '16, FD, 0x40046602, FLAGS'],
  ['FS_IOC_SETFLAGS with a bit above 32', '16, FD, 0x140086602, FLAGS'],
  ['FS_IOC_FSSETXATTR', '16, FD, 0x401c5820, ZEROES'],
  ['FS_IOC_SETVERSION', '16, FD, 0x40087602, ZEROES'],
  ['FS_IOC_ENABLE_VERITY', '16, FD, 0x40806685, ZEROES'],
  ['file_setattr', '469, FD, EMPTY, ZEROES, 24, 0x1000'],
  ['F_SETLEASE', '72, FD, 1024, 0'],
  ['F_SET_RW_HINT', '72, FD, 1036, FLAGS'],
  ['link', '86, PATH, OTHER'],
  ['linkat', '265, FD, EMPTY, -100, OTHER, 0x1000'],
  ['unlink', '87, PATH'],
  ['io_uring_setup', '425, 1, ZEROES'],
];

/** A perl script that makes each on the descriptors, and tells what became of it. */
function attackScript(fds: readonly number[]): string {
  const values = `my $zeroes = "\\0" x 256; my $flags = pack('q', 0x40); my $empty = ''; my $name = 'user.mine';
    my $value = 'x'; my $kept = 'user.note'; my $other = '/dev/other'; my $path;`;
  const calls = fds.flatMap((fd) => [
    `$path = '/proc/self/fd/${fd}';`,
    ...attacks.map(([name, call]) => {
      const words = call
        .replaceAll('FD', String(fd))
        .replaceAll(/PATH|ZEROES|FLAGS|EMPTY|NAME|VALUE|KEPT|OTHER/g, (word) => `$${word.toLowerCase()}`);
      return `print "${fd} ${name} ", (syscall(${words}) < 0 ? 'refused' : 'done'), "\\n";`;
    }),
  ]);
  return `${values}\n${calls.join('\n')}\n`;
}

async function launch(
  broker: TestBroker,
  descriptors: readonly Descriptor[],
  script: string,
  program: JailedProgram = 'qemu',
): Promise<LaunchedMachine> {
  const request = perlLaunch(
    await testLaunch('one', descriptors),
    `$| = 1; ${script}; print "end\\n"; sleep 60;`,
  );
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch: { ...request, program } });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

for (const [program, key] of [
  ['qemu', 'qemuBinaries'],
  ['qemu-img', 'imageTools'],
] as const) {
  test(`no call in the jail of ${program} changes anything about a file that it may open as its own`, async () => {
    await using broker = await startTestBroker({ [key]: ['/usr/bin/perl'] });
    const paths = ['written', 'read'].map((name) => privateFile(`${broker.images}/${name}`, 'content'));
    for (const path of paths) {
      execFileSync('setfattr', ['-n', 'user.note', '-v', 'x', path]);
      execFileSync('setfacl', ['-m', `u:${owner + 1}:r`, path]);
    }
    const before = paths.map(factsOf);
    const descriptors = paths.map((path, index) => reopened(path, index === 0 ? 'rw' : 'ro'));
    const { log } = await launch(broker, descriptors, attackScript([4, 5]), program);
    const lines = await linesUntilEnd(log);
    assert.equal(lines.length, 2 * attacks.length + 1);
    assert.deepEqual(
      lines.filter((line) => line.endsWith(' done')),
      [],
    );
    assert.deepEqual(paths.map(factsOf), before);
  });
}

test('without the filter the same calls do change it: it is the filter that keeps them off', async () => {
  await using broker = await startTestBroker();
  const path = privateFile(`${broker.images}/control`, 'content');
  execFileSync('setfattr', ['-n', 'user.note', '-v', 'x', path]);
  const [machine, before] = [0x7000_0042, factsOf(path)];
  const file = openSync(path, 'r+');
  const fd = await openAsOwn(file, fstatSync(file), { uid: machine, access: 'rw' });
  const ids = [
    `--reuid=${machine}`,
    `--regid=${machine}`,
    '--clear-groups',
    '--bounding-set=-all',
    '--no-new-privs',
  ];
  const { stdout } = spawnSync('/usr/bin/setpriv', [...ids, '/usr/bin/perl', '-e', attackScript([3])], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit', fd],
  });
  for (const one of [file, fd]) closeSync(one);
  const done = stdout.split('\n').filter((line) => line.endsWith(' done'));
  for (const name of ['fchmod', 'utimensat', 'fsetxattr', 'removexattr', 'FS_IOC_SETFLAGS'])
    assert.ok(done.includes(`3 ${name} done`), name);
  assert.notEqual(factsOf(path), before);
  execFileSync('chattr', ['-d', path]);
});

test('a file given to be read cannot be opened to be written, one given to be written can', async () => {
  await using broker = await startTestBroker({ qemuBinaries: ['/usr/bin/perl'] });
  const [written, read, open] = [
    privateFile(`${broker.images}/written`, 'old'),
    privateFile(`${broker.images}/read`, 'secret'),
    privateFile(`${broker.images}/open-to-all`, 'public', 0o666),
  ];
  const script = `
    for my $fd (4, 5, 6) {
      my $text = '-';
      if (open(my $f, '<', "/proc/self/fd/$fd")) { $text = <$f> }
      my $write = open(my $g, '+<', "/proc/self/fd/$fd") ? 'opened' : $! + 0;
      syswrite($g, 'new') if $write eq 'opened';
      my $truncate = $fd != 4 && open(my $h, '>', "/proc/self/fd/$fd") ? 'opened' : 'shut';
      print "$fd $text $write $truncate\\n";
    }`;
  const { log } = await launch(
    broker,
    [reopened(written, 'rw'), reopened(read, 'ro'), reopened(open, 'ro')],
    script,
  );
  const EROFS = 30;
  assert.deepEqual(await linesUntilEnd(log), [
    '4 old opened shut',
    `5 secret ${EROFS} shut`,
    `6 public ${EROFS} shut`,
    'end',
  ]);
  assert.deepEqual(
    [written, read, open].map((path) => readFileSync(path, 'utf8')),
    ['new', 'secret', 'public'],
  );
  assert.deepEqual(
    [written, read, open].map((path) => (({ uid, mode }) => [uid, mode & 0o777])(statSync(path))),
    [
      [owner, 0o600],
      [owner, 0o600],
      [owner, 0o666],
    ],
  );
});

test('QEMU boots a private kernel and initrd, the audit knows them, and nothing of the way is left', async () => {
  await using broker = await startTestBroker();
  const [kernel, initrd] = ['vmlinuz', 'initrd'].map((name) => `${broker.images}/${name}`);
  assert.ok(kernel !== undefined && initrd !== undefined);
  // Anything with the magic of a kernel is loaded; no CPU runs.
  const image = Buffer.alloc(64 * 1024);
  image.writeUInt8(1, 0x1f1);
  image.writeUInt16LE(0xaa55, 0x1fe);
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt16LE(0x20f, 0x206);
  image.writeUInt8(1, 0x211);
  image.writeUInt32LE(0x7fff_ffff, 0x22c);
  writeFileSync(kernel, image);
  writeFileSync(initrd, Buffer.alloc(256 * 1024, 7));
  for (const path of [kernel, initrd]) {
    chownSync(path, owner, owner);
    chmodSync(path, 0o600);
  }
  const before = [kernel, initrd].map(factsOf);
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  const base = await testLaunch(
    'one',
    [reopened(kernel, 'ro'), reopened(initrd, 'ro')],
    ['-kernel', '/proc/self/fd/4', '-initrd', '/proc/self/fd/5'],
  );
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch: base });
  assert.ok(reply.ok, JSON.stringify(reply));
  const { pid, log } = reply.result;
  // It listens once it has loaded both.
  while (!readFileSync(`/proc/${pid}/task/${pid}/wchan`, 'utf8').includes('poll')) {
    assert.equal(readFileSync(log, 'utf8'), '');
    await delay(20);
  }
  const inspected = await broker.ask<ProcessFacts>({ v: 1, call: 'inspect', machine: 'one' });
  assert.ok(inspected.ok, readFileSync(log, 'utf8'));
  const expected = expectedWalls(reply.result, { files: reply.result.files });
  const { rows } = auditProcess({ facts: inspected.result, at: '', machine: 'one', expected });
  const row = rows.find(({ wall }) => wall === 'descriptors');
  assert.deepEqual([row?.verdict, row?.found], ['ok', row?.found]);
  const { dev, ino } = statSync(initrd);
  assert.ok(inspected.result.mappedFiles.includes(`/${dev}:${ino}`), 'QEMU maps its initrd');
  assert.ok((await broker.ask({ v: 1, call: 'kill', machine: 'one' })).ok);
  assert.deepEqual([kernel, initrd].map(factsOf), before);
  const withoutMachine = (text: string): string[] =>
    text.split('\n').filter((line) => !line.includes('/qward'));
  assert.deepEqual(withoutMachine(readFileSync('/proc/self/mountinfo', 'utf8')), withoutMachine(mounts));
  assert.equal(readFileSync(`/proc/${broker.pid}/task/${broker.pid}/children`, 'utf8'), '');
});

test('where the file system cannot, a file to be read is copied and one to be written is refused', async () => {
  await using broker = await startTestBroker({ qemuBinaries: ['/usr/bin/perl'] });
  const place = `${broker.images}/ramfs`;
  mkdirSync(place);
  execFileSync('mount', ['-t', 'ramfs', 'none', place]);
  try {
    const path = privateFile(`${place}/disk`, 'content');
    const ownerless = privateFile(`${broker.images}/ownerless`, 'content', 0o040);
    const request = perlLaunch(
      await testLaunch('one', [reopened(path, 'rw'), reopened(ownerless, 'rw')]),
      'sleep 60',
    );
    const refused = await broker.ask({ v: 1, call: 'launch', launch: request });
    assert.ok(!refused.ok);
    assert.deepEqual(
      refused.refusals.map(({ code, message }) => [
        code,
        /(?:cannot show it|owner may not write)/.test(message),
      ]),
      [
        ['file-unreadable', true],
        ['file-unreadable', true],
      ],
    );
    assert.deepEqual(traces(broker.site), []);
    const { log } = await launch(
      broker,
      [reopened(path, 'ro')],
      "open(my $f, '<', '/proc/self/fd/4'); print <$f>, \"\\n\"",
    );
    assert.deepEqual(await linesUntilEnd(log), ['content', 'end']);
    await broker.ask({ v: 1, call: 'kill', machine: 'one' });
  } finally {
    execFileSync('umount', [place]);
  }
});

test('qemu-img writes an image of a private file through its descriptor', async () => {
  await using broker = await startTestBroker();
  const path = `${broker.images}/image.qcow2`;
  makeImage(path, 'qcow2', '1M');
  chownSync(path, owner, owner);
  chmodSync(path, 0o600);
  const file = openSync(path, 'r+');
  const machine = 0x7000_0043;
  const fd = await openAsOwn(file, fstatSync(file), { uid: machine, access: 'rw' });
  const ids = [`--reuid=${machine}`, `--regid=${machine}`, '--clear-groups', '--bounding-set=-all'];
  const resize = ['/usr/bin/qemu-img', 'resize', '-q', '-f', 'qcow2', '/proc/self/fd/3', '4M'];
  execFileSync('/usr/bin/setpriv', [...ids, ...resize], { stdio: ['ignore', 'inherit', 'inherit', fd] });
  for (const one of [file, fd]) closeSync(one);
  const info = execFileSync('qemu-img', ['info', '--output=json', path], { encoding: 'utf8' });
  assert.match(info, /"virtual-size": 4194304/);
  assert.deepEqual([statSync(path).uid, statSync(path).mode & 0o777], [owner, 0o600]);
});
