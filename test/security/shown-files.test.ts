/**
 * Promises 1, 3, 4 and 6: what a jail shows of the host at its own path. A manager in whoever's hands gets nothing shown that
 * the policy or the user's own claim does not give; what is shown has the user's rights and no more, and stays as it is.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, test } from 'node:test';
import { openClaims } from '../../src/broker/claims.ts';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import type { LaunchRequest, Shown } from '../../src/protocol/launch.ts';
import { startTestBroker, testManagerUid, testUidRange, traces, type TestBroker } from '../support/broker.ts';
import { bindAccounts } from '../support/private-accounts.ts';
import { linesUntilEnd, perlLaunch } from '../support/perl-launch.ts';
import { testLaunch } from '../support/test-launch.ts';

const [alice, bob] = [910_000_031, 910_000_032];
bindAccounts(
  [
    { name: 'alice', uid: alice },
    { name: 'bob', uid: bob },
  ],
  {},
);

let base = '';
const home = (): string => `${base}/alice`;

before(() => {
  base = mkdtempSync('/tmp/qward-shown-');
  chmodSync(base, 0o755);
  // As most hosts have it: what is mounted in it reaches other namespaces.
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', base]);
  execFileSync('mount', ['--make-shared', base]);
  for (const [name, uid] of [
    ['alice', alice],
    ['bob', bob],
  ] as const) {
    mkdirSync(`${base}/${name}/data/deep`, { recursive: true });
    writeFileSync(`${base}/${name}/secret`, `of ${name}\n`, { mode: 0o600 });
    writeFileSync(`${base}/${name}/data/own`, 'own\n', { mode: 0o600 });
    execFileSync('chown', ['-R', `${uid}:${uid}`, `${base}/${name}`]);
    chmodSync(`${base}/${name}`, 0o700);
  }
  writeFileSync(`${home()}/data/of-bob`, 'of bob\n', { mode: 0o600 });
  chownSync(`${home()}/data/of-bob`, bob, bob);
  symlinkSync('/etc/shadow', `${home()}/link`);
  chownSync(`${home()}/data/of-bob`, bob, bob);
});

after(() => {
  execFileSync('umount', ['-R', base]);
  rmSync(base, { recursive: true });
});

const file = (path: string, access: 'ro' | 'rw' = 'ro', claimant: number | null = alice): Shown => ({
  kind: 'file',
  path,
  access,
  claimant,
});
const socket = (path: string, claimant: number | null = null): Shown => ({
  kind: 'socket',
  path,
  access: 'rw',
  claimant,
});

function claim(broker: TestBroker, uid: number, path: string, access: 'ro' | 'rw'): void {
  const register = openClaims(`${broker.site.paths.brokerState}/claims.json`, () => new Date());
  assert.ok(register.add('one', uid, [{ path, access }]));
}

async function refused(broker: TestBroker, change: Partial<LaunchRequest>, why: RegExp): Promise<void> {
  const launch = { ...(await testLaunch('one')), ...change };
  const reply = await broker.ask({ v: 1, call: 'launch', launch });
  assert.ok(!reply.ok, JSON.stringify(change));
  assert.match(reply.refusals.map(({ message }) => message).join('\n'), why);
  assert.deepEqual(traces(broker.site), []);
}

/** Runs perl in the jail; gives what it wrote. */
async function inJail(
  broker: TestBroker,
  shown: readonly Shown[],
  script: string,
): Promise<readonly string[]> {
  const launch = { ...perlLaunch(await testLaunch('one'), `$| = 1; ${script}; print "end\\n"`), shown };
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
  assert.ok(reply.ok, JSON.stringify(reply));
  try {
    return (await linesUntilEnd(reply.result.log)).filter((line) => line !== 'end');
  } finally {
    await broker.ask({ v: 1, call: 'kill', machine: 'one' });
    assert.deepEqual(traces(broker.site), []);
  }
}

const tries = (name: string, expression: string): string =>
  `print "${name}: ", (${expression} ? "yes" : "$!"), "\\n"`;
const perlPolicy = { qemuBinaries: ['/usr/bin/perl', '/usr/bin/qemu-system-x86_64'] };

