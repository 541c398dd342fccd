/** Promises 1, 3 and 4 at the broker: which files a machine gets by policy and by claim, asked by a manager that was taken over. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, test } from 'node:test';
import { openClaims } from '../../src/broker/claims.ts';
import type { FileProbe, LaunchedMachine, Refusal } from '../../src/protocol/broker.ts';
import type { Access, Descriptor } from '../../src/protocol/launch.ts';
import { startTestBroker, testManagerUid, traces, type TestBroker, testUidRange } from '../support/broker.ts';
import { bindAccounts } from '../support/private-accounts.ts';
import { makeImage, testLaunch } from '../support/test-launch.ts';

const [alice, bob, lab] = [910_000_021, 910_000_022, 910_000_120];
bindAccounts(
  [
    { name: 'alice', uid: alice, groups: ['lab'] },
    { name: 'bob', uid: bob },
  ],
  { lab },
);

const home = mkdtempSync('/tmp/qward-claimed-');
chmodSync(home, 0o755);
after(() => rmSync(home, { recursive: true }));

/** A private directory of the user's with a private file in it. */
function privateFile(name: string, uid: number): string {
  mkdirSync(`${home}/${name}`, { mode: 0o700 });
  const path = `${home}/${name}/disk.raw`;
  makeImage(path, 'raw', '1M');
  chmodSync(path, 0o600);
  for (const one of [`${home}/${name}`, path]) chownSync(one, uid, uid);
  return path;
}
const ofAlice = privateFile('alice', alice);
const ofBob = privateFile('bob', bob);

interface Asked {
  readonly path: string;
  readonly access: Access;
  readonly claimant: number | null;
  readonly machine?: string;
}

/** Files that the broker has open: sockets come and go with connections. */
const openFiles = ({ pid }: TestBroker): string[] =>
  readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      const target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      return target.startsWith('socket:') ? [] : [target];
    } catch {
      // A connection's, which ended meanwhile.
      return [];
    }
  });

/** What the broker says to a look, and to a launch: always the same, and of a refused launch nothing stays. */
async function refusalOf(broker: TestBroker, { machine = 'one', ...file }: Asked): Promise<Refusal> {
  const before = openFiles(broker).toSorted();
  const probe = await broker.ask<FileProbe[]>({ v: 1, call: 'probe', machine, paths: [file], head: 1024 });
  const launch = await testLaunch(machine, [{ kind: 'file', ...file, reopened: false }]);
  const reply = await broker.ask({ v: 1, call: 'launch', launch });
  assert.ok(probe.ok && !reply.ok, `admitted: ${JSON.stringify(file)}`);
  assert.deepEqual(traces(broker.site), []);
  const [looked] = probe.result;
  const [refusal] = reply.refusals;
  assert.ok(looked?.ok === false && refusal !== undefined);
  assert.deepEqual(looked.refusal, refusal);
  assert.notEqual(refusal.hint, '');
  assert.deepEqual(openFiles(broker).toSorted(), before, 'no descriptor stays open');
  return refusal;
}

async function isGiven(broker: TestBroker, { machine = 'one', ...file }: Asked): Promise<boolean> {
  const probe = await broker.ask<FileProbe[]>({ v: 1, call: 'probe', machine, paths: [file], head: 1024 });
  assert.ok(probe.ok, JSON.stringify(probe));
  return probe.result[0]?.ok === true;
}

/** Puts into the register what the user would say over the own connection. */
function claim(broker: TestBroker, uid: number, path: string, access: Access = 'rw', machine = 'one'): void {
  const register = openClaims(`${broker.site.paths.brokerState}/claims.json`, () => new Date());
  assert.ok(register.add(machine, uid, [{ path, access }]));
}

