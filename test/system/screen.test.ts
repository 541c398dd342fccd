/** Screenshots and keys by the real CLI, of a guest that shows its firmware's screen. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { defineBare, done, nextEvent, refused, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { readPng } from '../support/png.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

before(async () => {
  await defineBare(instance, 'web', 'vnc: true');
  await defineBare(instance, 'blind');
  await done(instance, 'start web blind');
});

const picture = (name: string): string => join(instance.directory, name);

test('a screenshot is a PNG of what the guest shows', async () => {
  const file = picture('web.png');
  for (let times = 0; times < 200; times += 1) {
    const said = await done(instance, ['screenshot', 'web', file, '--force']);
    const { width, height, lit } = readPng(readFileSync(file));
    assert.equal(said, `${file}: ${width} × ${height}`);
    assert.ok(width >= 320 && height >= 200, said);
    if (lit > 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.fail('the screen stays black');
});

test('it goes to standard output, and into no file that is there', async () => {
  const reply = await instance.client.call('screenshot', { name: 'web' });
  assert.ok(reply.ok);
  assert.equal(Buffer.from(reply.result.png, 'base64').toString('latin1', 1, 4), 'PNG');
  const file = picture('kept.png');
  writeFileSync(file, 'mine');
  assert.match(
    await refused(instance, ['screenshot', 'web', file]),
    /kept\.png was not written: file already exists\n.*--force/,
  );
  assert.equal(readFileSync(file, 'utf8'), 'mine');
  assert.equal((await instance.qward(['screenshot', 'web', '-'])).stdout.slice(1, 4), 'PNG');
});

test('fifty screenshots, ten at a time, leave QEMU with the descriptors that it had, and every wall', async () => {
  const { pid } = await statusOf(instance, 'web');
  const count = (): number => readdirSync(`/proc/${pid}/fd`).length;
  const before = count();
  for (let round = 0; round < 5; round += 1) {
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => instance.client.call('screenshot', { name: 'web' })),
    );
    for (const reply of replies) assert.ok(reply.ok, JSON.stringify(reply));
    await done(instance, 'audit web');
  }
  assert.equal(count(), before);
});

test('ctrl-alt-delete reaches the guest: its firmware starts anew', async () => {
  const { arrived } = await nextEvent(
    instance,
    ({ event, machine }) => event === 'guest.reset' && machine === 'web',
  );
  const again = setInterval(() => void instance.qward(['send-key', 'web', 'ctrl-alt-delete']), 1000);
  await arrived.finally(() => clearInterval(again));
});

test('keys and text are sent, or refused whole with the key that is wrong', async () => {
  assert.equal(
    await done(instance, ['send-key', 'web', 'esc', '--text', 'Hi!', '--hold', '5ms']),
    'web: 4 keys',
  );
  assert.match(await refused(instance, 'send-key web ret hyper-a', { status: 2 }), /no such key: hyper-a/);
  assert.match(
    await refused(instance, ['send-key', 'web', '--text', 'ü'], { status: 2 }),
    /no key of a US keyboard types "ü"/,
  );
  assert.match(await refused(instance, 'send-key web', { status: 2 }), /KEYS or --text expected/);
  const reply = await instance.client.call('sendKeys', { name: 'web', keys: [['evil"} ']] });
  assert.equal(reply.ok, false);
});

test('a machine without a screen, a stopped one and a stranger are told so', async () => {
  assert.match(
    await refused(instance, ['screenshot', 'blind', picture('b.png')], { status: 2 }),
    /has no screen\n.*vnc: true/,
  );
  assert.match(await refused(instance, 'send-key blind ret', { status: 2 }), /has no screen/);
  await done(instance, 'kill blind');
  assert.match(await refused(instance, ['screenshot', 'blind', picture('b.png')]), /does not run/);
  for (const words of [
    ['screenshot', 'web', '-'],
    ['send-key', 'web', 'ret'],
  ])
    assert.match(await refused(instance, words, { uid: 65_534, status: 4 }), /has no rights here/);
  assert.equal(existsSync(picture('b.png')), false);
});