test('what neither policy nor claim gives is not shown, whoever asks', async () => {
  await using broker = await startTestBroker();
  const { images, site } = broker;
  writeFileSync(`${images}/image`, '');
  for (const [path, access] of [
    [`${home()}/secret`, 'ro'],
    [`${home()}/link`, 'ro'],
    [`${home()}/data`, 'rw'],
  ] as const)
    claim(broker, alice, path, access);
  claim(broker, alice, `${base}/bob/secret`, 'ro');
  claim(broker, alice, `${base}/alice/data/of-bob`, 'ro');
  const refusals: readonly (readonly [Shown | readonly Shown[], RegExp])[] = [
    [file('/etc/shadow', 'ro', null), /outside the storage roots/],
    [file(`${home()}/secret`, 'ro', null), /outside the storage roots/],
    [file(`${home()}/secret`, 'rw'), /did not claim/],
    [file(`${home()}/secret`, 'ro', bob), /did not claim/],
    [file(`${home()}/secret`, 'ro', 0xffff_fffd), /has no account/],
    [file(`${home()}/secret`, 'ro', testUidRange.base), /a machine's/],
    [file(`${home()}/secret`, 'ro', testManagerUid), /the manager's/],
    [file(`${home()}/link`), /symbolic link/],
    [file(`${base}/bob/secret`), /user alice may not enter a directory/],
    [file(`${home()}/data/of-bob`), /user alice may not read/],
    [file(`${home()}/../bob/secret`), /not an absolute path/],
    [[file(`${home()}/data`, 'rw'), file(`${home()}/data/own`)], /which the jail has already/],
    [file('/usr/share', 'ro', null), /which the jail has already/],
    [file('/dev/sda', 'rw', null), /which the jail has already/],
    [file('/proc/1', 'ro', null), /which the jail has already/],
    [file('/sys/kernel', 'ro', null), /which the jail has already/],
    [file(site.paths.brokerState, 'ro', null), /outside the storage roots/],
    [file(`${site.paths.vars}/one.qcow2`, 'rw', null), /no file to be shown/],
    [socket(site.paths.brokerSocket), /not a socket that the policy lists/],
    [socket('/run/docker.sock', alice), /not a socket that the policy lists/],
    [socket(`${images}/image`), /not a socket that the policy lists/],
  ];
  for (const [shown, why] of refusals) await refused(broker, { shown: [shown].flat() }, why);
  for (const program of ['qemu-img', 'hook'] as const)
    await refused(
      broker,
      { program, shown: [file(`${images}/image`, 'ro', null)] },
      /is no machine's QEMU|not an image tool|not a hook/,
    );
});

test('a private file in a private home is read in the jail, and stays as it is', async () => {
  await using broker = await startTestBroker(perlPolicy);
  const path = `${home()}/secret`;
  claim(broker, alice, path, 'ro');
  const facts = (): unknown[] =>
    [statSync(path), statSync(home())].map(({ uid, gid, mode, ctimeMs, ino }) => [
      uid,
      gid,
      mode,
      ctimeMs,
      ino,
    ]);
  const was = facts();
  const lines = await inJail(
    broker,
    [file(path)],
    [
      `open(F, "<", "${path}") or print "no: $!\\n"`,
      'print scalar(<F>) // ""',
      tries('write', `open(G, "+<", "${path}")`),
      tries('chmod', `chmod(0666, "${path}")`),
      tries('chown', `chown(0, 0, "${path}")`),
      tries('unlink', `unlink("${path}")`),
      tries('beside', `open(H, "<", "${home()}/data/own")`),
      tries('new', `open(I, ">", "${home()}/new")`),
    ].join('; '),
  );
  assert.deepEqual(lines[0], 'of alice');
  for (const [index, name] of ['write', 'chmod', 'chown', 'unlink', 'beside', 'new'].entries())
    assert.match(lines[index + 1] ?? '', new RegExp(`^${name}: (?!yes)`), lines.join('\n'));
  assert.deepEqual(facts(), was);
});

test("in a directory the machine has its user's files, writes as the user, and has nobody else's", async () => {
  await using broker = await startTestBroker(perlPolicy);
  const path = `${home()}/data`;
  claim(broker, alice, path, 'rw');
  const lines = await inJail(
    broker,
    [file(path, 'rw')],
    [
      tries('own', `open(F, "<", "${path}/own")`),
      tries('made', `open(G, ">", "${path}/made")`),
      tries('of-bob', `open(H, "<", "${path}/of-bob")`),
      tries('above', `opendir(D, "${base}/bob")`),
      tries('out', `open(I, "<", "${path}/../../bob/secret")`),
    ].join('; '),
  );
  assert.deepEqual(lines.slice(0, 2), ['own: yes', 'made: yes']);
  for (const line of lines.slice(2)) assert.doesNotMatch(line, /yes/);
  const made = statSync(`${path}/made`);
  assert.deepEqual([made.uid, made.gid], [alice, alice]);
  assert.equal(readFileSync(`${path}/of-bob`, 'utf8'), 'of bob\n');
});

test('a directory to be read is so, with all that is in it', async () => {
  await using broker = await startTestBroker(perlPolicy);
  claim(broker, alice, `${home()}/data`, 'ro');
  const lines = await inJail(
    broker,
    [file(`${home()}/data`)],
    [
      tries('own', `open(F, "<", "${home()}/data/own")`),
      tries('made', `open(G, ">", "${home()}/data/no")`),
      tries('write', `open(H, "+<", "${home()}/data/own")`),
    ].join('; '),
  );
  assert.deepEqual(lines, ['own: yes', 'made: Operation not permitted', 'write: Read-only file system']);
  assert.equal(existsSync(`${home()}/data/no`), false);
});

test('what is mounted beneath it later appears in the jail, and nothing goes back', async () => {
  await using broker = await startTestBroker(perlPolicy);
  const path = `${home()}/data`;
  claim(broker, alice, path, 'ro');
  const script = `print "ready\\n"; my $t = time; while (time < $t + 15) { last if -e "${path}/deep/later" } ${tries('later', `-e "${path}/deep/later"`)}; print "end\\n"; sleep 600`;
  const launch = { ...perlLaunch(await testLaunch('one'), `$| = 1; ${script}`), shown: [file(path)] };
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
  assert.ok(reply.ok, JSON.stringify(reply));
  const { pid, log } = reply.result;
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', `${path}/deep`]);
  try {
    writeFileSync(`${path}/deep/later`, '');
    assert.ok((await linesUntilEnd(log)).includes('later: yes'));
    const lines = readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .filter((line) => line.includes(base));
    assert.ok(lines.length >= 2, lines.join('\n'));
    for (const line of lines) assert.match(line, / master:\d+ /);
    for (const line of lines) assert.doesNotMatch(line, / shared:\d+ /);
  } finally {
    execFileSync('umount', [`${path}/deep`]);
    await broker.ask({ v: 1, call: 'kill', machine: 'one' });
  }
});

test('a socket of the policy can be connected to, another cannot', async () => {
  const [open, closed] = [`${base}/open.sock`, `${base}/closed.sock`];
  const servers = [open, closed].map((path) => createServer((peer) => peer.end('hello\n')).listen(path));
  await Promise.all(servers.map((server) => new Promise((resolve) => server.once('listening', resolve))));
  for (const path of [open, closed]) chmodSync(path, 0o600);
  try {
    await using broker = await startTestBroker({ ...perlPolicy, sockets: [{ path: open }] });
    await refused(broker, { shown: [socket(closed)] }, /not a socket that the policy lists/);
    const connect = (path: string): string =>
      `socket(S, 1, 1, 0) or print "socket: $!\\n"; print "connect: ", (connect(S, pack("S a*", 1, "${path}")) ? scalar(<S>) : "$!\\n")`;
    const lines = await inJail(broker, [socket(open)], `${connect(open)}; ${connect(closed)}`);
    assert.deepEqual(lines, ['connect: hello', 'connect: No such file or directory']);
    assert.equal(statSync(open).mode & 0o777, 0o600);
  } finally {
    for (const server of servers) server.close();
  }
});
