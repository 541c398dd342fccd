/** The broker's state files in the form of an older qward, which is read, and of a newer one, which is left alone and told of. */
import assert from 'node:assert/strict';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { isAlive } from '../../src/linux/process.ts';
import type { BrokerReply, BrokerRequest, BrokerStatus, LaunchedMachine } from '../../src/protocol/broker.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { askBroker, exchange, startTestBroker, testUidRange, type TestBroker } from '../support/broker.ts';
import { askAs } from '../support/claims-peer.ts';
import { enterOwnNetwork } from '../support/network.ts';
import { testLaunch } from '../support/test-launch.ts';

before(() => enterOwnNetwork());

const uid = testUidRange.base + 7;
const at = '2026-01-01T00:00:00.000Z';
const claim = { machine: 'one', uid: 0, path: '/srv/a', access: 'rw', at };
const autostart = { machine: 'one', by: 0, at };

async function done<Result>(broker: TestBroker, request: BrokerRequest): Promise<Result> {
  const reply = await broker.ask<Result>(request);
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

const statusOf = (broker: TestBroker): Promise<BrokerStatus> =>
  done<BrokerStatus>(broker, { v: 1, call: 'status' });

function refusal(reply: BrokerReply<unknown> | Awaited<ReturnType<typeof askAs>>): string {
  assert.ok(!reply.ok, 'it was done');
  return reply.refusals.map(({ code, message, hint }) => `${code}: ${message} (${hint})`).join('\n');
}

test('registers without a version are read, and written with one', async () => {
  await using broker = await startTestBroker();
  const { brokerState, claimsSocket } = broker.site.paths;
  // A machine may have been called "version": its uid is no version.
  writeFileSync(`${brokerState}/slots.json`, JSON.stringify({ version: uid, one: uid + 1 }));
  writeFileSync(`${brokerState}/claims.json`, `[\n${JSON.stringify(claim)}\n]\n`);
  writeFileSync(`${brokerState}/autostart.json`, JSON.stringify([autostart], null, 2));
  const status = await statusOf(broker);
  assert.deepEqual(status.damaged, []);
  assert.deepEqual(status.slots, [
    { machine: 'version', uid },
    { machine: 'one', uid: uid + 1 },
  ]);
  assert.deepEqual(status.autostart, [autostart]);
  const claims = await askAs(claimsSocket, 0, { v: 1, call: 'claims', machine: null });
  assert.deepEqual(claims, { ok: true, result: [claim] });

  await done(broker, { v: 1, call: 'rename', machine: 'one', to: 'two' });
  const written = (name: string): unknown => JSON.parse(readFileSync(`${brokerState}/${name}.json`, 'utf8'));
  assert.deepEqual(written('slots'), { version: 2, slots: { version: uid, two: uid + 1 } });
  assert.deepEqual(written('claims'), { version: 2, claims: [{ ...claim, machine: 'two' }] });
  assert.deepEqual(written('autostart'), { version: 2, autostart: [{ ...autostart, machine: 'two' }] });
});

test('registers of a newer qward are named with both versions and the cure, and neither used nor changed', async () => {
  await using broker = await startTestBroker();
  const { brokerState, claimsSocket } = broker.site.paths;
  const running = await done<LaunchedMachine>(broker, {
    v: 1,
    call: 'launch',
    launch: await testLaunch('one'),
  });
  const files = ['slots', 'claims', 'autostart'].map((name) => ({
    name,
    path: `${brokerState}/${name}.json`,
    text: JSON.stringify({ version: 3, [name]: { of: 'another form' } }),
  }));
  for (const { path, text } of files) writeFileSync(path, text);

  const { damaged, machines } = await statusOf(broker);
  for (const { name, path } of files) {
    const told = damaged.find((file) => file.path === path);
    assert.match(
      told?.reason ?? name,
      /^is of version 3, and this qward knows versions 1 to 2: a newer one wrote it; /,
    );
    assert.match(
      told?.cure ?? name,
      new RegExp(`^install that qward again, or root removes it \\(rm ${path}\\)`),
    );
  }
  const newer = (name: string): RegExp =>
    new RegExp(
      `^state-unwritable: ${brokerState}/${name}\\.json is of version 3, .*install that qward again`,
    );
  const ask = (request: BrokerRequest): Promise<BrokerReply<unknown>> => broker.ask(request);
  assert.match(refusal(await ask({ v: 1, call: 'launch', launch: await testLaunch('two') })), newer('slots'));
  assert.match(refusal(await ask({ v: 1, call: 'autostart-off', machine: 'one' })), newer('autostart'));
  assert.match(refusal(await ask({ v: 1, call: 'forget', machine: 'other' })), newer('claims'));
  const claims = await askAs(claimsSocket, 0, { v: 1, call: 'claims', machine: null });
  assert.match(refusal(claims), newer('claims'));
  const enabled = await askAs(claimsSocket, 0, { v: 1, call: 'autostart-on', machine: 'one' });
  assert.match(refusal(enabled), newer('autostart'));

  // What runs is seen and ended all the same.
  assert.deepEqual(
    machines.map(({ machine }) => machine),
    ['one'],
  );
  assert.ok(isAlive(running.pid, running.startTime));
  await done(broker, { v: 1, call: 'kill', machine: 'one' });
  for (const { path, text } of files)
    assert.equal(readFileSync(path, 'utf8'), text, 'nothing was written over it');

  for (const { path } of files) rmSync(path);
  assert.deepEqual((await statusOf(broker)).damaged, []);
  await done(broker, { v: 1, call: 'launch', launch: await testLaunch('two') });
});

test('one register of a newer qward keeps a machine from being half renamed or half forgotten', async () => {
  await using broker = await startTestBroker();
  const { brokerState } = broker.site.paths;
  const claims = JSON.stringify({ version: 2, claims: [claim] });
  writeFileSync(`${brokerState}/claims.json`, claims);
  writeFileSync(`${brokerState}/slots.json`, JSON.stringify({ version: 7 }));
  refusal(await broker.ask({ v: 1, call: 'rename', machine: 'one', to: 'two' }));
  refusal(await broker.ask({ v: 1, call: 'forget', machine: 'one' }));
  assert.equal(readFileSync(`${brokerState}/claims.json`, 'utf8'), claims);
});

test('the record of a newer qward: its machine is seen and ended, not audited; in another form only ended', async () => {
  await using broker = await startTestBroker();
  const { brokerRun } = broker.site.paths;
  const file = `${brokerRun}/machines/one.json`;
  const launched = await done<LaunchedMachine>(broker, {
    v: 1,
    call: 'launch',
    launch: await testLaunch('one'),
  });
  const record = { ...(JSON.parse(readFileSync(file, 'utf8')) as object), version: 2, more: { of: 'it' } };
  writeFileSync(file, JSON.stringify(record));
  await broker.kill();
  broker.restart();

  const status = await statusOf(broker);
  assert.deepEqual(
    status.machines.map(({ machine, pid, alive }) => [machine, pid, alive]),
    [['one', launched.pid, true]],
  );
  assert.match(
    status.damaged[0]?.reason ?? '',
    /the record of machine "one" is of version 2, and this qward knows version 1: a newer one wrote it; it is not audited, and can be stopped/,
  );
  assert.equal(status.damaged[0]?.unreached, undefined);
  assert.match(
    refusal(await broker.ask({ v: 1, call: 'inspect', machine: 'one' })),
    /of version 2, .* knows version 1 \(audit it with the qward that started it\)/,
  );
  assert.match(
    refusal(await broker.ask({ v: 1, call: 'launch', launch: await testLaunch('one') })),
    /^machine-running/,
  );
  assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), record, 'it is as it was');

  writeFileSync(file, JSON.stringify({ version: 2, machine: 'one', process: { id: launched.pid } }));
  const [damaged] = (await statusOf(broker)).damaged;
  assert.equal(damaged?.unreached, 'one');
  assert.match(damaged?.reason ?? '', /is of version 2, .*; it runs, and only a kill reaches it/);
  assert.ok(isAlive(launched.pid, launched.startTime));
  assert.deepEqual(await done(broker, { v: 1, call: 'kill', machine: 'one' }), { killed: true });
  assert.ok(!isAlive(launched.pid, launched.startTime));
  assert.deepEqual((await statusOf(broker)).damaged, []);
});

