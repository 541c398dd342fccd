/** Files of qward that are half-written, garbage, another's or gone: named, in nobody else's way, and mended as it is said. */
import assert from 'node:assert/strict';
import {
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import { startTimeOf } from '../../src/linux/process.ts';
import { traces } from '../support/broker.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import {
  define,
  defineAndStart,
  faultsOf,
  gone,
  granted,
  killProcess,
  reach,
  rememberNoKvm,
  smallMachine,
  start,
  statusOf,
} from '../support/small-machine.ts';

async function stateFiles(instance: Instance): Promise<{ state: string; found: string; cure: string }> {
  rememberNoKvm(instance);
  const { checks } = granted(await instance.client.call('doctor'));
  const check = checks.find((one) => one.check === 'state files');
  assert.ok(check !== undefined);
  return check;
}

async function restart(instance: Instance): Promise<void> {
  for (const name of ['broker', 'manager'] as const) await killProcess(instance.daemon(name));
  await instance.up();
}

for (const [what, spoil] of Object.entries({
  'cut short': (path: string) => truncateSync(path, 40),
  empty: (path: string) => truncateSync(path, 0),
  garbage: (path: string) => writeFileSync(path, '\u0000\u0001garbage'),
  'of another shape': (path: string) => writeFileSync(path, '{"version":1,"machine":"one","launch":{}}'),
}))
  test(`a launch record that is ${what}: the machine is never ended silently, named, and killed on request`, async () => {
    await using instance = await startInstance();
    const pid = await defineAndStart(instance, 'one');
    const other = await defineAndStart(instance, 'other');
    const startTime = startTimeOf(pid) ?? 0;
    const record = `${instance.paths.brokerRun}/machines/one.json`;
    spoil(record);
    await restart(instance);

    const { state, found, cure } = await stateFiles(instance);
    assert.equal(state, 'degraded');
    assert.match(found, new RegExp(`${record}: the record of machine "one" cannot be read; it runs`));
    assert.match(cure, /qward kill one/);
    assert.ok(!found.includes('other'));
    assert.match(
      faultsOf(await instance.client.call('start', { name: 'one' })),
      /^machine-running: .*"one" runs/,
    );
    assert.equal(startTimeOf(pid), startTime, 'it runs on');
    assert.equal((await statusOf(instance, 'one')).state, 'unreachable', 'and is shown');
    assert.match(
      faultsOf(await instance.client.call('stop', { name: 'one' })),
      /^monitor-failed: .*cannot be asked to shut down/,
    );
    assert.equal((await reach(instance, 'other', ['running'])).pid, other);

    assert.equal(granted(await instance.client.call('kill', { name: 'one' })).outcome, 'killed');
    await gone(pid, startTime);
    assert.equal((await stateFiles(instance)).state, 'ok');
    await start(instance, 'one');
  });

test('without bundle, log and sockets a machine runs on, is unreachable to a new manager, and can be ended', async () => {
  await using instance = await startInstance();
  const pid = await defineAndStart(instance, 'one');
  const other = await defineAndStart(instance, 'other');
  const directory = `${instance.paths.machines}/one`;
  rmSync(`${instance.paths.brokerRun}/bundles/one`, { recursive: true });
  rmSync(`${instance.paths.brokerRun}/oci/one`, { recursive: true });
  for (const file of readdirSync(directory)) rmSync(`${directory}/${file}`);
  // Who has it already does not care.
  assert.equal((await instance.qward(['pause', 'one'])).status, 0);
  assert.equal((await instance.qward(['resume', 'one'])).status, 0);
  await restart(instance);

  assert.equal((await reach(instance, 'other', ['running'])).pid, other);
  const { state, pid: same } = await statusOf(instance, 'one');
  assert.deepEqual([state, same], ['unreachable', pid]);
  assert.match(faultsOf(await instance.client.call('pause', { name: 'one' })), /^monitor-failed: .*"one"/);
  const stopped = granted(await instance.client.call('stop', { name: 'one', timeoutMs: 500 }));
  assert.match(stopped.outcome, /^killed/);
  assert.equal(startTimeOf(pid), undefined);
  assert.ok(traces(instance).every((path) => path.includes('other')));
  await start(instance, 'one');
});

