/**
 * Promises 2, 4 and 7, rule peer: whoever is at the other end of a move, and whatever comes from there, gets a start in a jail at the
 * most; nobody moves a machine without the right to it; and a disk that is a copy is never taken for the same.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFileSync, existsSync, renameSync, utimesSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { MoveStream } from '../../src/api/move-stream.ts';
import { apiAs } from '../support/api-as.ts';
import {
  consoleShows,
  define,
  defineDemo,
  done,
  processesOf,
  refused,
  statusOf,
  untilGone,
} from '../support/driver.ts';
import { moveHeld } from '../support/held-move.ts';
import type { Instance } from '../support/instance.ts';
import { granted, killProcess, reach } from '../support/small-machine.ts';
import { counted, countsOn, startTwoHosts } from '../support/two-hosts.ts';

const hosts = await startTwoHosts();
after(() => hosts[Symbol.asyncDispose]());
const { one, other } = hosts;
const image = one.disk('web');
const token = (): string => randomBytes(16).toString('hex');

before(async () => {
  await defineDemo(one, { name: 'web', disk: image, switches: 'qward.synced', memory: '96MiB' });
  await define(other, await done(one, 'show web'));
  await done(one, 'start web');
  await consoleShows(one, 'web', /synced 3\b/);
});

/** A move of it that is held while the message is on its way. */
const held = (how: Pick<Parameters<typeof moveHeld>[0], 'at' | 'act'>): ReturnType<typeof moveHeld> =>
  moveHeld({ machine: 'web', from: one, to: other, ...how });

/** What a manager says to a peer of which all the frames are given; until it ends the connection. */
async function answers(stream: MoveStream): Promise<string[]> {
  const said: string[] = [];
  for await (const message of stream) if (message.kind === 'text') said.push(message.text);
  return said;
}

const arriving = async (peer = 'somewhere'): Promise<MoveStream> =>
  granted(await other.client.arrive({ name: 'web', token: token(), peer }));
const leaving = async (): Promise<MoveStream> =>
  granted(await one.client.migrate({ name: 'web', token: token(), peer: 'somewhere' }));

/** The offer that the real manager makes; its move is given up. */
async function realOffer(): Promise<string> {
  const stream = await leaving();
  for await (const message of stream)
    if (message.kind === 'text') {
      stream.close();
      await untilFree();
      return message.text;
    }
  throw new Error('no offer came');
}

/** Until no move of it is under way, and its guest goes on. */
async function untilFree(): Promise<void> {
  await reach(one, 'web', ['running']);
  for (let progress: unknown = 1; progress !== null;) ({ progress } = await statusOf(one, 'web'));
}

const garbage: readonly (readonly [string, (stream: MoveStream, offer: string) => void])[] = [
  ['no JSON', (stream) => stream.sendText('{')],
  ['an unknown message', (stream) => stream.sendText('{"kind":"run","argv":["/bin/sh"]}')],
  ['a message out of turn', (stream) => stream.sendText('{"kind":"running"}')],
  ['memory that nobody asked for', (stream) => stream.write(Buffer.alloc(1024))],
  ['one key too many', (stream, offer) => stream.sendText(offer.replace('{', '{"more":1,'))],
  [
    'a flood of messages',
    (stream) => {
      for (let times = 0; times < 100; times += 1) stream.sendText('{"kind":"ready"}');
    },
  ],
];

test('what is no message of the protocol ends the connection, on both sides, and the machine goes on where it is', async () => {
  const offer = await realOffer();
  for (const [what, send] of garbage)
    for (const open of [arriving, leaving]) {
      const stream = await open();
      send(stream, offer);
      const said = await answers(stream);
      assert.ok(
        !said.some((text) => /"(?:ready|loaded|go|running|done)"/.test(text)),
        `${what}: ${said.join()}`,
      );
      await untilFree();
    }
  assert.equal((await statusOf(other, 'web')).state, 'stopped');
  assert.equal((await statusOf(other, 'web')).moved, null);
});

