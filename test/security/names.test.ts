/**
 * Promises 1 and 4: no name that a user chooses leads to a place of the file system: of machines, of snapshots, of images, at the
 * manager and at the broker. Needs root.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import type { Reply } from '../../src/api/client.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { exchange } from '../support/broker.ts';
import { startInstance } from '../support/instance.ts';
import { define, granted, smallMachine } from '../support/small-machine.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const { images, brokerSocket } = instance.paths;
const { client } = instance;

const hostile = [
  '..',
  '.',
  '',
  '/',
  '../outside',
  '../../outside',
  'a/../../outside',
  'a/b',
  '/etc/passwd',
  '%2e%2e%2foutside',
  'outside\u0000',
  'outside\n',
  '-outside',
  '--',
  'Outside',
  'oütside',
  '．．／outside',
  'a,b=c',
  'a b',
  '$(id)',
  '`id`',
  "'",
  '"',
  '\\',
  '*',
  'x'.repeat(64),
  'x'.repeat(5000),
];

await define(instance, smallMachine('one'));
const disk = instance.disk('one');
mkdirSync(`${images}/deep`);

/** Every file and directory of the instance's own, but for what grows by itself; never into mounts of the host's files. */
function files(directories: readonly string[] = Object.values(instance.roots)): string[] {
  return directories
    .flatMap((directory) =>
      readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
        const path = `${directory}/${entry.name}`;
        return entry.isDirectory() && entry.name !== 'roots' ? [path, ...files([path])] : [path];
      }),
    )
    .filter((path) => !/history\.db|\/broker\/(?:broker\.log|slots)|\/trial|runtime\.json/.test(path))
    .toSorted();
}

/** Each is refused as what it is, and none by an accident. */
function refused(reply: Reply<unknown>, what: string): void {
  assert.ok(!reply.ok, `${what}: ${JSON.stringify(reply)}`);
  for (const { code } of reply.faults)
    assert.match(code, /^(?:request-invalid|definition-invalid|machine-unknown|policy-refused)$/, what);
}

test('names of machines', async () => {
  const before = files();
  for (const name of hostile) {
    const quoted = JSON.stringify(name);
    const source = smallMachine('x').replace('name: x', `name: ${quoted}`);
    refused(await client.call('define', { source, replace: true }), `define ${quoted}`);
    refused(await client.call('rename', { name: 'one', to: name }), `rename ${quoted}`);
    refused(await client.call('clone', { name: 'one', to: name }), `clone ${quoted}`);
    if (name === '' || name.length > 1000) continue;
    for (const call of ['start', 'remove', 'drill'] as const)
      refused(await client.call(call, { name }), `${call} ${quoted}`);
  }
  assert.deepEqual(files(), before);
});

test('names of machines at the broker, which ends the connection', async () => {
  const before = files();
  for (const machine of hostile)
    for (const request of [
      ...['kill', 'reap', 'forget', 'inspect'].map((call) => ({ v: 1, call, machine })),
      { v: 1, call: 'rename', machine: 'one', to: machine },
      { v: 1, call: 'part', machine, path: `${images}/new.raw`, action: 'create' },
    ])
      assert.equal(
        await exchange(brokerSocket, encodeFrame(request)),
        undefined,
        JSON.stringify(request).slice(0, 100),
      );
  assert.deepEqual(files(), before);
});

test('paths of images, and names of snapshots', async () => {
  const before = files();
  const disks = await client.disks();
  const outside = `${instance.directory}/outside`;
  writeFileSync(outside, 'kept', { mode: 0o600 });
  const paths = ['../outside', '../../outside', 'deep/../../../outside', './x', 'deep//x', 'x\n', '']
    .map((path) => `${images}/${path}`)
    .concat(['relative', 'json:{}', `nbd:unix:${outside}`, outside, `/proc/1/root${images}/x`]);
  for (const path of paths) {
    const what = JSON.stringify(path);
    refused(
      await disks.run('diskCreate', { target: { path, format: 'raw' }, size: 1024 ** 2 }, { files: [] }),
      `create ${what}`,
    );
    refused(await disks.run('diskInfo', { path }, { files: [] }), `info ${what}`);
  }
  for (const snapshot of hostile.filter((name) => /[/\n\u0000,]|^-|^$/.test(name)))
    refused(
      await disks.run('diskSnapshot', { path: disk, action: 'create', snapshot }, { files: [] }),
      `snapshot ${JSON.stringify(snapshot)}`,
    );
  assert.equal(readFileSync(outside, 'utf8'), 'kept');
  assert.deepEqual(files(), before);
});

test('the same calls with names that are some do what they say', async () => {
  granted(await client.call('clone', { name: 'one', to: 'two' }));
  granted(await client.call('rename', { name: 'two', to: 'x'.repeat(63) }));
  const disks = await client.disks();
  const target = { path: `${images}/deep/new.raw`, format: 'raw' } as const;
  granted(await disks.run('diskCreate', { target, size: 1024 ** 2 }, { files: [] }));
  granted(
    await disks.run('diskSnapshot', { path: disk, action: 'create', snapshot: 'first' }, { files: [] }),
  );
});
