/** Promises 1, 3 and 4: files opened with a user's rights are just those of that user, and nothing of the rights stays. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { NotOpenedError, openRegular } from '../../src/linux/descriptors.ts';
import { withRightsOf } from '../../src/linux/open-as.ts';
import { startSwapper } from '../support/swapper.ts';

const shared = 910_000_100;
const alice = { uid: 910_000_011, gid: 910_000_011, groups: [910_000_011, shared] };
const bob = { uid: 910_000_012, gid: 910_000_012, groups: [910_000_012] };

const base = mkdtempSync('/tmp/qward-owner-');
chmodSync(base, 0o755);
after(() => rmSync(base, { recursive: true }));
for (const [name, { uid }] of Object.entries({ alice, bob })) {
  mkdirSync(`${base}/${name}`, { mode: 0o700 });
  chownSync(`${base}/${name}`, uid, uid);
}

function make(path: string, { uid }: { readonly uid: number }, mode = 0o600, gid = uid): string {
  writeFileSync(`${base}/${path}`, `of ${uid}`);
  chownSync(`${base}/${path}`, uid, gid);
  chmodSync(`${base}/${path}`, mode);
  return `${base}/${path}`;
}

/** The content, or the errno's name. */
function opened(path: string, access: 'ro' | 'rw' = 'ro', user = alice): string {
  try {
    const { fd } = withRightsOf(user, () => openRegular(path, access));
    const content = readFileSync(fd, 'utf8');
    closeSync(fd);
    return content;
  } catch (error) {
    assert.ok(error instanceof Error && 'code' in error, String(error));
    return String(error.code);
  }
}

const rightsOfThreads = (): string[] =>
  readdirSync('/proc/self/task').map((tid) =>
    readFileSync(`/proc/self/task/${tid}/status`, 'utf8')
      .split('\n')
      .filter((line) => /^(?:Uid|Gid|Groups|CapInh|CapPrm|CapEff|CapBnd|CapAmb):/.test(line))
      .join('\n'),
  );

test("a private file in a private home just opens with its owner's rights, and with nobody else's", () => {
  const path = make('alice/disk', alice);
  assert.equal(opened(path), `of ${alice.uid}`);
  assert.equal(opened(path, 'rw'), `of ${alice.uid}`);
  assert.equal(opened(path, 'ro', bob), 'EACCES');
  assert.equal(opened('/etc/shadow'), 'EACCES');
});

test("groups are the user's, not root's", () => {
  const path = make('group', { uid: 0 }, 0o640, shared);
  assert.equal(opened(path), 'of 0');
  assert.equal(opened(path, 'rw'), 'EACCES');
  assert.equal(opened(path, 'ro', bob), 'EACCES');
  assert.equal(opened(make('root-group', { uid: 0 }, 0o640)), 'EACCES');
});

test('neither a link, nor a way that is closed, nor a second name leads to more than the user may', () => {
  const secret = make('bob/secret', bob);
  symlinkSync(secret, `${base}/alice/link`);
  symlinkSync(`${base}/alice`, `${base}/home`);
  linkSync(secret, `${base}/alice/second`);
  mkdirSync(`${base}/alice/shut`, { mode: 0o600 });
  chownSync(`${base}/alice/shut`, alice.uid, alice.gid);
  make('alice/shut/disk', alice);
  assert.equal(opened(`${base}/alice/link`), 'ELOOP');
  assert.equal(opened(`${base}/home/disk`), 'ELOOP');
  assert.equal(opened(`${base}/alice/second`), 'EACCES');
  assert.equal(opened(`${base}/alice/shut/disk`), 'EACCES');
  assert.equal(opened(`${base}/alice/../bob/secret`), 'EACCES');
});

