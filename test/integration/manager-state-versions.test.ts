/** The manager's state files in the form of an older qward, which is read, and of a newer one, which is left alone and told of. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'node:test';
import { faultsOf, granted } from '../support/small-machine.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

const define = async ({ client }: TestManager, name: string): Promise<void> =>
  void granted(await client.call('define', { source: definition(name), replace: false, dryRun: false }));

async function checkOf(
  { client }: TestManager,
  name: string,
): Promise<{ found: string; cure: string; state: string }> {
  const check = granted(await client.call('doctor')).checks.find(({ check }) => check === name);
  assert.ok(check !== undefined, name);
  return check;
}

function changeJson(path: string, change: Readonly<Record<string, unknown>>): string {
  const value = JSON.parse(readFileSync(path, 'utf8')) as object;
  const text = JSON.stringify({ ...value, ...change });
  writeFileSync(path, text);
  return text;
}

const newer = (path: string, found: number, known: string): RegExp =>
  new RegExp(`${path}: it is of version ${found}, and this qward knows ${known}: a newer one wrote it`);

async function stateOf({ client }: TestManager, name: string): Promise<string> {
  return granted(await client.call('status', { name })).state;
}

test('metadata of a newer qward: one machine is not managed but can be ended, all others are', async (context) => {
  const first = await startManager(context);
  for (const name of ['one', 'two', 'idle']) await define(first, name);
  for (const name of ['one', 'two']) granted(await first.client.call('start', { name }));
  const file = (name: string): string => `${first.paths.managerState}/machines/${name}.json`;
  const texts = ['one', 'idle'].map((name) => changeJson(file(name), { version: 3, owner: { uid: 0 } }));
  // As version 1 had it.
  changeJson(file('two'), { version: 1, grants: undefined });

  const manager = await first.restart();
  const { found, cure, state } = await checkOf(manager, 'state files');
  assert.equal(state, 'degraded');
  for (const name of ['one', 'idle']) assert.match(found, newer(file(name), 3, 'versions 1 to 2'));
  assert.doesNotMatch(found, /two/);
  assert.match(cure, /^install that qward again, or remove the file, and start qward-manager again$/);
  assert.match(manager.log.join('\n'), /one\.json.*of version 3/);

  const list = granted(await manager.client.call('list'));
  assert.deepEqual(
    list.map((row) => [row.name, row.state, row.description]),
    [
      ['one', 'running', 'runs, and is not defined'],
      ['two', 'running', ''],
    ],
  );
  const source = definition('idle');
  assert.match(
    faultsOf(await manager.client.call('define', { source, replace: true, dryRun: false })),
    /^machine-exists/,
  );
  for (const name of ['one', 'two']) granted(await manager.client.call('stop', { name, timeoutMs: 5000 }));
  granted(await manager.client.call('start', { name: 'two' }));
  assert.deepEqual(
    ['one', 'idle'].map((name) => readFileSync(file(name), 'utf8')),
    texts,
  );
});

test('the note of a newer qward on a run is not written over; its machine is adopted, stopped and started', async (context) => {
  const first = await startManager(context);
  await define(first, 'one');
  granted(await first.client.call('start', { name: 'one' }));
  const path = `${first.paths.managerState}/runs/one.json`;
  let text = '';
  const manager = await first.restart(() => {
    text = changeJson(path, { version: 2, launchedAt: { of: 'another form' } });
  });
  assert.equal(await stateOf(manager, 'one'), 'running');
  assert.match((await checkOf(manager, 'state files')).found, newer(path, 2, 'version 1'));
  for (const call of ['stop', 'start', 'kill'] as const)
    granted(await manager.client.call(call, { name: 'one' }));
  assert.equal(readFileSync(path, 'utf8'), text);
  granted(await manager.client.call('remove', { name: 'one' }));
  await define(manager, 'one');
  granted(await manager.client.call('start', { name: 'one' }));
  assert.equal((await checkOf(manager, 'state files')).state, 'ok');
});

test('a history without a version is taken over; that of a newer qward is not touched, and calls go on', async (context) => {
  const first = await startManager(context);
  const path = `${first.paths.managerState}/history.db`;
  await define(first, 'one');
  const setVersion = (version: number): void => {
    using database = new DatabaseSync(path);
    database.exec(`PRAGMA user_version = ${version}`);
  };
  const rows = (): unknown => {
    using database = new DatabaseSync(path, { readOnly: true });
    return [
      database.prepare('PRAGMA user_version').get()?.['user_version'],
      database.prepare('SELECT count(*) AS n FROM entry').get()?.['n'],
    ];
  };
  const second = await first.restart(() => setVersion(0));
  await define(second, 'two');
  assert.equal((await checkOf(second, 'history')).state, 'ok');
  const third = await second.restart(() => {
    assert.deepEqual(rows(), [1, 2]);
    setVersion(2);
  });
  await define(third, 'three');
  granted(await third.client.call('start', { name: 'three' }));
  let check = await checkOf(third, 'history');
  for (let left = 100; left > 0 && check.state === 'ok'; left -= 1) {
    await delay(50);
    check = await checkOf(third, 'history');
  }
  assert.match(check.found, newer(path, 2, 'version 1'));
  assert.match(check.cure, /^install that qward again/);
  assert.match(third.log.join('\n'), /the history cannot be written.*of version 2/);
  await third.restart(() => assert.deepEqual(rows(), [2, 2]));
});

test('a machine whose record the broker cannot read is shown, not asked to shut down, and killed', async (context) => {
  const first = await startManager(context);
  for (const name of ['one', 'two']) await define(first, name);
  const damage = { path: '/run/qward/broker/machines/one.json', reason: 'cannot be read', cure: 'kill it' };
  first.broker.damaged = [
    { ...damage, unreached: 'one' },
    { ...damage, unreached: 'stranger' },
  ];
  const manager = await first.restart();
  const list = granted(await manager.client.call('list'));
  assert.deepEqual(
    list.map(({ name, state }) => [name, state]),
    [
      ['one', 'unreachable'],
      ['stranger', 'unreachable'],
      ['two', 'stopped'],
    ],
  );
  assert.match(manager.log.join('\n'), /a state file of the broker is not used.*one\.json/);
  for (const name of ['one', 'stranger'])
    assert.match(
      faultsOf(await manager.client.call('stop', { name })),
      new RegExp(`^monitor-failed: machine "${name}" runs, and cannot be asked to shut down`),
    );
  assert.match(faultsOf(await manager.client.call('remove', { name: 'one' })), /^machine-running/);
  for (const name of ['one', 'stranger']) granted(await manager.client.call('kill', { name }));
  assert.deepEqual(
    granted(await manager.client.call('list')).map(({ name, state }) => [name, state]),
    [
      ['one', 'stopped'],
      ['two', 'stopped'],
    ],
  );
});
