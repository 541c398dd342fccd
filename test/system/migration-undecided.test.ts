/**
 * Promise 7: a move whose end was not heard is settled by the other host's word only where that is sure. Whatever was done there
 * with the machine or its name since, and whichever host is asked, the guest does not go on here beside one that runs elsewhere.
 */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { consoleShows, define, defineDemo, done, refused, statusOf } from '../support/driver.ts';
import { moveHeld, type HeldFrame } from '../support/held-move.ts';
import type { Instance } from '../support/instance.ts';
import { faultsOf, granted, killProcess, reach } from '../support/small-machine.ts';
import { startTwoHosts } from '../support/two-hosts.ts';

const hosts = await startTwoHosts();
after(() => hosts[Symbol.asyncDispose]());
const { one, other } = hosts;
const token = (): string => randomBytes(16).toString('hex');
let source = '';

before(async () => {
  await defineDemo(one, { name: 'web', disk: one.disk('web'), switches: 'qward.synced', memory: '96MiB' });
  source = `${await done(one, 'show web')}\n`;
  await define(other, source);
  await done(one, 'start web');
  await consoleShows(one, 'web', /synced 3\b/);
});

/** A move of which the one side hears nothing after this frame; it stands still there. */
async function cutAt(from: Instance, at: HeldFrame, peer?: string): Promise<void> {
  const to = hosts.otherOf(from);
  const act = (cut: () => void): Promise<void> => Promise.resolve(cut());
  await moveHeld({ machine: 'web', from, to, at, act, ...(peer === undefined ? {} : { peer }) });
  await standsStill(from);
}

async function standsStill(host: Instance): Promise<void> {
  const { state, moved } = await statusOf(host, 'web');
  assert.deepEqual([state, moved?.kind], ['paused', 'given']);
}

/** A third host, which is this test: it takes what comes, and says that it runs. */
async function moveToThird(from: Instance): Promise<void> {
  const stream = granted(await from.client.migrate({ name: 'web', token: token(), peer: 'ssh://db3' }));
  const answers: Readonly<Record<string, string>> = { offer: 'ready', eof: 'loaded', go: 'running' };
  let last = '';
  for await (const message of stream) {
    if (message.kind === 'bytes') continue;
    ({ kind: last } = JSON.parse(message.text) as { kind: string });
    const answer = answers[last];
    if (answer !== undefined) stream.sendText(JSON.stringify({ kind: answer }));
  }
  assert.equal(last, 'done');
}

test('a host that was not given the machine does not say that it goes on here', async () => {
  await cutAt(one, 'running', 'ssh://db2');
  await reach(other, 'web', ['running']);
  const asked = await other.client.call('settleMove', { name: 'web', token: token(), verdict: 'ask' });
  assert.match(faultsOf(asked), /nothing is known here of that move/);
  const words = await refused(one, ['migrate', 'web', other.paths.apiSocket]);
  assert.match(words, /was given to ssh:\/\/db2/);
  assert.match(words, /qward migrate web ssh:\/\/db2/);
  await standsStill(one);
  await done(one, 'migrate --gone web');
  assert.equal(await hosts.hostOf('web'), other);
});

test('a note that cannot be read lets nothing go on, nor be stopped by its guest, and is settled by hand', async () => {
  await cutAt(other, 'running');
  await reach(one, 'web', ['running']);
  await killProcess(other.daemon('manager'));
  writeFileSync(`${other.paths.managerState}/moves/web.json`, '{');
  await other.up();
  const { state, moved } = await statusOf(other, 'web');
  assert.deepEqual([state, moved?.kind], ['paused', 'unreadable']);
  for (const words of ['resume web', 'stop web', 'start web'])
    assert.match(await refused(other, words), /may be on another host/, words);
  await done(other, 'migrate --gone web');
  assert.equal((await statusOf(other, 'web')).state, 'stopped');
  await done(one, ['migrate', 'web', other.paths.apiSocket], { timeoutMs: 120_000 });
});

test('what came here and has gone on to a third host came here', async () => {
  await cutAt(other, 'running');
  await reach(one, 'web', ['running']);
  await moveToThird(one);
  assert.equal((await statusOf(one, 'web')).moved?.kind, 'gone');
  await done(other, ['migrate', 'web', one.paths.apiSocket]);
  const { state, moved } = await statusOf(other, 'web');
  assert.deepEqual([state, moved?.kind], ['stopped', 'gone']);
  await done(one, 'migrate --keep web');
});

const renamed = async (): Promise<void> => {
  await done(other, 'rename web web2');
  await done(other, 'start web2 --paused');
};
const anew = async (): Promise<void> => {
  await done(other, 'kill web2');
  await done(other, 'rm web2');
  await define(other, source);
};

interface Since {
  readonly what: string;
  readonly act: () => Promise<unknown>;
  readonly undo?: () => Promise<unknown>;
}

const since: readonly Since[] = [
  { what: 'started', act: () => done(other, 'start web --paused'), undo: () => done(other, 'kill web') },
  { what: 'renamed, and started', act: renamed, undo: anew },
  {
    what: 'renamed, and started, beside another one of its name',
    act: async () => {
      await renamed();
      await define(other, source);
    },
    undo: anew,
  },
  {
    what: 'removed, and defined again',
    act: async () => {
      await done(other, 'rm web');
      await define(other, source);
    },
  },
];

test('a machine that did not come, and was something else there since, does not go on here by the word from there', async () => {
  await done(other, 'rm web');
  await define(other, source);
  await done(one, 'start web');
  await consoleShows(one, 'web', /synced 3\b/, { replay: false });
  for (const { what, act, undo } of since) {
    await cutAt(one, 'go');
    await reach(other, 'web', ['failed', 'stopped']);
    await act();
    const words = await refused(one, ['migrate', 'web', other.paths.apiSocket]);
    assert.match(words, /is not sure/, what);
    assert.match(words, /--keep web/, what);
    await standsStill(one);
    await undo?.();
    await done(one, 'migrate --keep web');
    assert.equal((await statusOf(one, 'web')).state, 'running', what);
  }
});

test('a machine that did not come, and was nothing else since, goes on here and moves', async () => {
  await cutAt(one, 'go');
  await done(one, ['migrate', 'web', other.paths.apiSocket], { timeoutMs: 120_000 });
  assert.equal(await hosts.hostOf('web'), other);
});