test("what is no file is refused before it is opened, and so are the kernel's own", async () => {
  execFileSync('mkfifo', [`${base}/alice/fifo`]);
  for (const [name, type, number] of [
    ['disk-node', 'b', statSync('/dev/loop0').rdev],
    ['null-node', 'c', 0x103],
  ] as const) {
    execFileSync('mknod', [`${base}/alice/${name}`, type, String(number >> 8), String(number & 0xff)]);
    chownSync(`${base}/alice/${name}`, alice.uid, alice.gid);
  }
  chownSync(`${base}/alice/fifo`, alice.uid, alice.gid);
  const server = createServer().listen(`${base}/alice/socket`);
  await once(server, 'listening');
  const before = performance.now();
  assert.equal(opened(`${base}/alice/fifo`), 'ENOTREG');
  assert.equal(opened(`${base}/alice/fifo`, 'rw'), 'ENOTREG');
  assert.ok(performance.now() - before < 1000, 'a FIFO without a peer holds nobody up');
  assert.equal(opened(`${base}/alice/socket`), 'ENOTREG');
  assert.equal(opened(`${base}/alice`), 'ENOTREG');
  assert.equal(opened(`${base}/alice/disk-node`), 'EISBLK');
  assert.equal(opened(`${base}/alice/null-node`), 'ENOTREG');
  server.close();
  assert.equal(opened('/proc/self/mem', 'rw'), 'ELOOP');
  assert.equal(opened('/proc/1/root/etc/shadow'), 'ELOOP');
  assert.equal(opened('/proc/version'), 'EKERNEL');
  assert.equal(opened('/sys/kernel/mm/transparent_hugepage/enabled'), 'EKERNEL');
});

test("another user's process is not reached by way of /proc, whatever root's thread could", () => {
  const sleeper = spawn('/usr/bin/setpriv', [
    '--reuid',
    String(bob.uid),
    '--regid',
    String(bob.gid),
    '--clear-groups',
    'sleep',
    '60',
  ]);
  try {
    for (const file of ['mem', 'environ', 'maps', 'root/etc/hostname', 'cwd/x', 'fd/0'])
      assert.match(opened(`/proc/${sleeper.pid}/${file}`), /^(?:EACCES|EPERM|EKERNEL|ELOOP|ENOENT)$/, file);
  } finally {
    sleeper.kill('SIGKILL');
  }
});

test('a set-user-ID file opens as a file, a file without a name in reach does not', () => {
  const path = make('alice/setuid', { uid: 0 }, 0o4755, 0);
  assert.equal(opened(path), 'of 0');
  assert.equal(opened(path, 'rw'), 'EACCES');
  assert.equal(statSync(path).mode & 0o7777, 0o4755);
});

