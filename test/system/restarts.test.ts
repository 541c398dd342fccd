/** What follows the end of a machine, with real guests: panics, reboots, power-offs, crashes of QEMU, and hooks around them. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { after, test } from 'node:test';
import type { CallResult } from '../../src/api/calls.ts';
import { consoleShows, defineBare, defineDemo, done, remains, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { sendKill } from '../support/send-kill.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

type Status = CallResult<'status'>;

async function until(name: string, what: string, isSo: (status: Status) => boolean): Promise<Status> {
  const giveUpAt = performance.now() + 90_000;
  for (;;) {
    const reply = await instance.client.call('status', { name });
    assert.ok(reply.ok);
    if (isSo(reply.result)) return reply.result;
    assert.ok(performance.now() < giveUpAt, `${name} is not ${what}: ${JSON.stringify(reply.result)}`);
    await delay(50);
  }
}

const restart = 'restart: {delay: 100ms, maxDelay: 1s, attempts: 2, within: 1h}';
const logOf = async (name: string): Promise<string> => await done(instance, `logs ${name}`);

test('a QEMU that is killed again and again is started again until the ceiling, and not once more', async () => {
  await defineBare(instance, 'victim', 'onCrash: restart', restart);
  await done(instance, 'start victim');
  const uid = (await statusOf(instance, 'victim')).uid;
  let last: number | null = null;
  for (let life = 1; life <= 3; life += 1) {
    const { pid } = await until(
      'victim',
      'running',
      (status) => status.state === 'running' && status.pid !== last,
    );
    last = pid;
    sendKill(pid);
  }
  const given = await until('victim', 'given up', ({ notRestarted }) => notRestarted !== null);
  assert.deepEqual([given.state, given.lastEnd?.how, given.pid], ['crashed', 'crashed', null]);
  assert.deepEqual(remains(instance, 'victim'), []);
  assert.match(await logOf('victim'), /restarts in 0\.2 s, 2 of 2[\s\S]*restarted 2 times within 3600 s/);
  assert.match((await instance.qward(['status', 'victim'])).stdout, /restart\s+restarted 2 times/);
  await done(instance, 'start victim');
  assert.equal((await statusOf(instance, 'victim')).uid, uid);
  await done(instance, 'set victim restart.maxDelay=1h restart.delay=1h');
  sendKill((await statusOf(instance, 'victim')).pid);
  await until('victim', 'waiting', (status) => status.restart !== null);
  assert.match((await instance.qward(['status', 'victim'])).stdout, /restarts in 3[56]\d\d s, 1 of 2/);
  assert.match(await done(instance, 'list'), /victim\s+crashed, restarts \(1\/2\)/);
  assert.equal(await done(instance, 'stop --all'), 'victim: restart cancelled');
});

test('a guest that panics is kept, paused, where the definition says so', async () => {
  await defineDemo(instance, { name: 'kept', switches: 'qward.panic=1', more: 'onCrash: pause' });
  await done(instance, 'start kept');
  const paused = await until('kept', 'paused', ({ state }) => state === 'paused');
  assert.notEqual(paused.pid, null);
  assert.match(await done(instance, 'qmp kept query-status'), /guest-panicked/);
  assert.match(await logOf('kept'), /the guest's kernel panicked \(pause\)/);
  assert.equal((await instance.qward(['audit', 'kept'])).status, 0);
  await done(instance, 'kill kept');
});

test('a guest that panics is started again where the definition says so, and stays down at the ceiling', async () => {
  const more = `onCrash: restart\n${restart}`;
  await defineDemo(instance, { name: 'panics', switches: 'qward.panic=1', more });
  await done(instance, 'start panics');
  const given = await until('panics', 'given up', ({ notRestarted }) => notRestarted !== null);
  assert.deepEqual(
    [given.state, given.lastEnd?.message],
    ['crashed', "the guest's kernel panicked, and QEMU ended"],
  );
  assert.equal((await logOf('panics')).match(/started as pid/g)?.length, 3);
  assert.deepEqual(remains(instance, 'panics'), []);
});

test('a guest that powers off is started again where the definition says so, but not by a stop', async () => {
  const more = `onPowerOff: restart\n${restart}`;
  await defineDemo(instance, { name: 'returns', switches: 'qward.poweroff', more });
  await done(instance, 'start returns');
  const given = await until('returns', 'given up', ({ notRestarted }) => notRestarted !== null);
  assert.deepEqual([given.state, given.lastEnd?.how], ['stopped', 'shut down']);
  assert.equal((await logOf('returns')).match(/started as pid/g)?.length, 3);
  await defineDemo(instance, { name: 'returns', more });
  await done(instance, 'start returns');
  await consoleShows(instance, 'returns');
  assert.equal(await done(instance, 'stop returns'), 'returns: shut down');
  const { state, restart: planned } = await statusOf(instance, 'returns');
  assert.deepEqual([state, planned], ['stopped', null]);
});

test('a reboot of the guest ends the machine where the definition says so, and a reset does not', async () => {
  await defineDemo(instance, { name: 'once', switches: 'qward.reboot=2', more: 'onReboot: stop' });
  await done(instance, 'start once');
  const { pid } = await statusOf(instance, 'once');
  assert.equal(await done(instance, 'reset once'), 'once: reset');
  await consoleShows(instance, 'once', 'rebooting');
  assert.equal(
    (await until('once', 'stopped', ({ state }) => state === 'stopped')).lastEnd?.how,
    'shut down',
  );
  const log = await logOf('once');
  assert.match(
    log,
    new RegExp(`started as pid ${pid}[\\s\\S]*reset: host-qmp-system-reset[\\s\\S]*shutdown: guest-reset`),
  );
  assert.deepEqual(remains(instance, 'once'), []);
});

test('hooks of the policy run around every life of a machine, in a jail, with what they say in the log', async () => {
  const directory = `${instance.directory}/hooks`;
  mkdirSync(directory, { mode: 0o755 });
  const hook = (name: string, ...lines: string[]): { readonly name: string; readonly path: string } => {
    writeFileSync(`${directory}/${name}`, ['#!/bin/sh', ...lines, ''].join('\n'));
    chmodSync(`${directory}/${name}`, 0o755);
    return { name, path: `${directory}/${name}` };
  };
  instance.writePolicy({
    hooks: [
      hook('prepare', 'echo "$1 of $2 as $(id -u)"'),
      hook('tidy', 'echo "$1 of $2"'),
      hook('refuse', 'echo "the volume is locked" >&2', 'exit 7'),
    ],
  });
  await defineBare(instance, 'hooked', 'onCrash: restart', restart, 'hooks: {start: prepare, stop: tidy}');
  await done(instance, 'start hooked');
  const { pid } = await statusOf(instance, 'hooked');
  sendKill(pid);
  await until('hooked', 'running again', (status) => status.state === 'running' && status.pid !== pid);
  await done(instance, 'kill hooked');
  const said = (await logOf('hooked'))
    .split('\n')
    .flatMap((line) => /^\S+ {2}hook +(.*)$/.exec(line)?.[1] ?? []);
  assert.deepEqual(
    said.map((line) => line.replace(/as \d+/, 'as N')),
    ['start of hooked as N', 'stop of hooked', 'start of hooked as N', 'stop of hooked'],
  );
  assert.ok(!said.some((line) => line.endsWith(' as 0')), said.join('\n'));

  await done(instance, 'set hooked hooks.start=refuse');
  const refused = await instance.qward(['start', 'hooked']);
  assert.equal(refused.status, 1);
  assert.match(
    refused.stderr,
    /hook "refuse" for the start of machine "hooked" ended with status 7: the volume is locked/,
  );
  assert.deepEqual(remains(instance, 'hooked'), []);
});
