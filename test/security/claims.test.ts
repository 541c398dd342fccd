/** Promise 4: what a user lets a machine open is said by that user alone, for that machine, and ends with it. Needs root. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { BrokerStatus, FileProbe } from '../../src/protocol/broker.ts';
import { maxClaimsOfMachine, type Claim, type ClaimRequest } from '../../src/protocol/claims.ts';
import { encodeFrame, maxRequestBytes } from '../../src/protocol/frame.ts';
import {
  askBroker,
  startTestBroker,
  testManagerUid,
  type TestBroker,
  testUidRange,
} from '../support/broker.ts';
import { askAs, floodAs, sendAs, type Answer } from '../support/claims-peer.ts';
import { bindAccounts } from '../support/private-accounts.ts';

const alice = 910_100_001;
const bob = 910_100_002;
const admin = 910_100_003;
bindAccounts(
  [
    { name: 'alice', uid: alice },
    { name: 'bob', uid: bob },
    { name: 'chief', uid: admin, groups: ['qward-admin'] },
  ],
  { 'qward-admin': 910_100_009 },
);

/** The first uid of the policy's range. */
const machineUid = testUidRange.base;

const socketOf = ({ site }: TestBroker): string => site.paths.claimsSocket;

function writePolicy({ site }: TestBroker, policy: object): void {
  const defaults = { storageRoots: [{ path: site.paths.images, access: 'rw' }] };
  writeFileSync(site.paths.policy, JSON.stringify({ ...defaults, ...policy }), { mode: 0o644 });
}

/** A home that nobody else enters, with one file in it; gives the file's path. */
function homeFile(broker: TestBroker, uid: number, name = 'disk.img'): string {
  const home = `${dirname(broker.site.roots.run)}/home-${uid}`;
  mkdirSync(home, { recursive: true, mode: 0o700 });
  chownSync(home, uid, uid);
  chmodSync(home, 0o700);
  const path = `${home}/${name}`;
  writeFileSync(path, 'x'.repeat(4096), { mode: 0o600 });
  chownSync(path, uid, uid);
  return path;
}

const claim = (machine: string, ...paths: string[]): ClaimRequest => ({
  v: 1,
  call: 'claim',
  machine,
  files: paths.map((path) => ({ path, access: 'rw' })),
});
const unclaim = (machine: string, paths: string[] | null = null): ClaimRequest => ({
  v: 1,
  call: 'unclaim',
  machine,
  paths,
});

function granted(answer: Answer): unknown {
  assert.ok(answer.ok, JSON.stringify(answer));
  return answer.result;
}

function refusal(answer: Answer): { code: string; rule: string | undefined } {
  assert.ok(!answer.ok, JSON.stringify(answer));
  const [first] = answer.refusals;
  assert.ok(first !== undefined && first.message !== '' && first.hint !== '');
  return { code: first.code, rule: first.rule };
}

const claimsOf = async (
  broker: TestBroker,
  uid: number,
  machine: string | null = null,
): Promise<string[]> => {
  const claims = granted(
    await askAs(socketOf(broker), uid, { v: 1, call: 'claims', machine }),
  ) as readonly Claim[];
  return claims.map((one) => `${one.uid} ${one.machine} ${one.access} ${one.path}`);
};

const atBroker = async <Result>(broker: TestBroker, request: unknown): Promise<Result> => {
  const reply = await askBroker<Result>(broker.site.paths.brokerSocket, request);
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
};

/** Whether the broker opens the path when the manager says that the user claimed it for the machine. */
async function opens(
  broker: TestBroker,
  machine: string,
  path: string,
  claimant: number | null,
): Promise<boolean> {
  const paths = [{ path, access: 'rw', claimant }];
  const [probe] = await atBroker<FileProbe[]>(broker, { v: 1, call: 'probe', machine, paths, head: 1024 });
  return probe?.ok === true;
}

