/**
 * Promise 4: what is started with the host is the administrators' to enable, each over a connection of their own; the manager,
 * whoever took it over, only takes it back. Promise 7: the register is whole or not used. Needs root.
 */
import assert from 'node:assert/strict';
import { lstatSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import type { Autostart, BrokerRequest, BrokerStatus } from '../../src/protocol/broker.ts';
import { maxAutostart, type ClaimRequest } from '../../src/protocol/claims.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { askBroker, brokerLog, startTestBroker, testManagerUid, testUidRange } from '../support/broker.ts';
import { askAs, sendAs, type Answer } from '../support/claims-peer.ts';
import { asUser } from '../support/as-user.ts';
import { run } from '../support/instance.ts';
import { bindAccounts } from '../support/private-accounts.ts';

const [owner, operator, admin, second] = [910_100_001, 910_100_002, 910_100_003, 910_100_004];
bindAccounts(
  [
    { name: 'owner', uid: owner },
    { name: 'operator', uid: operator, groups: ['qward-operators'] },
    { name: 'chief', uid: admin, groups: ['qward-admin'] },
    { name: 'second', uid: second, groups: ['qward-admin'] },
    // As if somebody had made it one: it is the service's all the same.
    { name: 'service', uid: testManagerUid, groups: ['qward-admin'] },
  ],
  { 'qward-admin': 910_100_009, 'qward-operators': 910_100_010 },
);

const broker = await startTestBroker();
after(() => broker[Symbol.asyncDispose]());
const { paths } = broker.site;
const register = `${paths.brokerState}/autostart.json`;
const claimsLog = (): string => readFileSync(`${paths.brokerState}/claims.log`, 'utf8');

const on = (machine: string): ClaimRequest => ({ v: 1, call: 'autostart-on', machine });
const enable = (uid: number, machine: string): Promise<Answer> => askAs(paths.claimsSocket, uid, on(machine));

async function statusNow(): Promise<BrokerStatus> {
  const status = await broker.ask<BrokerStatus>({ v: 1, call: 'status' });
  assert.ok(status.ok);
  return status.result;
}

const listed = async (): Promise<readonly string[]> =>
  (await statusNow()).autostart.map(({ machine, by }: Autostart) => `${machine} by ${by}`);

/** On the manager's socket, as the manager's own uid. */
async function asManager(request: BrokerRequest): Promise<{ readonly ok: boolean } | null> {
  const [answer = null] = await sendAs(paths.brokerSocket, testManagerUid, [[encodeFrame(request)]]);
  return answer;
}

test('owners, operators, machines and the manager itself cannot enable anything', async () => {
  for (const uid of [owner, operator, testManagerUid, testUidRange.base]) {
    const answer = await enable(uid, 'web');
    assert.ok(!answer.ok, String(uid));
    assert.equal(answer.refusals[0]?.code, 'not-allowed');
    assert.match(answer.refusals[0]?.hint ?? '', /qward-admin/);
  }
  assert.deepEqual(await listed(), []);
  assert.equal(lstatSync(register, { throwIfNoEntry: false }), undefined);
});

test("the manager's socket has no call that enables, in whatever form", async () => {
  const forged = [
    { v: 1, call: 'autostart-on', machine: 'web' },
    { v: 1, call: 'autostart-off', machine: 'web', by: 0 },
    { v: 1, call: 'autostart-off', machine: 'web', enable: true },
    { v: 1, call: 'rename', machine: 'none', to: 'web', autostart: true },
  ];
  for (const request of forged) {
    const answers = await sendAs(paths.brokerSocket, testManagerUid, [[encodeFrame(request)]]);
    assert.deepEqual(answers, [null], JSON.stringify(request));
  }
  // One that nothing is enabled for brings nothing along.
  await asManager({ v: 1, call: 'rename', machine: 'none', to: 'web' });
  assert.deepEqual(await listed(), []);
});

test('no word of a request says who asks', async () => {
  const forged = [
    { ...on('web'), uid: 0 },
    { ...on('web'), by: admin },
    { ...on('web'), machine: ['web'] },
    { ...on('web'), machine: '../web' },
  ];
  for (const request of forged)
    assert.deepEqual(await sendAs(paths.claimsSocket, owner, [[encodeFrame(request)]]), [null]);
  assert.deepEqual(await listed(), []);
});

test('an administrator and root enable, the manager takes back, and the logs of the broker say so', async () => {
  assert.deepEqual(await enable(admin, 'web'), { ok: true, result: { outcome: 'enabled' } });
  assert.deepEqual(await enable(second, 'web'), { ok: true, result: { outcome: 'known' } });
  assert.deepEqual(await askBroker(paths.claimsSocket, on('db')), {
    ok: true,
    result: { outcome: 'enabled' },
  });
  assert.deepEqual(await listed(), [`web by ${admin}`, 'db by 0']);
  assert.deepEqual(await asManager({ v: 1, call: 'autostart-off', machine: 'web' }), {
    ok: true,
    result: { disabled: true },
  });
  assert.deepEqual(await asManager({ v: 1, call: 'autostart-off', machine: 'web' }), {
    ok: true,
    result: { disabled: false },
  });
  assert.deepEqual(await listed(), ['db by 0']);
  const entries = claimsLog()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const said = entries.filter(({ call }) => call === 'autostart-on');
  assert.ok(said.some(({ machine, uid, ok }) => machine === 'web' && uid === admin && ok === true));
  assert.ok(said.some(({ machine, uid, ok }) => machine === 'web' && uid === owner && ok === false));
  assert.ok(said.some(({ uid, ok }) => uid === testManagerUid && ok === false));
  assert.match(
    brokerLog(broker.site),
    new RegExp(`"call":"autostart-off","machine":"web","uid":${testManagerUid},"ok":true`),
  );
});

test("the register is root's alone: the manager neither reads nor writes it, nor puts another in its place", async () => {
  const { mode, uid } = statSync(register);
  assert.deepEqual([mode & 0o777, uid], [0o600, 0]);
  const before = readFileSync(register, 'utf8');
  const script = `cat ${register}; echo > ${register}; rm -f ${register}; mv ${register} /tmp/x; ln -s /dev/null ${register}.new; ls ${paths.brokerState}`;
  const outcome = await run([...asUser({ uid: testManagerUid }), '/bin/sh', '-c', script], {});
  assert.equal(outcome.stdout, '');
  assert.equal(readFileSync(register, 'utf8'), before);
});

test('it goes with the name, and ends with the machine', async () => {
  await enable(admin, 'old');
  assert.ok((await asManager({ v: 1, call: 'rename', machine: 'old', to: 'new' }))?.ok);
  assert.deepEqual(await listed(), ['db by 0', `new by ${admin}`]);
  // A name that is enabled already is not enabled twice.
  await enable(second, 'other');
  assert.ok((await asManager({ v: 1, call: 'rename', machine: 'new', to: 'other' }))?.ok);
  assert.deepEqual(await listed(), ['db by 0', `other by ${admin}`]);
  assert.ok((await asManager({ v: 1, call: 'forget', machine: 'other' }))?.ok);
  assert.ok((await asManager({ v: 1, call: 'forget', machine: 'db' }))?.ok);
  assert.deepEqual(await listed(), []);
});

test('many at once lose nothing', async () => {
  // As many as one user may have on the socket together.
  const names = Array.from({ length: 15 }, (_, index) => `many-${index}`);
  const answers = await Promise.all(names.map((name) => askBroker(paths.claimsSocket, on(name))));
  assert.ok(answers.every(({ ok }) => ok));
  assert.deepEqual((await statusNow()).autostart.map(({ machine }) => machine).toSorted(), names.toSorted());
  // The manager takes some back while administrators add others.
  const more = names.map((name) => `${name}-more`);
  await Promise.all([
    ...names.map((machine) => broker.ask({ v: 1, call: 'autostart-off', machine })),
    ...more.map((machine) => askBroker(paths.claimsSocket, on(machine))),
  ]);
  assert.deepEqual((await statusNow()).autostart.map(({ machine }) => machine).toSorted(), more.toSorted());
  for (const machine of more) await broker.ask({ v: 1, call: 'autostart-off', machine });
});

test('a register that is not whole starts nothing, is kept, and is told with its cure', async (context) => {
  await enable(admin, 'web');
  const good = readFileSync(register, 'utf8');
  assert.match(good, /"machine":"web"/);
  const spoilt: Readonly<Record<string, string>> = {
    'cut short': good.slice(0, -20),
    empty: '',
    'not a list': '{"version":2,"autostart":{"machine":"web"}}',
    'one entry that is none': good.replace('}]', '},{"machine":"../x","by":0,"at":""}]'),
    'a name that is no text': good.replace('"web"', '["web"]'),
    'of a newer qward': good.replace('"version":2', '"version":3'),
  };
  for (const [what, content] of Object.entries(spoilt)) {
    await context.test(what, async () => {
      assert.notEqual(content, good);
      writeFileSync(register, content);
      const status = await statusNow();
      assert.deepEqual(status.autostart, []);
      const told = status.damaged.find(({ path }) => path === register);
      assert.match(`${told?.cure}`, new RegExp(`rm ${register}.*qward autostart on`));
      for (const answer of [
        await enable(admin, 'db'),
        await broker.ask({ v: 1, call: 'autostart-off', machine: 'web' }),
        await broker.ask({ v: 1, call: 'forget', machine: 'web' }),
      ]) {
        assert.ok(!answer.ok);
        assert.equal(answer.refusals[0]?.code, 'state-unwritable');
        assert.match(answer.refusals[0]?.hint ?? '', /root removes it/);
      }
      assert.equal(readFileSync(register, 'utf8'), content);
    });
  }
  rmSync(register);
  assert.deepEqual(await enable(admin, 'web'), { ok: true, result: { outcome: 'enabled' } });
  assert.deepEqual(await listed(), [`web by ${admin}`]);
});

test('administrators cannot grow the register, and every status with it, without end', async () => {
  const good = readFileSync(register, 'utf8');
  const entry = (index: number): Autostart => ({
    machine: `m${index}`,
    by: admin,
    at: '2026-01-01T00:00:00.000Z',
  });
  const autostart = Array.from({ length: maxAutostart }, (_, index) => entry(index));
  writeFileSync(register, JSON.stringify({ version: 2, autostart }));
  const answer = await enable(admin, 'one-more');
  assert.ok(!answer.ok, 'the register has no end');
  assert.equal(answer.refusals[0]?.code, 'resources-short');
  await broker.ask({ v: 1, call: 'autostart-off', machine: 'm7' });
  assert.deepEqual(await enable(admin, 'one-more'), { ok: true, result: { outcome: 'enabled' } });
  writeFileSync(register, good);
});
