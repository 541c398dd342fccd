/** `qward host up`, `down` and `status`: one pair of daemons, whatever happened before; who they run as. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { isAlive, startTimeOf } from '../../src/linux/process.ts';
import { traces } from '../support/broker.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { startInstance, type CommandOutcome, type Instance } from '../support/instance.ts';
import {
  consoleShows,
  define,
  defineAndStart,
  killProcess,
  reach,
  start,
  statusOf,
} from '../support/small-machine.ts';

/** A uid without an account. */
const stranger = 4_000_000;

const host = (instance: Instance, words: readonly string[], uid?: number): Promise<CommandOutcome> =>
  instance.qward(['host', ...words, ...instance.hostFlags], uid === undefined ? {} : { uid });

/** Processes that listen on a socket of the instance, by the socket's inode (proc(5), /proc/net/unix). */
function holdersOf(path: string): number[] {
  const inodes = readFileSync('/proc/net/unix', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[7] === path)
    .map((fields) => `socket:[${fields[6]}]`);
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        return readdirSync(`/proc/${pid}/fd`).some((fd) =>
          inodes.includes(readlinkSync(`/proc/${pid}/fd/${fd}`)),
        );
      } catch {
        return false;
      }
    })
    .map(Number);
}

const daemons = (instance: Instance): number[] => [instance.daemon('broker'), instance.daemon('manager')];

test('up, status and down can be said as often as one likes, also at the same instant', async () => {
  await using instance = await startInstance({ down: true });
  assert.equal((await host(instance, ['status'])).status, 1);
  const ups = await Promise.all([1, 2, 3].map(() => host(instance, ['up'])));
  for (const { status, stderr } of ups) assert.equal(status, 0, stderr);
  const pair = daemons(instance);
  assert.equal(ups.filter(({ stdout }) => /up already/.test(stdout)).length, 2);
  for (const [index, path] of [instance.paths.brokerSocket, instance.paths.apiSocket].entries())
    assert.deepEqual(holdersOf(path), [pair[index]]);
  const status = await host(instance, ['status', '--json']);
  assert.equal(status.status, 0);
  assert.match(status.stdout, new RegExp(`${pair[0]}[^]*${pair[1]}`));

  // What is remembered is lost, or no longer legible: the daemons are found all the same.
  for (const spoil of [
    () => rmSync(join(instance.roots.run, 'host.json')),
    () => writeFileSync(join(instance.roots.run, 'host.json'), '[{"name":"bro'),
    () =>
      writeFileSync(join(instance.roots.run, 'host.json'), '[{"name":"manager","pid":1,"startTime":"x"}]'),
  ]) {
    spoil();
    assert.match((await host(instance, ['up'])).stdout, /up already/);
    assert.equal((await host(instance, ['status'])).status, 0);
  }
  for (const expected of [/qward is down/, /was not up/]) {
    const down = await host(instance, ['down']);
    assert.equal(down.status, 0, down.stderr);
    assert.match(down.stdout, expected);
  }
  for (const pid of pair) assert.equal(startTimeOf(pid), undefined);
  assert.equal((await host(instance, ['status'])).status, 1);
});

test('a daemon that died is started again, and the other one goes on', async () => {
  await using instance = await startInstance();
  const machine = await defineAndStart(instance, 'one');
  for (const name of ['broker', 'manager'] as const) {
    const other = name === 'broker' ? 'manager' : 'broker';
    const [before, kept] = [instance.daemon(name), instance.daemon(other)];
    await killProcess(before);
    const status = await host(instance, ['status']);
    assert.equal(status.status, 1);
    assert.match(status.stdout, new RegExp(`^qward-${other} runs as pid ${kept}\n$`));
    await instance.up();
    assert.notEqual(instance.daemon(name), before);
    assert.equal(instance.daemon(other), kept);
    assert.equal((await reach(instance, 'one', ['running'])).pid, machine);
  }
});

