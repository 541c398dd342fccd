/** A reviewer's attacks on claims and on what is opened by them: promises 1 to 4, rule manager. Needs root. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ClaimsClient } from '../../src/api/claims-client.ts';
import { auditProcess } from '../../src/audit/audit-process.ts';
import { expectedWalls } from '../../src/audit/expected-walls.ts';
import { openClaims } from '../../src/broker/claims.ts';
import type { FileProbe, LaunchedMachine, ProcessFacts, Refusal } from '../../src/protocol/broker.ts';
import type { ClaimRequest } from '../../src/protocol/claims.ts';
import type { Access, Descriptor } from '../../src/protocol/launch.ts';
import { footprintOf, unchanged } from '../support/broker-footprint.ts';
import { startTestBroker, traces, type TestBroker } from '../support/broker.ts';
import { askAs } from '../support/claims-peer.ts';
import { linesUntilEnd, perlLaunch } from '../support/perl-launch.ts';
import { bindAccounts } from '../support/private-accounts.ts';
import { testLaunch } from '../support/test-launch.ts';

const [alice, bob] = [910_000_041, 910_000_042];
bindAccounts([
  { name: 'alice', uid: alice },
  { name: 'bob', uid: bob },
]);
/** As many as a user has of subordinate ones (subuid(5)): no account has them. */
const subordinate = 3_000_000_000;

const home = mkdtempSync('/tmp/qward-review-claims-');
chmodSync(home, 0o755);
after(() => rmSync(home, { recursive: true }));

/** A file in a directory that only alice enters. */
function ofAlice(name: string, mode: number, content = 'old'): string {
  mkdirSync(`${home}/alice`, { recursive: true, mode: 0o700 });
  const path = `${home}/alice/${name}`;
  writeFileSync(path, content);
  for (const one of [`${home}/alice`, path]) chownSync(one, alice, alice);
  chmodSync(path, mode);
  return path;
}

function claim(broker: TestBroker, path: string, access: Access = 'ro', machine = 'one'): void {
  const register = openClaims(`${broker.site.paths.brokerState}/claims.json`, () => new Date());
  assert.notEqual(register.add(machine, alice, [{ path, access }]), 'full');
}

const file = (path: string, access: Access, reopened = false): Descriptor => ({
  kind: 'file',
  path,
  access,
  claimant: alice,
  reopened,
});

const descriptorsOf = ({ pid }: TestBroker): number => readdirSync(`/proc/${pid}/fd`).length;

async function refusalsOf(broker: TestBroker, request: object): Promise<readonly Refusal[]> {
  const reply = await broker.ask({ v: 1, ...request } as never);
  assert.ok(!reply.ok, JSON.stringify(reply));
  return reply.refusals;
}

test('what is given to be read cannot be written by way of its descriptor, though everybody may write the file', async () => {
  await using broker = await startTestBroker({ qemuBinaries: ['/usr/bin/perl'] });
  const modes = [0o666, 0o606, 0o646, 0o622];
  const paths = modes.map((mode) => ofAlice(`shared-${mode.toString(8)}`, mode));
  for (const path of paths) claim(broker, path);
  const disks = paths.flatMap((path) => [file(path, 'ro'), file(path, 'ro', true)]);
  const numbers = disks.map((_, index) => index + 4);
  const script = `$| = 1; for my $n (${numbers.join()}) {
      my $wrote = open(my $g, '+<', "/proc/self/fd/$n") ? syswrite($g, 'new') : 0;
      open(my $h, '<&=', $n); sysread($h, my $text, 3);
      print "$n $text $wrote\\n";
    } print "end\\n"; sleep 60;`;
  const launch = perlLaunch(await testLaunch('one', disks), script);
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
  assert.ok(reply.ok, JSON.stringify(reply));
  assert.deepEqual(await linesUntilEnd(reply.result.log), [...numbers.map((one) => `${one} old 0`), 'end']);
  for (const [index, path] of paths.entries()) {
    assert.equal(readFileSync(path, 'utf8'), 'old');
    assert.deepEqual([statSync(path).uid, statSync(path).mode & 0o777], [alice, modes[index]]);
  }
});

