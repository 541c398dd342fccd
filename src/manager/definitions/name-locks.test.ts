import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NameLocks } from './name-locks.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test('work on one name is done in order, on others side by side', async () => {
  const locks = new NameLocks();
  const steps: string[] = [];
  const work = (label: string) => async (): Promise<void> => {
    steps.push(`${label} begins`);
    await turn();
    steps.push(`${label} ends`);
  };
  await Promise.all([
    locks.hold(['a'], work('first')),
    locks.hold(['a', 'b'], work('second')),
    locks.hold(['c'], work('other')),
  ]);
  assert.ok(steps.indexOf('first ends') < steps.indexOf('second begins'));
  assert.ok(steps.indexOf('other begins') < steps.indexOf('first ends'));
});

test('work that fails lets the next one in', async () => {
  const locks = new NameLocks();
  const failing = locks.hold(['a'], () => Promise.reject(new Error('no')));
  const next = locks.hold(['a'], () => Promise.resolve('yes'));
  await assert.rejects(failing, /no/);
  assert.equal(await next, 'yes');
});