test('down shuts guests down; --leave-machines lets them go on, and up adopts them', async () => {
  await using instance = await startInstance();
  await define(instance, demoMachine({ name: 'guest', guest: instance.guest, memory: '96MiB' }));
  const pid = await start(instance, 'guest');
  await consoleShows(instance, 'guest', /qward-demo: ready/);

  const left = await host(instance, ['down', '--leave-machines']);
  assert.equal(left.status, 0, left.stderr);
  assert.ok(startTimeOf(pid) !== undefined);
  const alone = await host(instance, ['down']);
  assert.equal(alone.status, 5, 'nobody is there to shut it down');
  assert.match(alone.stderr, /guest[^]*host up/);
  assert.ok(startTimeOf(pid) !== undefined);

  await instance.up();
  assert.equal((await reach(instance, 'guest', ['running'])).pid, pid);
  const down = await host(instance, ['down']);
  assert.equal(down.status, 0, down.stderr);
  assert.match(down.stdout, /guest: shut down/);
  assert.equal(startTimeOf(pid), undefined);
  assert.deepEqual(traces(instance), []);
  await instance.up();
  const { state, lastEnd } = await statusOf(instance, 'guest');
  assert.deepEqual([state, lastEnd?.how], ['stopped', 'shut down']);
});

test('an ordinary user is refused with the cure, and nothing happens', async () => {
  await using instance = await startInstance();
  const machine = await defineAndStart(instance, 'one');
  const startTime = startTimeOf(machine) ?? 0;
  const before = daemons(instance);
  for (const action of ['up', 'down']) {
    for (const uid of [stranger, instance.managerUid]) {
      const refused = await host(instance, [action], uid);
      assert.equal(refused.status, 4);
      assert.match(refused.stderr, new RegExp(`only root[^]*sudo qward host ${action}`));
    }
  }
  assert.deepEqual(daemons(instance), before);
  for (const pid of before) assert.ok(startTimeOf(pid) !== undefined);
  assert.ok(isAlive(machine, startTime));
});

test('the manager has its uid and nothing else, and root serves users on the socket for claims alone', async () => {
  await using instance = await startInstance();
  const { managerUid: id } = instance;
  const [broker, manager] = [instance.daemon('broker'), instance.daemon('manager')];
  for (const task of readdirSync(`/proc/${manager}/task`)) {
    const status = readFileSync(`/proc/${manager}/task/${task}/status`, 'utf8');
    for (const expected of [
      `Uid:\\t${id}\\t${id}\\t${id}\\t${id}`,
      `Gid:\\t${id}\\t${id}\\t${id}\\t${id}`,
      'Groups:\\s*',
      ...['Inh', 'Prm', 'Eff', 'Bnd', 'Amb'].map((set) => `Cap${set}:\\t0+`),
      'NoNewPrivs:\\t1',
    ])
      assert.match(status, new RegExp(`^${expected}$`, 'm'));
  }
  assert.deepEqual(holdersOf(instance.paths.apiSocket), [manager]);
  assert.deepEqual(holdersOf(instance.paths.brokerSocket), [broker]);
  assert.deepEqual(holdersOf(instance.paths.claimsSocket), [broker]);
  assert.equal(statSync(instance.paths.apiSocket).mode & 0o777, 0o666);
  assert.equal(statSync(instance.paths.brokerSocket).mode & 0o777, 0o660);
  assert.equal(statSync(instance.paths.brokerSocket).gid, id);
  const { mode, uid, gid } = statSync(instance.paths.claimsSocket);
  assert.deepEqual([mode & 0o777, uid, gid], [0o666, 0, 0]);
});

test('any local user reaches the API, and is refused everything', async () => {
  await using instance = await startInstance();
  await define(instance, 'name: one\nmemory: 32MiB\n');
  for (const words of [
    ['list'],
    ['info'],
    ['doctor'],
    ['status', 'one'],
    ['start', 'one'],
    ['rm', 'one', '--yes'],
  ]) {
    const { status, stdout, stderr } = await instance.qward(words, { uid: stranger });
    assert.equal(status, 4, `${words.join(' ')}: ${stdout}${stderr}`);
    assert.match(stderr, /has no rights here[^]*administrator/);
  }
  assert.equal((await statusOf(instance, 'one')).state, 'stopped');
});
