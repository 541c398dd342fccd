import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ScrollBack } from '../../src/manager/console/scroll-back.ts';

const limits = { segmentBytes: 100, pendingBytes: 50 };

function directory(context: TestContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'qward-scroll-back-'));
  context.after(() => {
    rmSync(parent, { recursive: true });
  });
  return join(parent, 'console');
}

test('output is read back in order, also what has only just arrived', async (context) => {
  const store = await ScrollBack.open(directory(context), limits);
  store.append(Buffer.from('one '));
  store.append(Buffer.from('two'));
  assert.deepEqual(await store.read(), { output: Buffer.from('one two'), lost: 0 });
  await store.close();
});

test('the store stays bounded and says how much was lost', async (context) => {
  const path = directory(context);
  const store = await ScrollBack.open(path, limits);
  const all = Array.from({ length: 100 }, (_, index) => `line ${index}\n`).join('');
  for (const line of all.split(/(?<=\n)/)) {
    store.append(Buffer.from(line));
    await store.flush();
  }
  const { output, lost } = await store.read();
  assert.equal(lost + output.length, all.length);
  assert.ok(output.length >= limits.segmentBytes, `${output.length} bytes kept`);
  assert.equal(output.toString(), all.slice(lost));
  const onDisk = readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
  assert.ok(onDisk <= 2 * limits.segmentBytes + 20, `${onDisk} bytes on disk`);
  await store.close();
});

test('a new manager goes on where the old one stopped', async (context) => {
  const path = directory(context);
  const first = await ScrollBack.open(path, limits);
  first.append(Buffer.from('before '));
  await first.close();
  const second = await ScrollBack.open(path, limits);
  assert.equal(second.end, 7);
  second.append(Buffer.from('after'));
  assert.equal((await second.read()).output.toString(), 'before after');
  await second.close();
});

test('append asks to wait while more is pending than should be', async (context) => {
  const store = await ScrollBack.open(directory(context), limits);
  assert.equal(store.append(Buffer.alloc(40)), true);
  assert.equal(store.append(Buffer.alloc(40)), false);
  await store.flush();
  assert.equal(store.append(Buffer.alloc(1)), true);
  await store.close();
});

test('what cannot be written is lost and counted, and the store goes on when it can', async (context) => {
  const path = directory(context);
  writeFileSync(path, 'a file where the directory should be');
  const store = await ScrollBack.open(path, limits);
  store.append(Buffer.from('lost'));
  await store.flush();
  assert.match(store.fault ?? '', /EEXIST|ENOTDIR/);
  rmSync(path);
  store.append(Buffer.from('kept'));
  assert.deepEqual(await store.read(), { output: Buffer.from('kept'), lost: 4 });
  assert.equal(store.fault, undefined);
  await store.close();
});