test('a private image in a private home runs as it is, and stays as it was', async () => {
  await using broker = await startTestBroker();
  claim(broker, alice, ofAlice);
  const facts = (): unknown[] =>
    [`${home}/alice`, ofAlice].map((path) =>
      (({ uid, gid, mode, ctimeMs, ino }) => [uid, gid, mode, ctimeMs, ino])(statSync(path)),
    );
  const before = facts();
  const disk = (access: Access): Descriptor => ({
    kind: 'file',
    path: ofAlice,
    access,
    claimant: alice,
    reopened: false,
  });
  const node = JSON.stringify({
    driver: 'file',
    'node-name': 'f',
    filename: '/dev/fdset/1',
    'auto-read-only': true,
  });
  const extra = ['-add-fd', 'fd=4,set=1', '-add-fd', 'fd=5,set=1', '-blockdev', node];
  const reply = await broker.ask<LaunchedMachine>({
    v: 1,
    call: 'launch',
    launch: await testLaunch('one', [disk('ro'), disk('rw')], extra),
  });
  assert.ok(reply.ok, JSON.stringify(reply));
  const { dev, ino } = statSync(ofAlice);
  assert.deepEqual(reply.result.files, { [ofAlice]: { device: dev, inode: ino } });
  assert.deepEqual(facts(), before);
  assert.ok((await broker.ask({ v: 1, call: 'kill', machine: 'one' })).ok);
  assert.deepEqual(facts(), before);
});

test('a claim counts for that machine, that user, that path and that access, and for nothing else', async () => {
  await using broker = await startTestBroker();
  claim(broker, alice, ofAlice, 'ro');
  assert.ok(await isGiven(broker, { path: ofAlice, access: 'ro', claimant: alice }));
  for (const asked of [
    { path: ofAlice, access: 'rw', claimant: alice },
    { path: ofAlice, access: 'ro', claimant: alice, machine: 'two' },
    { path: ofAlice, access: 'ro', claimant: bob },
    { path: ofBob, access: 'ro', claimant: bob },
    { path: ofBob, access: 'ro', claimant: alice },
    { path: `${home}/alice/./disk.raw`, access: 'ro', claimant: alice },
    { path: `${home}/bob/../alice/disk.raw`, access: 'ro', claimant: alice },
  ] as const) {
    const { code, message } = await refusalOf(broker, asked);
    assert.equal(code, 'policy-refused', message);
  }
  const { rule } = await refusalOf(broker, { path: ofAlice, access: 'ro', claimant: null });
  assert.equal(rule, 'storageRoots');
});

test('root, the manager, machines and uids without an account claim nothing, not even what the register has', async () => {
  await using broker = await startTestBroker();
  for (const uid of [testManagerUid, testUidRange.base, 910_009_999]) {
    claim(broker, uid, '/etc/shadow');
    const { message } = await refusalOf(broker, { path: '/etc/shadow', access: 'ro', claimant: uid });
    assert.match(message, /only users claim files/);
  }
  // uid 0 is no request at all: the connection ends unanswered.
  const paths = [{ path: '/etc/shadow', access: 'ro' as const, claimant: 0 }];
  await assert.rejects(
    broker.ask({ v: 1, call: 'probe', machine: 'one', paths, head: 1024 }),
    /without an answer/,
  );
});