test('a claim serves its user, its machine and its path, and nothing else', async () => {
  await using broker = await startTestBroker();
  const [hers, his] = [homeFile(broker, alice), homeFile(broker, bob)];
  assert.equal(await opens(broker, 'web', hers, alice), false, 'before it is claimed');
  assert.deepEqual(granted(await askAs(socketOf(broker), alice, claim('web', hers))), [
    { path: hers, outcome: 'claimed' },
  ]);
  assert.equal(await opens(broker, 'web', hers, alice), true);
  assert.equal(await opens(broker, 'web2', hers, alice), false, 'another machine');
  assert.equal(await opens(broker, 'web', hers, bob), false, 'another user');
  assert.equal(await opens(broker, 'web', hers, null), false, 'in nobody’s name');
  assert.equal(
    await opens(broker, 'web', homeFile(broker, alice, 'other.img'), alice),
    false,
    'another file',
  );

  // Whoever claims another's file gives what the own rights give: nothing.
  granted(await askAs(socketOf(broker), bob, claim('web', hers)));
  assert.equal(await opens(broker, 'web', hers, bob), false);
  assert.deepEqual(await claimsOf(broker, bob), [`${bob} web rw ${hers}`]);
  granted(await askAs(socketOf(broker), bob, unclaim('web')));
  assert.equal(await opens(broker, 'web', hers, alice), true, 'taken back by another, it stays');
  granted(await askAs(socketOf(broker), alice, unclaim('web', [his])));
  assert.equal(await opens(broker, 'web', hers, alice), true, 'another path was taken back');
  granted(await askAs(socketOf(broker), alice, unclaim('web', [hers])));
  assert.equal(await opens(broker, 'web', hers, alice), false);
  assert.equal(statSync(hers).uid, alice);
});

test('nobody claims under another’s name, and nobody claims who is no user', async () => {
  await using broker = await startTestBroker();
  const hers = homeFile(broker, alice);
  const named = ['uid', 'user', 'claimant', 'owner'].map((field) => [
    encodeFrame({ ...claim('web', hers), [field]: alice }),
  ]);
  assert.deepEqual(
    await sendAs(socketOf(broker), bob, named),
    named.map(() => null),
    'a field for a name ends the connection',
  );
  for (const [uid, rule] of [
    [0, 'storageRoots'],
    [testManagerUid, undefined],
    [machineUid, 'uidRange'],
    [910_199_999, undefined],
  ] as const)
    assert.deepEqual(
      refusal(await askAs(socketOf(broker), uid, claim('web', hers))),
      { code: 'not-allowed', rule },
      String(uid),
    );
  assert.deepEqual(await claimsOf(broker, 0), []);
  // The manager's socket is not open to users, and has no such call.
  const onTheOther = sendAs(broker.site.paths.brokerSocket, alice, [[encodeFrame(claim('web', hers))]]);
  assert.deepEqual(await onTheOther, [null]);
  await assert.rejects(askBroker(broker.site.paths.brokerSocket, claim('web', hers)), /without an answer/);
  const log = readFileSync(`${broker.site.paths.brokerState}/claims.log`, 'utf8');
  assert.match(
    log,
    new RegExp(`"call":"claim","machine":"web",.*"uid":${testManagerUid},"pid":\\d+,"ok":false`),
  );
});

test('what policy, kernel and qward keep is refused with its rule, and one refused file refuses all', async () => {
  await using broker = await startTestBroker();
  const hers = homeFile(broker, alice);
  const { images, brokerState, policy, claimsSocket } = broker.site.paths;
  const ruleOf = async (path: string, uid: number = alice): Promise<string | undefined> => {
    const answer = await askAs(socketOf(broker), uid, claim('web', hers, path));
    assert.equal(refusal(answer).code, 'policy-refused');
    return refusal(answer).rule;
  };
  assert.equal(await ruleOf('/dev/sda'), 'blockDevices');
  for (const path of ['/proc/1/root/etc/shadow', '/sys/kernel/notes'])
    assert.equal(await ruleOf(path), 'kernel-files', path);
  for (const path of ['/home/../etc/shadow', 'disk.img', `${hers}\n`])
    assert.equal(await ruleOf(path), 'plain-paths', path);
  for (const path of [`${brokerState}/claims.json`, policy, claimsSocket])
    assert.equal(await ruleOf(path), 'own-files', path);
  writePolicy(broker, { ownerClaims: false, storageRoots: [{ path: images, access: 'ro' }] });
  assert.equal(await ruleOf('/home/x/disk.img'), 'ownerClaims');
  assert.equal(await ruleOf(`${images}/x.img`), 'ownerClaims', 'the first fault is that of the first file');
  writePolicy(broker, { storageRoots: [{ path: images, access: 'ro' }] });
  assert.equal(await ruleOf(`${images}/x.img`), 'storageRoots[0]');
  assert.deepEqual(await claimsOf(broker, 0), [], 'none of all these was recorded');

  writePolicy(broker, {
    ownerClaims: false,
    storageRoots: [{ path: images, access: 'rw', who: { users: ['bob'], groups: [] } }],
  });
  assert.equal(
    refusal(await askAs(socketOf(broker), alice, claim('web', `${images}/x.img`))).rule,
    'ownerClaims',
  );
  granted(await askAs(socketOf(broker), bob, claim('web', `${images}/x.img`)));
  writePolicy(broker, {});
  assert.deepEqual(granted(await askAs(socketOf(broker), admin, claim('web', `${images}/x.img`))), [
    { path: `${images}/x.img`, outcome: 'by-policy' },
  ]);
  assert.deepEqual(await claimsOf(broker, admin), []);
});

