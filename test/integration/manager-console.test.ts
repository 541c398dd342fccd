import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { test, type TestContext } from 'node:test';
import type { ConsoleMessage, ConsoleStream } from '../../src/api/streams.ts';
import { definition, startManager, type TestManager } from '../support/test-manager.ts';

async function running(context: TestContext): Promise<TestManager> {
  const test = await startManager(context);
  await test.client.call('define', { source: definition('web') });
  const started = await test.client.call('start', { name: 'web' });
  assert.ok(started.ok, JSON.stringify(started));
  return test;
}

type Input = Parameters<TestManager['client']['console']>[0];

async function attach({ client }: TestManager, input: Partial<Input> = {}): Promise<ConsoleStream> {
  const reply = await client.console({ name: 'web', ...input });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

/** Reads on until what was shown contains the text, or a notice of this kind came. */
async function until(stream: ConsoleStream, wanted: string): Promise<{ shown: string; notices: string[] }> {
  let shown = '';
  const notices: string[] = [];
  const messages = stream[Symbol.asyncIterator]();
  for (;;) {
    const next = (await messages.next()) as IteratorResult<ConsoleMessage, undefined>;
    if (next.done === true)
      throw new Error(`the stream ended after ${JSON.stringify(shown)}, ${notices.join()}`);
    if (next.value.kind === 'output') shown += Buffer.from(next.value.bytes).toString();
    else notices.push(next.value.notice.notice);
    if (shown.includes(wanted) || notices.includes(wanted)) return { shown, notices };
  }
}

test('two clients see the guest; what one types reaches it', async (context) => {
  const test = await running(context);
  const writer = await attach(test);
  const watcher = await attach(test, { mode: 'watch' });
  test.broker.qemu('web').print('login: ');
  assert.equal((await until(writer, 'login: ')).shown, 'login: ');
  assert.equal((await until(watcher, 'login: ')).shown, 'login: ');
  writer.write(Buffer.from('root\n'));
  test.broker.qemu('web').print('# ');
  await until(watcher, '# ');
  assert.equal(test.broker.qemu('web').typed, 'root\n');
  const status = await test.client.call('status', { name: 'web' });
  assert.ok(status.ok);
  assert.equal(status.result.consoleWriter, 'root');
  writer.close();
  watcher.close();
});

test('a second writer is refused, and may watch or steal', async (context) => {
  const test = await running(context);
  const first = await attach(test);
  await until(first, 'attached');
  const second = await test.client.console({ name: 'web' });
  assert.equal(!second.ok && second.faults[0]?.code, 'console-busy');
  const thief = await attach(test, { steal: true });
  await until(thief, 'attached');
  await until(first, 'writer-taken');
  first.close();
  thief.close();
});

test('what was missed is shown first, and kept after the machine stopped', async (context) => {
  const test = await running(context);
  const first = await attach(test, { mode: 'watch' });
  test.broker.qemu('web').print('early ');
  await until(first, 'early ');
  first.close();
  const second = await attach(test, { mode: 'watch' });
  assert.equal((await until(second, 'early ')).shown, 'early ');
  const third = await attach(test, { mode: 'watch', replay: false });
  test.broker.qemu('web').print('late');
  assert.equal((await until(third, 'late')).shown, 'late');
  await test.client.call('kill', { name: 'web' });
  await until(second, 'ended');
  const kept = await test.client.call('consoleOutput', { name: 'web' });
  assert.ok(kept.ok);
  assert.equal(Buffer.from(kept.result.output, 'base64').toString(), 'early late');
  const stopped = await test.client.console({ name: 'web' });
  assert.equal(!stopped.ok && stopped.faults[0]?.code, 'machine-not-running');
});

test('a watcher that does not read loses output, costs bounded memory, and holds nobody up', async (context) => {
  const test = await running(context);
  const slow = connect(test.paths.apiSocket);
  slow.write(
    'GET /v1/machines/web/console?mode=watch HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n',
  );
  await new Promise((resolve) => slow.once('data', resolve));
  slow.pause();
  const quick = await attach(test, { mode: 'watch' });
  const line = `${'x'.repeat(1023)}\n`;
  for (let mebibytes = 0; mebibytes < 4; mebibytes += 1) test.broker.qemu('web').print(line.repeat(1024));
  test.broker.qemu('web').print('the end');
  const { shown } = await until(quick, 'the end');
  assert.ok(shown.length <= 4 * 1024 * 1024 + 7);
  const { output, lost } = await (async () => {
    const reply = await test.client.call('consoleOutput', { name: 'web' });
    assert.ok(reply.ok);
    return reply.result;
  })();
  assert.ok(Buffer.from(output, 'base64').length <= 1024 * 1024 + 128 * 1024);
  assert.ok(lost > 2 * 1024 * 1024);
  slow.destroy();
  quick.close();
});

test('console and events are refused like every other call', async (context) => {
  const test = await startManager(context);
  const unknown = await test.client.console({ name: 'nothing' });
  assert.equal(!unknown.ok && unknown.faults[0]?.code, 'machine-unknown');
});