test('QEMU reads such a file as a disk, and the audit knows it', async () => {
  await using broker = await startTestBroker();
  const path = ofAlice('disk.raw', 0o666, '\0'.repeat(1024 * 1024));
  claim(broker, path);
  const node = { driver: 'file', 'node-name': 'f', filename: '/dev/fdset/1', 'read-only': true };
  const launch = await testLaunch(
    'one',
    [file(path, 'ro')],
    ['-add-fd', 'fd=4,set=1', '-blockdev', JSON.stringify(node)],
  );
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
  assert.ok(reply.ok, JSON.stringify(reply));
  while (!readFileSync(`/proc/${reply.result.pid}/wchan`, 'utf8').includes('poll')) await delay(20);
  const inspected = await broker.ask<ProcessFacts>({ v: 1, call: 'inspect', machine: 'one' });
  assert.ok(inspected.ok, readFileSync(reply.result.log, 'utf8'));
  const expected = expectedWalls(reply.result, { files: reply.result.files });
  const { rows } = auditProcess({ facts: inspected.result, at: '', machine: 'one', expected });
  assert.equal(rows.find(({ wall }) => wall === 'descriptors')?.verdict, 'ok');
});

test('a file system that does not say what a file is leaves no descriptor open', async () => {
  await using broker = await startTestBroker();
  const places = [`${home}/mounted`, `${broker.images}/mounted`];
  // Nobody answers for it, and the kernel shows it to nobody but alice's processes: fstat(2) fails where the path was found.
  const device = openSync('/dev/fuse', 'r+');
  const options = `fd=3,rootmode=40700,user_id=${alice},group_id=${alice}`;
  const [place = '', listed = ''] = places;
  for (const one of places) mkdirSync(one);
  execFileSync('mount', ['-i', '-t', 'fuse', '-o', options, 'test', place], {
    stdio: ['ignore', 'inherit', 'inherit', device],
  });
  execFileSync('mount', ['--bind', place, listed]);
  try {
    claim(broker, place);
    const before = descriptorsOf(broker);
    const paths = Array.from({ length: 100 }, () => ({
      path: place,
      access: 'ro' as const,
      claimant: alice,
    }));
    const probe = await broker.ask<FileProbe[]>({ v: 1, call: 'probe', machine: 'one', paths, head: 1024 });
    assert.ok(probe.ok && probe.result.every(({ ok }) => !ok));
    await refusalsOf(broker, { call: 'launch', launch: await testLaunch('one', [file(place, 'ro')]) });
    for (let round = 0; round < 20; round += 1)
      await refusalsOf(broker, { call: 'list-directory', path: listed });
    for (let left = 100; left > 0 && descriptorsOf(broker) > before; left -= 1) await delay(20);
    assert.ok(descriptorsOf(broker) <= before, `${descriptorsOf(broker)} descriptors, ${before} before`);
    const targets = readdirSync(`/proc/${broker.pid}/fd`).map((fd) =>
      readlinkSync(`/proc/${broker.pid}/fd/${fd}`),
    );
    assert.deepEqual(
      targets.filter((target) => target.includes('mounted')),
      [],
    );
  } finally {
    closeSync(device);
    for (const one of places.toReversed()) execFileSync('umount', ['-l', one]);
  }
});

test('a root for certain users, or to be read alone, keeps its own rule where it lies in one for all', async () => {
  const place = mkdtempSync('/srv/qward-nested-');
  try {
    for (const name of ['lab', 'lab/deep', 'golden']) mkdirSync(`${place}/${name}`);
    writeFileSync(`${place}/lab/secret-name`, '');
    await using broker = await startTestBroker({
      storageRoots: [
        { path: place, access: 'rw' },
        { path: `${place}/lab`, access: 'rw', who: { users: ['alice'] } },
        { path: `${place}/golden`, access: 'ro' },
      ],
    });
    const machine = 'qward-disk-abcdefabcdef';
    writeFileSync(`${place}/lab/.x.${machine}`, '');
    for (const [request, rule] of [
      [{ call: 'list-directory', path: `${place}/lab` }, 'storageRoots[1]'],
      [{ call: 'list-directory', path: `${place}/lab/deep` }, 'storageRoots[1]'],
      [{ call: 'part', machine, path: `${place}/lab/new`, action: 'create' }, 'storageRoots[1]'],
      [{ call: 'part', machine, path: `${place}/lab/x`, action: 'publish' }, 'storageRoots[1]'],
      [{ call: 'part', machine, path: `${place}/lab/x`, action: 'discard' }, 'storageRoots[1]'],
      [{ call: 'part', machine, path: `${place}/golden/new`, action: 'create' }, 'storageRoots[2]'],
    ] as const)
      assert.equal((await refusalsOf(broker, request))[0]?.rule, rule, JSON.stringify(request));
    for (const path of [place, `${place}/golden`])
      assert.ok((await broker.ask({ v: 1, call: 'list-directory', path })).ok, path);
    assert.deepEqual(readdirSync(`${place}/lab`).toSorted(), [`.x.${machine}`, 'deep', 'secret-name']);
    assert.deepEqual(readdirSync(`${place}/golden`), []);
  } finally {
    rmSync(place, { recursive: true });
  }
});

