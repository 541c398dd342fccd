/** Identity as the kernel tells it: calls come from programs that run as other users. Needs root. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { historyOf } from '../support/history.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

const owner = 900_100_001;
const stranger = 900_100_002;

async function as(
  uid: number,
  { paths }: TestManager,
  method: string,
  path: string,
  body?: unknown,
): Promise<{ status: number; code: string | undefined; body: unknown }> {
  const data = body === undefined ? [] : ['-H', 'content-type: application/json', '-d', JSON.stringify(body)];
  const curl = ['curl', '-s', '-w', '\n%{http_code}', '-X', method, '--unix-socket', paths.apiSocket];
  const user = [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'];
  const { stdout } = await promisify(execFile)('setpriv', [...user, ...curl, ...data, `http://q${path}`]);
  const [text = '', status = ''] = stdout.split(/\n(?=\d+$)/);
  const answer = JSON.parse(text) as { faults?: { code: string }[] };
  return { status: Number(status), code: answer.faults?.[0]?.code, body: answer };
}

async function setup(context: TestContext): Promise<TestManager> {
  const first = await startManager(context);
  for (const name of ['mine', 'other']) await first.client.call('define', { source: definition(name) });
  const file = `${first.paths.managerState}/machines/mine.json`;
  const metadata = JSON.parse(readFileSync(file, 'utf8')) as object;
  writeFileSync(file, JSON.stringify({ ...metadata, owner }));
  const second = await first.restart();
  chmodSync(second.root, 0o755);
  chmodSync(`${second.root}/run`, 0o755);
  chmodSync(second.paths.apiSocket, 0o666);
  return second;
}

test('an owner sees and rules the own machine; others do not exist for him', async (context) => {
  const test = await setup(context);
  const list = await as(owner, test, 'GET', '/v1/machines');
  assert.deepEqual(
    (list.body as { name: string }[]).map(({ name }) => name),
    ['mine'],
  );
  assert.equal((await as(owner, test, 'POST', '/v1/machines/mine/start')).status, 200);
  const qmp = { execute: 'query-status' };
  assert.equal((await as(owner, test, 'POST', '/v1/machines/mine/qmp', qmp)).status, 200);
  const unseen = await as(owner, test, 'GET', '/v1/machines/other');
  const unknown = await as(owner, test, 'GET', '/v1/machines/never');
  assert.deepEqual([unseen.status, unseen.code], [404, 'machine-unknown']);
  assert.deepEqual([unknown.status, unknown.code], [404, 'machine-unknown']);
  assert.equal((await as(owner, test, 'POST', '/v1/machines/other/start')).code, 'machine-unknown');
});

test('an owner changes the own definition and defines no new machine, under any name', async (context) => {
  const test = await setup(context);
  const edit = { source: definition('mine', 'tags: [x]\n') };
  assert.equal((await as(owner, test, 'PUT', '/v1/machines/mine/definition', edit)).status, 200);
  for (const name of ['new', 'other']) {
    const body = { source: definition(name), replace: true };
    assert.equal((await as(owner, test, 'POST', '/v1/machines', body)).code, 'not-allowed', name);
  }
  const clone = await as(owner, test, 'POST', '/v1/machines/mine/clone', { to: 'copy' });
  assert.equal(clone.code, 'not-allowed');
  assert.equal((await as(owner, test, 'GET', `/v1/audit/${process.pid}`)).code, 'not-allowed');
  assert.equal(test.manager.machines.all().length, 2);
});

test('a user without a role is refused everything, alike whether it exists or not', async (context) => {
  const test = await setup(context);
  const answers = new Set<string>();
  for (const [method, path] of [
    ['GET', '/v1/info'],
    ['GET', '/v1/machines'],
    ['GET', '/v1/machines/mine'],
    ['GET', '/v1/machines/never'],
    ['POST', '/v1/machines/mine/start'],
    ['POST', '/v1/machines/never/start'],
    ['GET', '/v1/doctor'],
    ['GET', '/openapi.json'],
  ] as const) {
    const { status, body } = await as(stranger, test, method, path);
    answers.add(`${status} ${JSON.stringify(body)}`);
  }
  assert.equal(answers.size, 1, [...answers].join('\n'));
  assert.match([...answers][0] ?? '', /^403 .*not-allowed/);
  assert.deepEqual([...test.broker.machines.keys()], []);
  const changes = await historyOf(test, ({ code }) => code === 'not-allowed');
  assert.ok(changes.some(({ uid, outcome }) => uid === stranger && outcome === 'refused'));
});
