/** A QEMU that hangs: seen, told, ended where that is asked for, and taken back when it comes to its senses. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { defineBare, done, remains, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

async function freeze(machine: string): Promise<number> {
  await defineBare(instance, machine, 'stop: { timeout: 1s }');
  await done(instance, `start ${machine}`);
  const { pid } = await statusOf(instance, machine);
  assert.ok(pid !== null);
  process.kill(pid, 'SIGSTOP');
  return pid;
}

test('a QEMU that hangs is unreachable, goes on when it answers again, and keeps no other machine waiting', async () => {
  const pid = await freeze('web');
  const before = performance.now();
  await defineBare(instance, 'other');
  await done(instance, 'start other');
  await done(instance, 'kill other');
  assert.ok(performance.now() - before < 5_000, 'another machine is not held up');

  assert.equal(await done(instance, 'wait web --for unreachable --timeout 30s'), 'web: unreachable');
  const shown = await instance.qward(['status', 'web']);
  assert.equal(shown.status, 12);
  assert.match(shown.stdout, /^web {2}unreachable/);
  assert.equal((await statusOf(instance, 'web')).pid, pid);
  assert.match(await done(instance, 'logs web'), /the monitor does not answer: /);

  process.kill(pid, 'SIGCONT');
  assert.equal(await done(instance, 'wait web --for running --timeout 30s'), 'web: running');
  assert.equal(await done(instance, 'pause web'), 'web: paused');
  await done(instance, 'kill web');
  assert.deepEqual(remains(instance, 'web'), []);
});

test('a QEMU that hangs is stopped in its time limit, and killed at once', async () => {
  await freeze('stuck');
  assert.equal(await done(instance, 'stop stuck'), 'stuck: killed after 1s');
  assert.deepEqual(remains(instance, 'stuck'), []);
  await freeze('stuck');
  assert.equal(await done(instance, 'kill stuck'), 'stuck: killed');
  assert.deepEqual(remains(instance, 'stuck'), []);
  assert.equal((await statusOf(instance, 'stuck')).lastEnd?.how, 'killed');
});