/** perl: processes of other uids on the claims' socket. `hold`: each asks on 16 connections, and takes no answer. `churn`: each connects and goes. */
const peerScript = `
  use Socket; my ($path, $mode, $uid, $count) = @ARGV; my $ask = '{"v":1,"call":"claims","machine":null}';
  my $connect = sub { socket(my $s, AF_UNIX, SOCK_STREAM, 0); connect($s, pack_sockaddr_un($path)) ? $s : undef };
  for my $own ($uid .. $uid + $count - 1) {
    next if fork;
    # Ends with its parent, as the test does.
    $) = "$own $own"; $( = $own; $> = $own; $< = $own; $| = 1;
    while (getppid() != 1) {
      if ($mode eq 'churn') { $connect->() for 1 .. 100; next }
      my @held = map { my $s = $connect->(); syswrite($s, pack('N', length $ask) . $ask) if $s; $s } 1 .. 16;
      sleep 4;
    }
    exit;
  }
  $| = 1; print "there"; sleep 600;`;

async function peersOn(
  broker: TestBroker,
  mode: 'hold' | 'churn',
  uid: number,
  count: number,
): Promise<AsyncDisposable & { readonly goOn: () => boolean }> {
  const argv = ['-e', peerScript, broker.site.paths.claimsSocket, mode, String(uid), String(count)];
  const child = spawn('/usr/bin/perl', argv, { stdio: ['ignore', 'pipe', 'inherit'], detached: true });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  return {
    goOn: () => child.exitCode === null,
    [Symbol.asyncDispose]: async () => {
      assert.ok(child.pid !== undefined);
      process.kill(-child.pid, 'SIGKILL');
      await ended;
    },
  };
}

test('a user with forty subordinate uids keeps no other user out of the claims’ socket', async () => {
  await using broker = await startTestBroker();
  await using peers = await peersOn(broker, 'hold', subordinate, 40);
  await delay(1500);
  for (let round = 0; round < 30; round += 1) {
    const asked = askAs(broker.site.paths.claimsSocket, alice, { v: 1, call: 'claims', machine: null });
    assert.ok((await asked).ok);
  }
  assert.ok(peers.goOn());
});

test('a user who connects without end keeps no other user’s client out', async () => {
  await using broker = await startTestBroker();
  await using peers = await peersOn(broker, 'churn', bob, 1);
  await delay(300);
  const client = new ClaimsClient({ socketPath: broker.site.paths.claimsSocket });
  for (let round = 0; round < 50; round += 1) {
    const reply = await client.claims(null);
    assert.ok(reply.ok, JSON.stringify(reply));
  }
  assert.ok(peers.goOn());
});

test('a claim that the broker fails at is answered and told as such', async () => {
  await using broker = await startTestBroker();
  const { brokerState, claimsSocket } = broker.site.paths;
  mkdirSync(`${brokerState}/claims.json.new`);
  const request: ClaimRequest = {
    v: 1,
    call: 'claim',
    machine: 'one',
    files: [{ path: '/home/a', access: 'ro' }],
  };
  const answer = await askAs(claimsSocket, alice, request);
  assert.deepEqual(answer.ok ? '' : answer.refusals[0]?.code, 'internal');
  const log = readFileSync(`${brokerState}/claims.log`, 'utf8');
  assert.match(log, /"call":"claim","machine":"one".*"ok":false/);
  assert.doesNotMatch(log, /"refused":"protocol"/);
});