test('memory that is garbage, or less than was said, ends the QEMU that was launched for it, and nothing else', async () => {
  const offer = await realOffer();
  for (const bytes of [randomBytes(60_000), Buffer.alloc(0)]) {
    const stream = await arriving();
    stream.sendText(offer);
    const said: string[] = [];
    for await (const message of stream) {
      if (message.kind !== 'text') continue;
      said.push(message.text);
      if (message.text.includes('"ready"')) {
        if (bytes.length > 0) stream.write(bytes);
        stream.sendText(JSON.stringify({ kind: 'eof', bytes: bytes.length + 1 }));
        if (bytes.length === 0) stream.sendText('{"kind":"go","files":{}}');
        if (bytes.length === 0) setTimeout(() => stream.close(), 500);
      }
    }
    assert.ok(
      said.some((text) => text.includes('"ready"')),
      said.join(),
    );
    assert.ok(!said.some((text) => text.includes('"running"')), said.join());
    await reach(other, 'web', ['failed']);
    await untilGone(other, 'web');
    assert.equal((await statusOf(other, 'web')).moved, null);
  }
});

test('a peer that offers another machine, or other words for QEMU, gets none', async () => {
  const offer = JSON.parse(await realOffer()) as { argv: string[]; definition: string };
  const another = one.disk('another');
  const forged = [
    // Its owner here may use that one too, and did not define it for this machine.
    JSON.parse(JSON.stringify(offer).replaceAll(image, another)) as typeof offer,
    { ...offer, argv: [...offer.argv, '-chardev', 'file,id=x,path=/etc/shadow'] },
    { ...offer, definition: offer.definition.replace('"web"', '"other"') },
    { ...offer, definition: offer.definition.replace(image, '/etc/shadow') },
  ];
  for (const one of forged) {
    const stream = await arriving();
    stream.sendText(JSON.stringify(one));
    const said = await answers(stream);
    assert.match(said.join(), /"kind":"failed","ran":false/);
    assert.ok(!said.join().includes('"ready"'), said.join());
  }
});

test('what a peer is called is no words for a shell', async () => {
  for (const peer of ['db2; reboot', '$(reboot)', '--gone', '', 'a\nb']) {
    const reply = await other.client.arrive({ name: 'web', token: token(), peer });
    assert.equal(reply.ok ? '' : reply.faults[0]?.code, 'request-invalid', peer);
  }
});

test('a kill ends at once what has come and waits for a peer that says nothing', async () => {
  const end = await held({
    at: 'loaded',
    act: async () => {
      const asked = performance.now();
      await done(other, 'kill web', { timeoutMs: 60_000 });
      assert.ok(performance.now() - asked < 30_000, 'it did not wait for the peer');
      assert.deepEqual(processesOf(other, 'web'), []);
    },
  });
  assert.equal(end?.kind, 'ended', JSON.stringify(end));
  await untilFree();
});

test('a disk that is a copy is found out at the end, and the guest goes on with its own', async () => {
  const copy = `${image}.copy`;
  const end = await held({
    at: 'loaded',
    // What the other side finds by the path is another file from here on.
    act: () => {
      copyFileSync(image, copy);
      // Made within one tick of the clock it would bear the time of the last write to the other.
      utimesSync(copy, 1, 1);
      renameSync(image, `${image}.own`);
      renameSync(copy, image);
      return Promise.resolve();
    },
  });
  renameSync(`${image}.own`, image);
  assert.match(JSON.stringify(end), /was written to at|bytes instead of/);
  await untilFree();
  assert.notEqual((await statusOf(other, 'web')).state, 'running');
});

test('a file that was put in the place of the open one is found out, even where it looks the same', async () => {
  const end = await held({
    at: 'loaded',
    // The QEMU there has the one open; by the path its manager finds the other, of the same size and time.
    act: () => {
      execFileSync('/bin/cp', ['-p', image, `${image}.copy`]);
      renameSync(image, `${image}.own`);
      renameSync(`${image}.copy`, image);
      return Promise.resolve();
    },
  });
  renameSync(`${image}.own`, image);
  assert.match(JSON.stringify(end), /another file by now/);
  await untilFree();
  assert.notEqual((await statusOf(other, 'web')).state, 'running');
});

test('a peer that says that it has all, and goes, has nothing: the machine goes on here', async () => {
  const stream = await leaving();
  for await (const message of stream) {
    if (message.kind === 'bytes') continue;
    const { kind } = JSON.parse(message.text) as { kind: string };
    assert.notEqual(kind, 'go');
    if (kind === 'offer') stream.sendText('{"kind":"ready"}');
    if (kind === 'eof') {
      stream.sendText('{"kind":"loaded"}');
      stream.close();
    }
  }
  await untilFree();
  assert.equal((await statusOf(one, 'web')).moved, null);
});