test('a lease of its owner holds nobody up', async () => {
  const path = make('alice/leased', alice);
  const script = `use Fcntl; open(my $f, '<', $ARGV[0]) or die; open(my $w, '+<', $ARGV[0]) or die; close $f;
    $SIG{IO} = 'IGNORE'; fcntl($w, 1024, 1) or die "lease: $!"; $| = 1; print "held\\n"; sleep 60;`;
  const ids = ['--reuid', String(alice.uid), '--regid', String(alice.gid), '--clear-groups'];
  const holder = spawn('/usr/bin/setpriv', [...ids, '/usr/bin/perl', '-e', script, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(holder.stdout, 'data');
    const before = performance.now();
    assert.equal(opened(path), 'EAGAIN');
    assert.equal(opened(path, 'rw'), 'EAGAIN');
    assert.ok(performance.now() - before < 1000);
  } finally {
    holder.kill('SIGKILL');
    await once(holder, 'exit');
  }
  assert.equal(opened(path), `of ${alice.uid}`);
});

test("a file whose owner changes meanwhile is opened while it is the user's, and not after", () => {
  const path = make('changing', alice);
  for (let round = 0; round < 200; round += 1) {
    const owner = round % 2 === 0 ? alice : bob;
    chownSync(path, owner.uid, owner.gid);
    assert.equal(opened(path), owner === alice ? `of ${alice.uid}` : 'EACCES');
  }
});

test('a name that is swapped with a link to a secret all the time never opens the secret', async () => {
  const secret = make('bob/other', bob, 0o644);
  chmodSync(`${base}/bob`, 0o755);
  const own = make('alice/now', alice);
  symlinkSync(secret, `${base}/alice/trap`);
  mkdirSync(`${base}/alice/real`);
  symlinkSync(`${base}/bob`, `${base}/alice/way`);
  chownSync(`${base}/alice/real`, alice.uid, alice.gid);
  make('alice/real/other', alice);
  for (const [one, other, path] of [
    [own, `${base}/alice/trap`, own],
    [`${base}/alice/real`, `${base}/alice/way`, `${base}/alice/real/other`],
  ] as const) {
    const counts: Record<string, number> = {};
    await using swapper = await startSwapper(one, other);
    for (let round = 0; round < 100_000; round += 1) {
      const result = opened(path);
      counts[result] = (counts[result] ?? 0) + 1;
    }
    assert.ok(swapper.goesOn());
    assert.deepEqual(Object.keys(counts).toSorted(), ['ELOOP', `of ${alice.uid}`].toSorted());
  }
});

test('after a thousand openings, good and bad, every thread has the rights that it had', async () => {
  // The pool's threads are there, too.
  await Promise.all([1, 2, 3, 4].map(() => delay(1)));
  const good = make('alice/good', alice);
  const bad = make('bob/bad', bob);
  const before = rightsOfThreads();
  for (let round = 0; round < 1000; round += 1) {
    assert.equal(opened(good, 'rw'), `of ${alice.uid}`);
    assert.equal(opened(bad), 'EACCES');
    assert.throws(() => withRightsOf(alice, () => assert.fail('thrown inside')), /thrown inside/);
  }
  assert.deepEqual(rightsOfThreads(), before);
  assert.match(before[0] ?? '', /^Uid:\t0\t0\t0\t0$/m);
});

test('inside, the calling thread alone has the rights, and no capability', () => {
  const seen = withRightsOf(alice, rightsOfThreads);
  const [main = '', ...others] = seen;
  assert.match(main, new RegExp(`^Uid:\\t0\\t0\\t0\\t${alice.uid}\\nGid:\\t0\\t0\\t0\\t${alice.gid}$`, 'm'));
  assert.match(main, new RegExp(`^Groups:\\t${alice.uid} ${shared} ?$`, 'm'));
  assert.match(main, /^CapEff:\t0{16}$/m);
  assert.ok(others.length > 0);
  for (const other of others) assert.match(other, /^Uid:\t0\t0\t0\t0$/m);
});

test('a process that cannot take its rights back ends', () => {
  const script = `
    const { withRightsOf } = await import('${import.meta.dirname}/../../src/linux/open-as.ts');
    const { addressOf, syscall } = await import('${import.meta.dirname}/../../src/linux/libc.ts');
    try {
      withRightsOf({ uid: ${alice.uid}, gid: ${alice.gid}, groups: [] }, () => {
        // Gives up for good what the way back needs.
        syscall(126, [addressOf(new Int32Array([0x20080522, 0])), addressOf(new Int32Array(6))]);
      });
    } catch {}
    console.log('went on');`;
  const options = [
    '--disable-warning=ExperimentalWarning',
    '--experimental-ffi',
    '--input-type=module',
    '-e',
    script,
  ];
  const { signal, stdout } = spawnSync(process.execPath, options, { encoding: 'utf8' });
  assert.deepEqual([signal, stdout], ['SIGKILL', '']);
});

test('nothing of a file changes by being opened', () => {
  const path = make('alice/kept', alice, 0o600);
  execFileSync('setfacl', ['-m', `u:${bob.uid}:r`, path]);
  execFileSync('setfattr', ['-n', 'user.note', '-v', 'x', path]);
  const facts = (): string =>
    execFileSync(
      'sh',
      [
        '-c',
        'stat -c "%u %g %a %Y %Z %s %i" "$0"; getfacl -pn "$0"; getfattr --absolute-names -d "$0"; lsattr "$0"',
        path,
      ],
      {
        encoding: 'utf8',
      },
    );
  const before = facts();
  for (const access of ['ro', 'rw'] as const) assert.equal(opened(path, access), `of ${alice.uid}`);
  assert.equal(opened(path, 'ro', bob), 'EACCES');
  assert.equal(facts(), before);
});

test('an error says what the path was found to be', () => {
  const path = make('bob/closed', bob, 0o640);
  assert.throws(
    () => withRightsOf(alice, () => openRegular(path, 'ro')),
    (error) => error instanceof NotOpenedError && error.code === 'EACCES' && error.stats.uid === bob.uid,
  );
});
