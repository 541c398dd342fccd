/** Two who want something of the same machine, or of the same disk, at the same instant. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { after, test } from 'node:test';
import { defineBare, disk, done, processesOf, remains, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

test('two starts of one machine at the same instant make one machine, and both succeed', async () => {
  await defineBare(instance, 'web', disk(instance.disk('web')));
  for (let round = 0; round < 3; round += 1) {
    const starts = await Promise.all([1, 2, 3].map(() => instance.qward(['start', 'web'])));
    for (const { status, stdout } of starts) {
      assert.equal(status, 0);
      assert.match(stdout, /^web: (?:started|already running)\n$/);
    }
    assert.equal(processesOf(instance, 'web').length, 1);
    await done(instance, 'kill web');
    assert.deepEqual(remains(instance, 'web'), []);
  }
});

test('of two machines with one disk started at the same instant at most one runs; who does not names the other', async () => {
  const shared = disk(instance.disk('shared'));
  await defineBare(instance, 'one', shared);
  await defineBare(instance, 'two', shared);
  for (let round = 0; round < 3; round += 1) {
    const starts = await Promise.all(
      [
        ['one', 'two'],
        ['two', 'one'],
      ].map(async ([name = '', other = '']) => ({ name, other, ...(await instance.qward(['start', name])) })),
    );
    // QEMU tries for the lock and gives up: two at once can be in each other's way.
    const losers = starts.filter(({ status }) => status !== 0);
    assert.notEqual(losers.length, 0);
    for (const { name, other, stderr } of losers) {
      // Where both lost, the other may be gone by the time that it is looked for.
      const user = losers.length === 1 ? `machine "${other}"` : '(?:machine|a process)';
      assert.match(stderr, new RegExp(`shared\\.qcow2" is in use by ${user}`));
      assert.deepEqual(remains(instance, name), []);
    }
    await done(instance, 'kill --yes one two');
    assert.equal(await done(instance, 'start one'), 'one: started');
    await done(instance, 'kill one');
  }
});

for (const command of ['stop', 'kill'] as const)
  test(`a ${command} while a start waits for the broker ends the start`, async () => {
    await defineBare(instance, 'web');
    const broker = instance.daemon('broker');
    process.kill(broker, 'SIGSTOP');
    const starting = instance.qward(['start', 'web']);
    const waiting = await instance.client.call('wait', {
      name: 'web',
      states: ['starting'],
      timeoutMs: 20_000,
    });
    assert.ok(waiting.ok, JSON.stringify(waiting));
    const ending = instance.client.call(command, { name: 'web' });
    // The manager answers this after it has taken the other in.
    await instance.client.call('status', { name: 'web' });
    process.kill(broker, 'SIGCONT');
    const ended = await ending;
    assert.ok(ended.ok, JSON.stringify(ended));
    assert.equal(ended.result.outcome, command === 'stop' ? 'start ended' : 'killed');
    assert.deepEqual(await starting, {
      status: 1,
      stdout: '',
      stderr: `the start of machine "web" was ended by a stop or kill\n  start it again\n`,
    });
    assert.equal((await statusOf(instance, 'web')).state, 'stopped');
    assert.deepEqual(remains(instance, 'web'), []);
  });

for (const command of ['stop --timeout 0', 'kill'])
  test(`a ${command} at any instant of a start leaves a stopped machine and nothing else`, async () => {
    await defineBare(instance, 'web');
    for (let round = 0; round < 6; round += 1) {
      const starting = instance.qward(['start', 'web']);
      await delay(25 * round);
      await done(instance, `${command} web`);
      const { status, stderr } = await starting;
      if (status !== 0) assert.match(stderr, /^the start of machine "web" was ended by a stop or kill\n/);
      // Whoever came first was first: a stop before the start has nothing to stop.
      await done(instance, 'kill web');
      assert.equal((await statusOf(instance, 'web')).state, 'stopped', `round ${round}`);
      assert.deepEqual(remains(instance, 'web'), [], `round ${round}`);
    }
    assert.equal(await done(instance, 'start web'), 'web: started');
    await done(instance, 'kill web');
  });

test('a start right behind a kill, and a stop beside a stop, are answered in order', async () => {
  await defineBare(instance, 'web');
  await done(instance, 'start web');
  const [killed, started] = await Promise.all([
    instance.client.call('kill', { name: 'web' }),
    instance.client.call('start', { name: 'web' }),
  ]);
  assert.ok(killed.ok && started.ok, JSON.stringify([killed, started]));
  const [first, second] = await Promise.all([
    instance.client.call('stop', { name: 'web', timeoutMs: 0 }),
    instance.client.call('stop', { name: 'web', timeoutMs: 0 }),
  ]);
  assert.ok(first.ok && second.ok, JSON.stringify([first, second]));
  assert.deepEqual(remains(instance, 'web'), []);
});