test('a replay changes nothing, a claim is gone with its machine, and moves with it', async () => {
  await using broker = await startTestBroker();
  const hers = homeFile(broker, alice);
  const register = `${broker.site.paths.brokerState}/claims.json`;
  const forWeb = claim('web', hers);
  granted(await askAs(socketOf(broker), alice, forWeb));
  const written = readFileSync(register, 'utf8');
  assert.deepEqual(granted(await askAs(socketOf(broker), alice, forWeb)), [{ path: hers, outcome: 'known' }]);
  assert.equal(readFileSync(register, 'utf8'), written);
  assert.deepEqual([statSync(register).mode & 0o7777, statSync(register).uid], [0o600, 0]);

  await atBroker(broker, { v: 1, call: 'rename', machine: 'web', to: 'shop' });
  assert.deepEqual(await claimsOf(broker, alice), [`${alice} shop rw ${hers}`]);
  assert.equal(await opens(broker, 'web', hers, alice), false);
  assert.equal(await opens(broker, 'shop', hers, alice), true);

  assert.deepEqual(
    granted(
      await askAs(socketOf(broker), alice, { v: 1, call: 'claim-like', machine: 'copy', like: 'shop' }),
    ),
    [{ path: hers, access: 'rw' }],
  );
  assert.deepEqual(
    granted(await askAs(socketOf(broker), bob, { v: 1, call: 'claim-like', machine: 'mine', like: 'shop' })),
    [],
  );
  await atBroker(broker, { v: 1, call: 'forget', machine: 'shop' });
  assert.equal(await opens(broker, 'shop', hers, alice), false);
  assert.deepEqual(await claimsOf(broker, alice), [`${alice} copy rw ${hers}`]);

  // Root sees all, and takes back what is anybody's.
  granted(await askAs(socketOf(broker), bob, claim('copy', hers)));
  assert.equal((await claimsOf(broker, 0, 'copy')).length, 2);
  granted(await askAs(socketOf(broker), 0, unclaim('copy')));
  assert.deepEqual(await claimsOf(broker, 0), []);
});

