import assert from 'node:assert/strict';
import { request } from 'node:http';
import { connect } from 'node:net';
import { test } from 'node:test';
import { routes } from '../../src/api/contract.ts';
import { historyOf } from '../support/history.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

interface Raw {
  readonly status: number;
  readonly body: { readonly faults?: { code: string; message: string; path?: unknown }[] };
}

function http({ paths }: TestManager, method: string, path: string, body?: string): Promise<Raw> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' };
    const call = request({ socketPath: paths.apiSocket, method, path, headers, agent: false }, (response) => {
      let text = '';
      response.on('data', (piece: Buffer) => (text += piece.toString()));
      response.on('end', () => {
        resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Raw['body'] });
      });
    });
    call.on('error', reject);
    call.end(body);
  });
}

test('every fault of a request is told at once, with its place', async (context) => {
  const test = await startManager(context);
  await test.client.call('define', { source: definition('web') });
  const reply = await http(
    test,
    'POST',
    '/v1/machines/web/wait',
    '{"states":["asleep"],"timeoutMs":-1,"x":1}',
  );
  assert.equal(reply.status, 400);
  assert.deepEqual(
    reply.body.faults?.map(({ code, path }) => [code, path]),
    [
      ['request-invalid', ['states', 0]],
      ['request-invalid', ['timeoutMs']],
      ['request-invalid', []],
    ],
  );
});

test('what is no JSON, too large, of another type or for no route is refused as the registry says', async (context) => {
  const test = await startManager(context);
  for (const [method, path, body] of [
    ['POST', '/v1/machines', '{"source":'],
    ['POST', '/v1/machines', JSON.stringify({ source: 'x'.repeat(600 * 1024) })],
    ['GET', '/v1/elsewhere', undefined],
    ['GET', '/v1/machines?x=1', undefined],
    ['GET', '/v1/events', undefined],
  ] as const) {
    const reply = await http(test, method, path, body);
    assert.deepEqual([reply.status, reply.body.faults?.[0]?.code], [400, 'request-invalid'], path);
  }
});

test('a POST without a body takes the defaults of the contract', async (context) => {
  const test = await startManager(context);
  await test.client.call('define', { source: definition('web') });
  assert.equal((await http(test, 'POST', '/v1/machines/web/start')).status, 200);
});

test('a header that never ends is cut off', async (context) => {
  const test = await startManager(context);
  test.manager.app.server.headersTimeout = 50;
  const socket = connect(test.paths.apiSocket);
  socket.write('GET /v1/info HTTP/1.1\r\nHost: x\r\nX: ');
  socket.write('y'.repeat(20_000));
  const answer = await new Promise<string>((resolve) => {
    let text = '';
    socket.on('data', (piece: Buffer) => (text += piece.toString()));
    socket.on('close', () => {
      resolve(text);
    });
  });
  assert.match(answer, /^HTTP\/1\.1 4(?:08|31)/);
});

test('the OpenAPI document has every path of the contract', async (context) => {
  const test = await startManager(context);
  const reply = await http(test, 'GET', '/openapi.json');
  const paths = Object.keys((reply.body as { paths: object }).paths);
  for (const { path } of Object.values(routes))
    assert.ok(paths.includes(path.replaceAll(/:(\w+)/g, '{$1}')), path);
});

test('the list has a row for each machine, sorted, and follows changes', async (context) => {
  const test = await startManager(context);
  for (const name of ['web', 'db']) await test.client.call('define', { source: definition(name) });
  const states = async (): Promise<string[]> => {
    const reply = await test.client.call('list');
    assert.ok(reply.ok);
    return reply.result.map(({ name, state }) => `${name} ${state}`);
  };
  assert.deepEqual(await states(), ['db stopped', 'web stopped']);
  await test.client.call('start', { name: 'db' });
  assert.deepEqual(await states(), ['db running', 'web stopped']);
  await test.client.call('remove', { name: 'web' });
  assert.deepEqual(await states(), ['db running']);
});

test('calls that change something are logged with user and outcome, those that look are not', async (context) => {
  const test = await startManager(context);
  await test.client.call('define', { source: definition('web') });
  await test.client.call('list');
  await test.client.call('start', { name: 'nothing' });
  await test.client.call('qmp', { name: 'web', execute: 'query-status' });
  await test.client.call('status', { name: 'web' });
  const lines = await historyOf(test, ({ call }) => call === 'qmp');
  assert.deepEqual(
    lines.map(({ call, machine, outcome, code, uid }) => [call, machine, outcome, code, uid]),
    [
      ['define', 'web', 'done', null, process.getuid?.()],
      ['start', 'nothing', 'refused', 'machine-unknown', process.getuid?.()],
      ['qmp', 'web', 'failed', 'machine-not-running', process.getuid?.()],
    ],
  );
  assert.match(String(lines[2]?.details), /query-status/);
});

test('doctor says what is well and what is not, each with a cure', async (context) => {
  const test = await startManager(context);
  const reply = await test.client.call('doctor');
  assert.ok(reply.ok);
  const states = Object.fromEntries(reply.result.checks.map(({ check, state }) => [check, state]));
  assert.equal(states['broker'], 'ok');
  assert.equal(states['KVM'], 'degraded');
  for (const { state, cure, check } of reply.result.checks) assert.equal(cure === '', state === 'ok', check);
  test.broker.unreachable = true;
  const away = await test.client.call('doctor');
  assert.ok(away.ok);
  assert.equal(away.result.ok, false);
});

test('explain shows the plan and starts nothing; a fault is told as such', async (context) => {
  const test = await startManager(context);
  await test.client.call('define', { source: definition('web') });
  const good = await test.client.call('explain', { name: 'web' });
  assert.ok(good.ok && good.result.ok);
  assert.ok(good.result.plan.launch.argv.includes('-S'));
  const disks = 'disks: [{ id: root, path: /srv/none.qcow2, format: qcow2 }]\n';
  await test.client.call('define', { source: definition('db', disks) });
  const bad = await test.client.call('explain', { name: 'db' });
  assert.ok(bad.ok && !bad.result.ok);
  assert.equal(bad.result.faults[0]?.code, 'file-missing');
  assert.ok(!test.broker.calls.includes('launch'));
});