test('directories of machines in any other state keep neither the broker nor a start from going on', async () => {
  await using instance = await startInstance();
  const other = await defineAndStart(instance, 'other');
  await define(instance, smallMachine('one'));
  const { machines, brokerRun } = instance.paths;
  mkdirSync(`${machines}/one/nested`, { recursive: true });
  writeFileSync(`${machines}/one/log`, 'no file system is mounted here');
  mkdirSync(`${brokerRun}/bundles/one`, { recursive: true });
  writeFileSync(`${brokerRun}/bundles/one/config.json`, '{"ociVer');
  writeFileSync(`${brokerRun}/machines/one.json.new`, '{"version"');
  writeFileSync(`${machines}/stray`, 'a file where a directory should be');
  writeFileSync(`${brokerRun}/machines/ghost.json`, 'not JSON, and nothing runs');
  writeFileSync(`${brokerRun}/runtime.json`, '{"key"');
  await start(instance, 'one');
  granted(await instance.client.call('kill', { name: 'one' }));
  await restart(instance);

  assert.equal((await reach(instance, 'other', ['running'])).pid, other);
  assert.match(
    (await stateFiles(instance)).found,
    /ghost\.json: the record of machine "ghost" .* does not run/,
  );
  assert.ok(!existsSync(`${machines}/stray`));
  await start(instance, 'one');
});

test('slots that cannot be read are named, and machines start with uids that nobody has', async () => {
  await using instance = await startInstance();
  await defineAndStart(instance, 'one');
  await define(instance, smallMachine('two'));
  const file = `${instance.paths.brokerState}/slots.json`;
  writeFileSync(file, '{"one": 18790');
  await restart(instance);
  assert.match(
    (await stateFiles(instance)).found,
    /slots\.json: cannot be read; which machine has which uid is not known, and machines get new ones/,
  );
  await start(instance, 'two');
  const [one, two] = [await statusOf(instance, 'one'), await statusOf(instance, 'two')];
  assert.ok(one.uid !== null && two.uid !== null);
  assert.notEqual(one.uid, two.uid);
  assert.equal((await instance.qward(['audit', 'one', 'two'])).status, 0);
  assert.equal((await stateFiles(instance)).state, 'ok', 'the next start has written it anew');
});

test('a damaged list of what starts with the host starts nothing, and doctor names it and the cure', async () => {
  await using instance = await startInstance();
  await define(instance, smallMachine('one'));
  const file = `${instance.paths.brokerState}/autostart.json`;
  writeFileSync(file, '{"version":2,"autostart":[{"machine":"one"');
  const { found, cure, state } = await stateFiles(instance);
  assert.notEqual(state, 'ok');
  assert.match(found, /autostart\.json: cannot be read; nothing is started with the host/);
  assert.match(cure, /root removes it \(rm .*autostart\.json\); then enable again .*qward autostart on/);
  rmSync(file);
  assert.equal((await stateFiles(instance)).state, 'ok');
});

test('definitions that are damaged or not ours are named and left alone; the others are there', async () => {
  await using instance = await startInstance();
  for (const name of ['good', 'cut', 'garbage', 'theirs', 'bare', 'lost', 'other'])
    await define(instance, smallMachine(name));
  const pid = await start(instance, 'other');
  const directory = `${instance.paths.managerState}/machines`;
  truncateSync(`${directory}/cut.yaml`, 8);
  writeFileSync(`${directory}/garbage.yaml`, Buffer.from([0, 255, 254, 10, 58, 58]));
  chownSync(`${directory}/theirs.yaml`, 0, 0);
  rmSync(`${directory}/bare.json`);
  rmSync(`${directory}/lost.yaml`);
  writeFileSync(`${directory}/other.json`, '{"version":1,"ow');
  writeFileSync(`${directory}/good.yaml.new`, 'name: go');
  mkdirSync(`${directory}/directory.yaml`);
  const before = readdirSync(directory).map((file) => `${file} ${contentOf(`${directory}/${file}`)}`);
  await restart(instance);

  const { state, found, cure } = await stateFiles(instance);
  assert.equal(state, 'degraded');
  for (const file of ['cut.yaml', 'garbage.yaml', 'theirs.yaml', 'bare.yaml', 'lost.json', 'other.json'])
    assert.ok(found.includes(`${directory}/${file}: `), `${file} in ${found}`);
  for (const file of ['good.yaml.new', 'directory.yaml']) assert.ok(found.includes(`${directory}/${file}: `));
  assert.notEqual(cure, '');
  assert.equal((await instance.qward(['doctor'])).status, 0, 'nothing that keeps machines from starting');
  assert.deepEqual(
    readdirSync(directory).map((file) => `${file} ${contentOf(`${directory}/${file}`)}`),
    before,
  );
  const list = granted(await instance.client.call('list'));
  assert.deepEqual(
    list.map(({ name }) => name),
    ['good', 'other'],
  );
  // What runs is seen and can be ended, though its definition is not to be had.
  const running = await reach(instance, 'other', ['running']);
  assert.deepEqual([running.pid, running.description], [pid, 'runs, and is not defined']);
  granted(await instance.client.call('kill', { name: 'other' }));
  await start(instance, 'good');
});

function contentOf(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return 'directory';
  }
}