test('what is no request ends the connection, whole or in pieces, and a user’s register has a limit', async () => {
  await using broker = await startTestBroker();
  const whole = encodeFrame({ v: 1, call: 'claims', machine: null });
  const length = (bytes: number): Buffer => {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(bytes);
    return header;
  };
  const answers = await sendAs(socketOf(broker), alice, [
    [...whole].map((byte) => Uint8Array.of(byte)),
    [length(maxRequestBytes + 1)],
    [length(0xffff_ffff)],
    [whole, Buffer.from('more')],
    [length(2), Buffer.from([0xff, 0xfe])],
    [Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    [encodeFrame({ v: 1, call: 'launch' })],
    // Cut short: the deadline ends it.
    [whole.subarray(0, 9)],
  ]);
  assert.deepEqual(answers[0], { ok: true, result: [] });
  // The answer may have left before the bytes behind the request came.
  assert.deepEqual([...answers.slice(1, 3), ...answers.slice(4)], [null, null, null, null, null, null]);

  const many = Array.from({ length: maxClaimsOfMachine }, (_, index) => `/home/a/${index}`);
  granted(await askAs(socketOf(broker), alice, claim('web', ...many)));
  assert.equal(
    refusal(await askAs(socketOf(broker), alice, claim('web', '/home/a/more'))).code,
    'resources-short',
  );
  assert.equal((await claimsOf(broker, alice)).length, maxClaimsOfMachine);
  granted(await askAs(socketOf(broker), bob, claim('web', '/home/b/more')));
  const long = Array.from({ length: 60 }, (_, index) => `/home/a/${String(index).padEnd(4000, 'x')}`);
  for (const machine of ['a', 'b', 'c', 'd'])
    granted(await askAs(socketOf(broker), alice, claim(machine, ...long)));
  assert.equal(refusal(await askAs(socketOf(broker), alice, claim('e', ...long))).code, 'resources-short');
  assert.ok(statSync(`${broker.site.paths.brokerState}/claims.json`).size < 2 * 1024 * 1024);
});

test('a user who floods the socket keeps waiting neither another user nor the manager', async () => {
  await using broker = await startTestBroker();
  const descriptors = (): number => readdirSync(`/proc/${broker.pid}/fd`).length;
  const before = descriptors();
  {
    await using silent = await floodAs(socketOf(broker), bob, { silent: 500, requests: [] });
    await using loud = await floodAs(socketOf(broker), admin, {
      silent: 0,
      requests: [claim('noise', '/home/b/x'), unclaim('noise')],
    });
    for (let round = 0; round < 10; round += 1) {
      const started = performance.now();
      await atBroker<BrokerStatus>(broker, { v: 1, call: 'status' });
      const manager = performance.now() - started;
      granted(await askAs(socketOf(broker), alice, claim('web', `/home/a/${round}`)));
      const other = performance.now() - started - manager;
      assert.ok(manager < 2000, `the manager waited ${manager} ms`);
      assert.ok(other < 4000, `another user waited ${other} ms`);
    }
    assert.ok(silent.goesOn() && loud.goesOn());
    assert.ok(descriptors() < before + 100, 'of 500 connections of one user few are kept');
  }
  const log = readFileSync(`${broker.site.paths.brokerState}/claims.log`, 'utf8');
  const noise = log.split('\n').filter((line) => line.includes('"machine":"noise"')).length;
  assert.ok(noise > 100, `only ${noise} requests were answered meanwhile`);
  const { brokerState } = broker.site.paths;
  assert.ok(!existsSync(`${brokerState}/broker.log`), 'no user pushes lines out of the log of decisions');
  assert.equal((await claimsOf(broker, alice)).length, 10);
  for (let left = 200; left > 0 && descriptors() > before; left -= 1) await delay(50);
  assert.ok(descriptors() <= before, 'no descriptor is left');
});

test('the register survives whatever kills the broker, and one that is damaged is told and not replaced', async () => {
  await using broker = await startTestBroker();
  const hers = homeFile(broker, alice);
  const register = `${broker.site.paths.brokerState}/claims.json`;
  granted(await askAs(socketOf(broker), alice, claim('kept', hers)));
  for (let round = 0; round < 3; round += 1) {
    await using flood = await floodAs(socketOf(broker), bob, {
      silent: 0,
      requests: [claim('noise', '/home/b/x', '/home/b/y'), unclaim('noise')],
    });
    assert.ok(flood.goesOn());
    await broker.kill();
    broker.restart();
    await broker.ask({ v: 1, call: 'status' });
    assert.deepEqual(await claimsOf(broker, alice), [`${alice} kept rw ${hers}`]);
    assert.equal(await opens(broker, 'kept', hers, alice), true);
  }
  // Once this is answered, what the flood left is done.
  await claimsOf(broker, alice);
  const spoilt = readFileSync(register, 'utf8').slice(0, -9);
  writeFileSync(register, spoilt);
  const { damaged } = await atBroker<BrokerStatus>(broker, { v: 1, call: 'status' });
  assert.match(damaged.find(({ path }) => path === register)?.cure ?? '', /rm .*claims\.json/);
  assert.equal(await opens(broker, 'kept', hers, alice), false);
  for (const request of [
    claim('kept', hers),
    unclaim('kept'),
    { v: 1, call: 'claims', machine: null } as const,
  ])
    assert.equal(refusal(await askAs(socketOf(broker), alice, request)).code, 'state-unwritable');
  const forget = await askBroker(broker.site.paths.brokerSocket, { v: 1, call: 'forget', machine: 'kept' });
  assert.ok(!forget.ok);
  assert.equal(readFileSync(register, 'utf8'), spoilt, 'nothing was written over it');
});