test('a guest whose disk is locked as it is to go on stands still, with its memory, until it is resumed', async () => {
  let letGo = (): Promise<unknown> => Promise.resolve();
  await held({
    at: 'loaded',
    act: async (cut) => {
      const holder = spawn('/usr/bin/qemu-io', [image], { stdio: ['pipe', 'pipe', 'ignore'] });
      const ended = once(holder, 'exit');
      letGo = () => {
        holder.stdin.end();
        return ended;
      };
      // Its prompt: the image is open by then.
      await once(holder.stdout, 'data');
      cut();
    },
  });
  await reach(one, 'web', ['paused']);
  assert.match(await refused(one, 'resume web'), /lock/);
  await letGo();
  await done(one, 'resume web');
  await untilFree();
  await countsOn(one, 'web', (await counted(one, 'web')).at(-1) ?? 0);
});

/** What would have two hosts write one disk, or one guest go on twice, where its guest is, or may be, on another. */
async function untouchedOn(host: Instance, why: RegExp): Promise<void> {
  for (const words of [
    'rename web web2',
    'snapshot revert web before --yes',
    'snapshot rm web before --yes',
    'start web',
  ])
    assert.match(await refused(host, words), why, words);
  assert.match(await refused(host, 'drill web', { status: 2 }), why);
  assert.ok(existsSync(image));
}

/** Its QEMU is still there, and whoever may say anything to it cannot let its guest go on. */
async function standsOn(host: Instance, why: RegExp): Promise<void> {
  const pids = processesOf(host, 'web');
  for (const words of [
    ['resume', 'web'],
    ['reset', 'web'],
    ['save', 'web'],
    ['qmp', 'web', 'cont'],
    ['monitor', 'web', 'cont'],
  ])
    assert.match(await refused(host, words), why, words.join(' '));
  assert.deepEqual(processesOf(host, 'web'), pids);
}

test('during a move and after it nobody at its source touches its disks, renames it, or lets its guest go on', async () => {
  await done(one, 'snapshot create web before');
  const moved = await held({
    at: 'loaded',
    act: async () => {
      const asked = performance.now();
      for (const words of ['rename web web2', 'rm web'])
        assert.match(await refused(one, words), /being moved/);
      assert.match(await refused(other, 'rename web web2'), /being moved/);
      for (const words of ['resume web', 'qmp web cont', 'monitor web cont'])
        assert.match(await refused(one, words), /being moved/, words);
      assert.ok(performance.now() - asked < 30_000, 'they did not wait for the move');
    },
  });
  assert.equal(moved?.kind, 'done', JSON.stringify(moved));
  await reach(one, 'web', ['stopped']);
  await untouchedOn(one, /was moved to/);
  assert.equal(await hosts.hostOf('web'), other);
});

test('so is one of which it was not heard whether it runs there, and one that its host could not end yet', async () => {
  assert.equal((await hosts.migrate(other, ['web'])).status, 0);
  await held({
    at: 'running',
    act: (cut) => Promise.resolve(cut()),
  });
  assert.equal((await statusOf(one, 'web')).moved?.kind, 'given');
  await standsOn(one, /whether it runs there was not heard/);
  assert.match(await refused(one, 'stop web'), /whether it runs there was not heard/);
  await untouchedOn(one, /whether it runs there was not heard/);
  assert.equal((await hosts.migrate(one, ['web'])).status, 0);
  assert.equal(await hosts.hostOf('web'), other);

  assert.equal((await hosts.migrate(other, ['web'])).status, 0);
  await held({
    at: 'running',
    act: () => killProcess(one.daemon('broker')),
  });
  assert.equal((await statusOf(one, 'web')).moved?.kind, 'gone');
  await standsOn(one, /was moved to/);
  assert.notEqual((await one.qward(['stop', 'web'])).status, 0, 'nobody ends it without a broker');
  await standsOn(one, /was moved to/);
  await one.up();
  await done(one, 'stop web');
  await untilGone(one, 'web');
  assert.equal(await hosts.hostOf('web'), other);
});

test('who may not define a machine moves it neither away nor here, and says nothing of where it is', async () => {
  for (const host of [one, other]) {
    const stranger = 911_200_001;
    for (const path of ['migrate', 'arrive']) {
      const url = `/v1/machines/web/${path}?token=${token()}&peer=x`;
      const { code } = await apiAs(host, stranger, { method: 'GET', path: url, body: undefined });
      assert.equal(code, 'not-allowed', path);
    }
    const body = { token: '', verdict: 'keep' };
    const { code } = await apiAs(host, stranger, { method: 'POST', path: '/v1/machines/web/move', body });
    assert.equal(code, 'not-allowed');
  }
});