test('the limit of a user’s claims is one of bytes', async () => {
  await using broker = await startTestBroker();
  const { brokerState, claimsSocket } = broker.site.paths;
  for (let machine = 0; machine < 40; machine += 1) {
    const files = Array.from({ length: 60 }, (_, index) => ({
      path: `/home/${'\u4e00'.repeat(1000)}${index}`,
      access: 'ro' as const,
    }));
    const answer = await askAs(claimsSocket, alice, { v: 1, call: 'claim', machine: `m${machine}`, files });
    if (!answer.ok) break;
  }
  assert.ok(statSync(`${brokerState}/claims.json`).size < 1.5 * 1024 * 1024);
});

test('two thousand hostile requests leave nothing with the broker', async () => {
  await using broker = await startTestBroker();
  const [shared, closed] = [ofAlice('hostile', 0o666), ofAlice('closed', 0o000)];
  for (const path of [shared, closed, `${home}/alice`, '/etc/shadow', `${home}/none`])
    claim(broker, path, 'rw');
  const base = await testLaunch('one');
  const disks = [shared, closed, `${home}/alice`, '/etc/shadow', `${home}/none`, '/proc/self/mem'];
  const launch = {
    ...base,
    descriptors: [...base.descriptors, ...disks.map((path) => file(path, 'rw', true))],
  };
  const paths = disks.flatMap((path) =>
    [alice, bob, null].map((claimant) => ({ path, access: 'rw', claimant })),
  );
  const machine = 'qward-disk-abcdefabcdef';
  const requests = [
    { call: 'probe', machine: 'one', paths, head: 1024 },
    { call: 'part', machine, path: `${broker.images}/none/x`, action: 'create' },
    { call: 'part', machine, path: `${broker.images}/x`, action: 'publish' },
    { call: 'list-directory', path: `${broker.images}/none` },
    { call: 'rename', machine: 'one', to: 'one' },
    { call: 'inspect', machine: 'one' },
    { call: 'forget', machine: 'two' },
  ];
  const send = (request: object): Promise<unknown> => broker.ask({ v: 1, ...request } as never);
  await send({ call: 'launch', launch });
  const was = footprintOf(broker);
  const namespaces = (): string[] =>
    readdirSync(`/proc/${broker.pid}/fd`).flatMap((fd) => {
      const target = readlinkSync(`/proc/${broker.pid}/fd/${fd}`);
      return /^(?:user|mnt|net):/.test(target) || target === '/' ? [target] : [];
    });
  for (let sent = 0; sent < 2000; sent += 50) {
    await Promise.all(
      Array.from({ length: 50 }, (_, index) => send(requests[(sent + index) % requests.length] ?? {})),
    );
    if (sent % 200 === 0) await send({ call: 'launch', launch });
  }
  await unchanged(broker, was);
  assert.deepEqual(namespaces(), []);
  assert.deepEqual(traces(broker.site), []);
});

test('a broker that is killed while it shows files as a machine’s own leaves nothing of it', async () => {
  await using broker = await startTestBroker();
  const path = ofAlice('private', 0o600);
  claim(broker, path);
  const base = await testLaunch('one');
  const descriptors = [...base.descriptors, ...Array.from({ length: 200 }, () => file(path, 'ro', true))];
  const childrenOf = (pid: number): number[] =>
    readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);
  for (const after of [5, 20, 60]) {
    const asked = broker
      .ask({ v: 1, call: 'launch', launch: { ...base, descriptors } })
      .catch(() => undefined);
    while (childrenOf(broker.pid).length === 0) await delay(1);
    await delay(after);
    const children = childrenOf(broker.pid);
    await broker.kill();
    await asked;
    for (let left = 250; left > 0 && children.some((pid) => existsSync(`/proc/${pid}`)); left -= 1)
      await delay(20);
    assert.deepEqual(
      children.filter((pid) => existsSync(`/proc/${pid}`)),
      [],
    );
    broker.restart();
    await broker.ask({ v: 1, call: 'status' });
    assert.deepEqual(traces(broker.site), []);
    assert.deepEqual([statSync(path).uid, statSync(path).mode & 0o777], [alice, 0o600]);
  }
});
