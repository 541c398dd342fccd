/** Promise 4: what was done is remembered, for whom it concerns, across kills, and against a manager that was taken over. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import type { CallResult } from '../../src/api/calls.ts';
import type { BrokerStatus } from '../../src/protocol/broker.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { apiAs } from '../support/api-as.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { asUser, attempt, type Attempt } from '../support/as-user.ts';
import { askBroker } from '../support/broker.ts';
import { sendAs } from '../support/claims-peer.ts';
import { historyOf } from '../support/history.ts';
import { run, startInstance, type Instance } from '../support/instance.ts';
import { define, defineAndStart, granted, killProcess, smallMachine } from '../support/small-machine.ts';

const uids = { otto: 911_300_002, olga: 911_300_003, nina: 911_300_004 } as const;
const accounts = [
  { name: 'otto', uid: uids.otto, groups: ['qward-operators'] },
  { name: 'olga', uid: uids.olga },
  { name: 'nina', uid: uids.nina },
] as const;

type Entries = CallResult<'history'>;
const historyAs = async (instance: Instance, uid: number): Promise<Entries> =>
  JSON.parse((await apiAs(instance, uid, { method: 'GET', path: '/v1/history' })).text) as Entries;
const post = (instance: Instance, uid: number, path: string) =>
  apiAs(instance, uid, { method: 'POST', path, body: {} });
const short = (entries: Entries): string[] =>
  entries
    .filter(({ outcome }) => outcome !== 'begun')
    .map(({ user, call, machine, outcome, code }) =>
      `${user} ${call} ${machine} ${outcome} ${code ?? ''}`.trim(),
    );

test('each sees what concerns them: administrators all, owners their machines, others the own calls', async () => {
  await using instance = await startWithAccounts(accounts);
  for (const name of ['web', 'billing']) await define(instance, smallMachine(name));
  granted(await instance.client.call('give', { name: 'web', to: 'olga' }));
  await post(instance, uids.otto, '/v1/machines/billing/kill');
  await post(instance, uids.otto, '/v1/machines/web/rename');
  await post(instance, uids.olga, '/v1/machines/billing/start');
  await post(instance, uids.nina, '/v1/machines/web/start');
  await historyOf(instance, ({ user }) => user === 'nina');
  assert.deepEqual(short(await historyAs(instance, uids.olga)), [
    'otto rename web refused not-allowed',
    'olga start billing refused machine-unknown',
    'nina start web refused not-allowed',
  ]);
  assert.deepEqual(short(await historyAs(instance, uids.otto)), [
    'otto kill billing done',
    'otto rename web refused not-allowed',
  ]);
  const all = granted(await instance.client.call('history', {}));
  assert.ok(short(all).includes('root give web done'));
  const [otto] = all.filter(({ call, user }) => call === 'kill' && user === 'otto');
  assert.ok(otto !== undefined && otto.uid === uids.otto && (otto.pid ?? 0) > 1);
  const nobody = await apiAs(instance, uids.nina, { method: 'GET', path: '/v1/history?machine=web' });
  assert.equal(nobody.code, 'not-allowed');
  const refused = await instance.qward(['history', '--refused', '--user', 'olga', '--since', '1h', '--json']);
  assert.deepEqual(short(JSON.parse(refused.stdout) as Entries), [
    'olga start billing refused machine-unknown',
  ]);
});

test('neither users nor operators nor owners can read or change what is kept', async () => {
  await using instance = await startWithAccounts(accounts);
  await define(instance, smallMachine('web'));
  await historyOf(instance, ({ call }) => call === 'define');
  const files = readdirSync(instance.paths.managerState).filter((name) => name.startsWith('history.db'));
  assert.ok(files.includes('history.db'));
  const tries = files.flatMap((file): Attempt[] =>
    (['read', 'write'] as const).map((what) => ({
      try: what,
      path: `${instance.paths.managerState}/${file}`,
    })),
  );
  for (const uid of Object.values(uids)) {
    const outcomes = Object.values(await attempt(instance, { uid }, tries));
    assert.ok(
      outcomes.length > 0 && outcomes.every((outcome) => outcome === 'EACCES'),
      JSON.stringify(outcomes),
    );
    for (const method of ['DELETE', 'PUT', 'POST'])
      assert.equal((await apiAs(instance, uid, { method, path: '/v1/history' })).code, 'request-invalid');
  }
});

test('what was answered a moment ago is there after SIGKILL, and so is a call that was under way', async () => {
  await using instance = await startInstance();
  await define(instance, smallMachine('web'));
  granted(await instance.client.call('start', { name: 'web' }));
  // The firmware of the machine does not listen for the power button: this takes its whole time.
  const stopping = instance.client.call('stop', { name: 'web', timeoutMs: 60_000 }).catch(() => undefined);
  await delay(600);
  await killProcess(instance.daemon('manager'));
  await stopping;
  await instance.up();
  const entries = granted(await instance.client.call('history', {}));
  const told = entries.map(({ call, outcome }) => `${call} ${outcome}`);
  for (const wanted of ['define done', 'start done', 'stop begun'])
    assert.ok(told.includes(wanted), told.join());
});

test('history --follow shows what is kept, and then each entry once as it comes', async () => {
  await using instance = await startInstance();
  await define(instance, smallMachine('one'));
  const [program = '', ...words] = instance.program;
  const child = spawn(program, [...words, 'history', '--follow', '--json'], {
    env: instance.environment,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    let text = '';
    child.stdout.on('data', (piece: Buffer) => (text += piece.toString()));
    const shows = async (wanted: string): Promise<void> => {
      for (const giveUpAt = performance.now() + 20_000; !text.includes(wanted); await delay(20))
        assert.ok(performance.now() < giveUpAt, text);
    };
    await shows('"machine":"one"');
    await define(instance, smallMachine('two'));
    await shows('"machine":"two"');
    const ids = text
      .trim()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: number }).id);
    assert.deepEqual(
      ids,
      [...new Set(ids)].toSorted((left, right) => left - right),
    );
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});

test("the guest that proves KVM is the manager's own doing: compare has nothing to say of it", async () => {
  await using instance = await startInstance();
  await instance.qward(['doctor']);
  const compared = await instance.qward(['history', '--compare']);
  assert.equal(compared.status, 0, compared.stdout + compared.stderr);
});

test('compare finds what the broker did for a manager that was taken over, and nothing else', async () => {
  await using instance = await startInstance();
  await defineAndStart(instance, 'web');
  granted(await instance.client.call('kill', { name: 'web' }));
  await defineAndStart(instance, 'other');
  const before = await instance.qward(['history', '--compare', '--json']);
  assert.equal(before.status, 0, before.stdout + before.stderr);
  assert.ok((JSON.parse(before.stdout) as CallResult<'historyCompare'>).compared >= 3);

  // A client with the manager's uid and socket starts a machine again that the manager does not know of, and ends another.
  const { brokerSocket } = instance.paths;
  const status = await askBroker<BrokerStatus>(brokerSocket, { v: 1, call: 'status' });
  const launch = status.ok
    ? status.result.machines.find(({ machine }) => machine === 'other')?.launch
    : undefined;
  assert.ok(launch !== undefined);
  // What it tries to open, in vain, and what it makes as a job of images would, is seen as well.
  const theirs = { kind: 'file', path: '/etc/shadow', access: 'ro', claimant: null, reopened: false };
  const made = `${instance.paths.images}/made`;
  const answers = await sendAs(brokerSocket, instance.managerUid, [
    [encodeFrame({ v: 1, call: 'launch', launch: { ...launch, machine: 'ghost' } })],
    [encodeFrame({ v: 1, call: 'open', machine: 'ghost', descriptor: theirs })],
    [
      encodeFrame({
        v: 1,
        call: 'part',
        machine: `qward-disk-${'a'.repeat(12)}`,
        path: made,
        action: 'create',
      }),
    ],
    [encodeFrame({ v: 1, call: 'kill', machine: 'other' })],
    [Buffer.from([0, 0, 0, 2, 0x7b, 0x7d])],
  ]);
  assert.deepEqual(
    answers.map((answer) => answer?.ok ?? null),
    [true, false, true, true, null],
  );
  const after = await instance.qward(['history', '--compare', '--json']);
  assert.equal(after.status, 1, after.stdout + after.stderr);
  const { differences } = JSON.parse(after.stdout) as CallResult<'historyCompare'>;
  const found = differences.map(({ kind, call, machine }) => `${kind} ${call} ${machine}`);
  assert.deepEqual(found, [
    'not-asked launch ghost',
    'not-asked open ghost',
    `not-asked part qward-disk-${'a'.repeat(12)}`,
    'not-asked kill other',
    'intruder  ',
  ]);
  assert.match(differences[0]?.message ?? '', new RegExp(`of uid ${instance.managerUid}`));
  // The broker's log is root's: the manager's uid has no part in it.
  const log = `${instance.paths.brokerState}/broker.log`;
  const reached = await attempt(instance, { uid: instance.managerUid }, [{ try: 'write', path: log }]);
  assert.deepEqual(Object.values(reached), ['EACCES']);
  assert.match(readFileSync(log, 'utf8'), /"machine":"ghost"/);
});

test('only administrators compare', async () => {
  await using instance = await startWithAccounts(accounts);
  const outcome = await run([...asUser({ uid: uids.otto }), ...instance.program, 'history', '--compare'], {
    ...instance.environment,
    NODE_COMPILE_CACHE: '',
  });
  assert.equal(outcome.status, 4, outcome.stderr);
});

test('compare shows what users said to the broker themselves, and nothing of it reaches a terminal as more than text', async () => {
  await using instance = await startWithAccounts(accounts);
  const { claimsSocket } = instance.paths;
  const wild = '/home/\u001b[2J\u009b31m\u202e\u0007\r","ok":true,"uid":0';
  const files = [{ path: wild, access: 'rw' }];
  await sendAs(claimsSocket, uids.olga, [[encodeFrame({ v: 1, call: 'claim', machine: 'web', files })]]);
  await sendAs(claimsSocket, uids.otto, [[encodeFrame({ v: 1, call: 'autostart-on', machine: 'web' })]]);
  await sendAs(claimsSocket, 0, [[encodeFrame({ v: 1, call: 'autostart-on', machine: 'db' })]]);
  const shown = await instance.qward(['history', '--compare']);
  assert.doesNotMatch(shown.stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/);
  assert.match(shown.stdout, new RegExp(`uid ${uids.olga}  claim refused  web  .*u001b\\[2J.*x9b31m.*u202e`));
  const told = await instance.qward(['history', '--compare', '--json']);
  const { claims } = JSON.parse(told.stdout) as CallResult<'historyCompare'>;
  assert.deepEqual(
    claims.map(({ uid, call, machine, ok }) => [uid, call, machine, ok]),
    [
      [uids.olga, 'claim', 'web', false],
      [uids.otto, 'autostart-on', 'web', false],
      [0, 'autostart-on', 'db', true],
    ],
  );
});
