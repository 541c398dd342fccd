/** What keeps a machine from moving is told before; limits, and giving it up; a guest that is paused. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { consoleShows, defineBare, defineDemo, done, refused, statusOf } from '../support/driver.ts';
import { counted, countsOn, startTwoHosts } from '../support/two-hosts.ts';

const hosts = await startTwoHosts();
after(() => hosts[Symbol.asyncDispose]());
const { one, other } = hosts;
const image = one.disk('web');
const there = other.paths.apiSocket;

before(async () => {
  await defineDemo(one, { name: 'web', disk: image, switches: 'qward.synced', memory: '96MiB' });
  await done(one, 'start web');
  await consoleShows(one, 'web', /synced 3\b/);
});

/** It goes on here, and on the other host there is nothing of it. */
async function staysHere(): Promise<void> {
  assert.equal((await statusOf(one, 'web')).state, 'running');
  assert.equal((await statusOf(one, 'web')).moved, null);
  await countsOn(one, 'web', (await counted(one, 'web')).at(-1) ?? 0);
  await refused(other, 'status web', { status: 3 });
}

/** A move that takes long; it is under way when this returns. */
async function slowMove(
  ...more: string[]
): Promise<{ readonly ended: Promise<unknown[]>; readonly interrupt: () => void }> {
  const [program = '', ...words] = one.program;
  const child = spawn(program, [...words, 'migrate', 'web', there, '--bandwidth', '1MiB', ...more], {
    env: one.environment,
    stdio: 'ignore',
  });
  const ended = once(child, 'exit');
  while ((await statusOf(one, 'web')).progress?.doing !== 'moving') {
    assert.equal(child.exitCode, null);
    await delay(50);
  }
  return { ended, interrupt: () => child.kill('SIGINT') };
}

test('a machine that does not run, another of its name, no other host: refused, and nothing is left there', async () => {
  await defineBare(one, 'idle');
  assert.match(await refused(one, ['migrate', 'idle', there]), /does not run/);
  await refused(other, 'status idle', { status: 3 });
  await defineBare(other, 'web', 'description: another');
  assert.match(await refused(one, ['migrate', 'web', there]), /another machine "web" on/);
  await done(other, 'rm web');
  assert.match(await refused(one, 'migrate web', { status: 2 }), /HOST is missing/);
  assert.match(await refused(one, 'migrate web /nonexistent/api.sock', { status: 5 }), /does not answer/);
  assert.match(await refused(one, 'migrate --keep web', { status: 2 }), /is here, and nowhere else/);
  await staysHere();
});

test('what the other host would not give it is told before anything goes over', async () => {
  const roots = [one.guest.kernel, one.guest.initrd].map((path) => ({
    path: path.replace(/\/[^/]*$/, ''),
    access: 'ro',
  }));
  other.writePolicy({ storageRoots: [...roots, { path: other.paths.images, access: 'rw' }] });
  assert.match(await refused(one, ['migrate', 'web', there], { status: 4 }), /web\.qcow2/);
  other.writePolicy({
    storageRoots: [
      ...roots,
      { path: one.paths.images, access: 'rw' },
      { path: other.paths.images, access: 'rw' },
    ],
  });
  await staysHere();
});

test('Ctrl-C, a time limit, a stop of the machine: the move ends, and who may not wait is told so', async () => {
  const interrupted = await slowMove();
  assert.match(await refused(one, 'pause web'), /being moved/);
  interrupted.interrupt();
  assert.notDeepEqual(await interrupted.ended, [0, null]);
  await staysHere();
  assert.match(
    await refused(one, ['migrate', 'web', there, '--bandwidth', '1MiB', '--timeout', '2s'], {
      timeoutMs: 60_000,
    }),
    /changes faster than it goes over: 2 s/,
  );
  await staysHere();
  const killed = await slowMove();
  await done(one, 'kill web');
  assert.notDeepEqual(await killed.ended, [0, null]);
  assert.equal((await statusOf(one, 'web')).state, 'stopped');
  await refused(other, 'status web', { status: 3 });
});

test('a guest that is paused stays so, there, until it is resumed there', async () => {
  await done(one, 'start web');
  await consoleShows(one, 'web', /synced 3\b[\s\S]*synced 3\b/);
  await done(one, 'pause web');
  await done(one, ['migrate', 'web', there], { timeoutMs: 120_000 });
  assert.equal((await statusOf(other, 'web')).state, 'paused');
  await done(other, 'resume web');
  await countsOn(other, 'web', (await counted(one, 'web')).at(-1) ?? 0);
  await done(other, 'audit web');
  await done(other, 'kill web');
});