test('which runtime works is found out anew where the file is of another version', async () => {
  await using broker = await startTestBroker();
  const { runtime } = await statusOf(broker);
  const file = `${broker.site.paths.brokerRun}/runtime.json`;
  const known = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  assert.equal(known['version'], 1);
  for (const version of [undefined, 2]) {
    const other = { ...known, version, chosen: { name: 'none', binary: '/nonexistent', refused: [] } };
    writeFileSync(file, JSON.stringify(other));
    await broker.kill();
    broker.restart();
    assert.equal((await statusOf(broker)).runtime, runtime);
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), known);
  }
});

test('a request of another version of the protocol is answered with the cure, on both sockets, and logged', async () => {
  await using broker = await startTestBroker();
  const { brokerSocket, claimsSocket, brokerState } = broker.site.paths;
  for (const path of [brokerSocket, claimsSocket])
    for (const request of [
      { v: 2, call: 'new', with: ['fields'] },
      { v: 0, call: 'status' },
    ]) {
      const reply = await askBroker(path, request);
      assert.match(
        refusal(reply),
        new RegExp(
          `^version-differs: the broker is of qward .* speaks version 1 of its protocol; .* version ${request.v} of the protocol .*host down --leave-machines`,
        ),
      );
    }
  assert.equal(await exchange(brokerSocket, encodeFrame({ v: '2', call: 'status' })), undefined);
  assert.match(readFileSync(`${brokerState}/broker.log`, 'utf8'), /"call":"other-protocol".*version 2/);
});