test('what a user claims and may not open stays shut, with the reason', async () => {
  await using broker = await startTestBroker();
  symlinkSync(ofBob, `${home}/alice/link`);
  chmodSync(home, 0o755);
  for (const [path, access, pattern] of [
    [
      '/etc/shadow',
      'ro',
      /user alice may not read "\/etc\/shadow": it belongs to root, group \d+, mode 0640/,
    ],
    ['/etc/passwd', 'rw', /user alice may not write "\/etc\/passwd": it belongs to root/],
    [ofBob, 'ro', /user alice may not enter a directory of/],
    [`${home}/alice/link`, 'ro', /is, or lies behind, a symbolic link/],
    ['/proc/self/mem', 'ro', /symbolic link/],
    ['/proc/1/root/etc/shadow', 'ro', /symbolic link|may not enter/],
    ['/proc/version', 'ro', /kernel's own/],
    ['/sys/kernel/mm/transparent_hugepage/enabled', 'ro', /kernel's own/],
    [`${home}/alice/none`, 'ro', /does not exist/],
    [`${home}/alice`, 'ro', /not a regular file/],
  ] as const) {
    claim(broker, alice, path, access);
    const { message } = await refusalOf(broker, { path, access, claimant: alice });
    assert.match(message, pattern);
  }
  claim(broker, alice, '/dev/vda');
  const { message, rule } = await refusalOf(broker, { path: '/dev/vda', access: 'rw', claimant: alice });
  assert.match(message, /block device that the policy does not list/);
  assert.equal(rule, 'blockDevices');
});

test('a home on FUSE, which the kernel shows to nobody but its user, is told as such and holds nobody up', async () => {
  await using broker = await startTestBroker();
  const place = `${home}/fuse`;
  mkdirSync(place);
  // Nobody answers for this file system: whatever asked it would wait for ever.
  const device = openSync('/dev/fuse', 'r+');
  const options = `fd=3,rootmode=40700,user_id=${alice},group_id=${alice}`;
  execFileSync('mount', ['-i', '-t', 'fuse', '-o', options, 'test', place], {
    stdio: ['ignore', 'inherit', 'inherit', device],
  });
  try {
    claim(broker, alice, `${place}/disk`);
    const { message, hint } = await refusalOf(broker, {
      path: `${place}/disk`,
      access: 'ro',
      claimant: alice,
    });
    assert.match(message, /it is on FUSE/);
    assert.match(hint, /allow_other/);
  } finally {
    closeSync(device);
    execFileSync('umount', ['-l', place]);
  }
});

test('ownerClaims and the "who" of a root decide, and a refusal names the key', async () => {
  const place = mkdtempSync('/srv/qward-who-');
  chmodSync(place, 0o755);
  try {
    for (const directory of ['open', 'lab']) mkdirSync(`${place}/${directory}`, { mode: 0o700 });
    const [open, given] = [`${place}/open/disk`, `${place}/lab/disk`];
    for (const path of [open, given]) writeFileSync(path, 'root only', { mode: 0o600 });
    await using broker = await startTestBroker({
      ownerClaims: false,
      storageRoots: [
        { path: `${place}/open`, access: 'rw' },
        { path: `${place}/lab`, access: 'ro', who: { groups: ['lab'] } },
      ],
    });
    for (const path of [open, given, ofAlice, ofBob])
      for (const uid of [alice, bob]) claim(broker, uid, path);
    // By `who` with root's rights, whatever the file's mode says; of a root for all, a user gets what the user may open.
    assert.ok(await isGiven(broker, { path: given, access: 'ro', claimant: alice }));
    assert.ok(await isGiven(broker, { path: open, access: 'rw', claimant: null }));
    const rules = await Promise.all(
      (
        [
          { path: given, access: 'rw', claimant: alice },
          { path: given, access: 'ro', claimant: null },
          { path: given, access: 'ro', claimant: bob },
          { path: ofAlice, access: 'ro', claimant: alice },
        ] as const
      ).map(async (asked) => {
        const reply = await broker.ask<FileProbe[]>({
          v: 1,
          call: 'probe',
          machine: 'one',
          paths: [asked],
          head: 1024,
        });
        assert.ok(reply.ok && reply.result[0]?.ok === false);
        return reply.result[0].refusal.rule;
      }),
    );
    assert.deepEqual(rules, ['storageRoots[1]', 'storageRoots[1]', 'ownerClaims', 'ownerClaims']);
    const { code } = await refusalOf(broker, { path: open, access: 'ro', claimant: alice });
    assert.equal(code, 'file-unreadable');
    chownSync(open, alice, alice);
    chmodSync(`${place}/open`, 0o711);
    assert.ok(await isGiven(broker, { path: open, access: 'rw', claimant: alice }));
  } finally {
    rmSync(place, { recursive: true });
  }
});

test('programs other than those of the policy are refused, with its key', async () => {
  await using broker = await startTestBroker({ imageTools: ['/usr/bin/qemu-img'] });
  const base = await testLaunch('one');
  for (const [program, binary, rule] of [
    ['qemu', '/usr/bin/qemu-img', 'qemuBinaries'],
    ['qemu-img', '/usr/bin/qemu-system-x86_64', 'imageTools'],
    ['qemu-img', '/usr/bin/env', 'imageTools'],
    ['drill', '/usr/bin/qemu-system-x86_64', undefined],
  ] as const) {
    const reply = await broker.ask({ v: 1, call: 'launch', launch: { ...base, program, binary } });
    assert.ok(!reply.ok);
    assert.deepEqual([reply.refusals[0]?.code, reply.refusals[0]?.rule], ['policy-refused', rule]);
  }
});
