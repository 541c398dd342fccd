/** Promise 1 from below: with the manager's uid and no more, what is root's, a machine's or another instance's is out of reach. */
import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { test } from 'node:test';
import { startTimeOf } from '../../src/linux/process.ts';
import { attempt, type Attempt } from '../support/as-user.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { define, defineAndStart, start } from '../support/small-machine.ts';

async function withDisk(instance: Instance): Promise<{ readonly disk: string; readonly pid: number }> {
  const disk = instance.disk('one');
  await define(instance, demoMachine({ name: 'one', guest: instance.guest, disk, memory: '96MiB' }));
  return { disk, pid: await start(instance, 'one') };
}

test("the manager's uid reaches nothing of the broker's, no image and no QEMU", async () => {
  await using instance = await startInstance();
  await using other = await startInstance();
  const { disk, pid } = await withDisk(instance);
  await defineAndStart(other, 'one');
  const { brokerRun, brokerState, machines, policy, apiSocket } = instance.paths;
  const [broker, manager] = [instance.daemon('broker'), instance.daemon('manager')];
  const startTimes = [pid, broker].map((one) => startTimeOf(one));
  const forbidden: Attempt[] = [
    { try: 'list', path: brokerState },
    { try: 'read', path: `${brokerState}/slots.json` },
    { try: 'read', path: `${brokerState}/broker.log` },
    { try: 'write', path: `${brokerState}/slots.json` },
    { try: 'list', path: brokerRun },
    { try: 'read', path: `${brokerRun}/machines/one.json` },
    { try: 'write', path: `${brokerRun}/machines/one.json` },
    { try: 'read', path: `${brokerRun}/bundles/one/config.json` },
    { try: 'write', path: `${brokerRun}/bundles/one/config.json` },
    { try: 'list', path: `${brokerRun}/roots` },
    { try: 'write', path: policy },
    { try: 'write', path: `${instance.roots.config}/new` },
    { try: 'write', path: `${instance.roots.run}/new` },
    { try: 'write', path: `${instance.roots.run}/host.json` },
    { try: 'write', path: `${instance.roots.state}/new` },
    { try: 'write', path: `${machines}/new` },
    { try: 'write', path: `${machines}/one/new` },
    { try: 'write', path: `${machines}/one/log` },
    { try: 'read', path: disk },
    { try: 'write', path: disk },
    { try: 'write', path: `${instance.paths.images}/new` },
    ...[pid, broker].flatMap((process): Attempt[] => [
      { try: 'signal', pid: process },
      { try: 'attach', pid: process },
      { try: 'memory', pid: process },
      { try: 'list', path: `/proc/${process}/fd` },
      { try: 'list', path: `/proc/${process}/root/` },
      { try: 'read', path: `/proc/${process}/environ` },
    ]),
    { try: 'list', path: other.paths.machines },
    { try: 'connect', path: `${other.paths.machines}/one/qmp.sock` },
    { try: 'connect', path: other.paths.brokerSocket },
    { try: 'list', path: other.paths.managerState },
    { try: 'read', path: '/etc/shadow' },
  ];
  const results = await attempt(instance, { uid: instance.managerUid }, forbidden);
  const got = Object.entries(results).filter(([, outcome]) => !['EACCES', 'EPERM'].includes(outcome));
  assert.deepEqual(got, []);

  // The same prober does get through where the manager may: else the refusals would mean nothing.
  const allowed: Attempt[] = [
    { try: 'list', path: machines },
    { try: 'read', path: `${machines}/one/log` },
    { try: 'list', path: instance.paths.managerState },
    { try: 'connect', path: instance.paths.brokerSocket },
    { try: 'connect', path: apiSocket },
    { try: 'signal', pid: manager },
    { try: 'memory', pid: manager },
  ];
  const reached = await attempt(instance, { uid: instance.managerUid }, allowed);
  assert.deepEqual(
    Object.entries(reached).filter(([, outcome]) => outcome !== 'done'),
    [],
  );
  assert.deepEqual(
    [pid, broker].map((one) => startTimeOf(one)),
    startTimes,
    'all live',
  );
  assert.deepEqual(readdirSync(instance.paths.images), ['one.qcow2']);
  assert.equal(statSync(disk).mode & 0o777, 0o600);
});

test("the broker's socket serves the manager's uid and nobody who only came into its group", async () => {
  await using instance = await startInstance();
  const { brokerSocket } = instance.paths;
  const connectAs = async (uid: number, groups: readonly number[]): Promise<string | undefined> =>
    (await attempt(instance, { uid, groups }, [{ try: 'connect', path: brokerSocket }]))[
      `connect ${brokerSocket}`
    ];
  assert.equal(await connectAs(4_000_000, []), 'EACCES', 'the mode');
  assert.equal(await connectAs(4_000_000, [instance.managerUid]), 'closed', "the kernel's word on who it is");
});

test("a machine's uid on the host reaches no socket, no file and no process of any machine", async () => {
  await using instance = await startInstance();
  const { disk, pid } = await withDisk(instance);
  const other = await defineAndStart(instance, 'other');
  const uid = statSync(`/proc/${pid}`).uid;
  const { machines, brokerSocket, brokerState, brokerRun, managerState, vars, managerRun } = instance.paths;
  const sockets = ['one', 'other'].flatMap((name) =>
    ['qmp.sock', 'console.sock'].map((file): Attempt => ({
      try: 'connect',
      path: `${machines}/${name}/${file}`,
    })),
  );
  const results = await attempt(instance, { uid }, [
    ...sockets,
    { try: 'connect', path: brokerSocket },
    ...[machines, `${machines}/one`, brokerState, brokerRun, managerState, managerRun, vars].map(
      (path): Attempt => ({ try: 'list', path }),
    ),
    // Its own log belongs to it, and cannot be reached by a path.
    { try: 'read', path: `${machines}/one/log` },
    { try: 'write', path: `${machines}/one/log` },
    { try: 'read', path: disk },
    { try: 'signal', pid: other },
    { try: 'memory', pid: other },
    { try: 'attach', pid: other },
  ]);
  assert.deepEqual(
    Object.entries(results).filter(([, outcome]) => !['EACCES', 'EPERM'].includes(outcome)),
    [],
  );
  // To the API it is a stranger like any other.
  const list = await instance.qward(['list'], { uid });
  assert.equal(list.status, 4);
  assert.match(list.stderr, /has no rights here/);
});

test('the prober itself is not what is refused: root gets through', async () => {
  await using instance = await startInstance();
  const pid = await defineAndStart(instance, 'one');
  const results = await attempt(instance, { uid: 0 }, [
    { try: 'list', path: instance.paths.brokerState },
    { try: 'connect', path: instance.paths.brokerSocket },
    { try: 'signal', pid: instance.daemon('broker') },
  ]);
  assert.deepEqual(Object.values(results), ['done', 'done', 'done']);
  assert.ok(startTimeOf(pid) !== undefined);
  const path = `${instance.directory}/written`;
  assert.equal((await attempt(instance, { uid: 0 }, [{ try: 'write', path }]))[`write ${path}`], 'done');
});
