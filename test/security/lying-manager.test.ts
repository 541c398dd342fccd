/**
 * Promise 4: a manager that was taken over gets no claim for what the user did not name. The manager is the test's, on a
 * socket beside the real broker's claims; the command line is the real one, run by a user of the system.
 */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdirSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { after, test } from 'node:test';
import type { Claim } from '../../src/protocol/claims.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { done } from '../support/driver.ts';
import { ok, startFakeManager, type FakeManager, type Handlers } from '../support/fake-manager.ts';

const uid = 910_000_021;
const instance = await startWithAccounts([{ name: 'alice', uid }]);
after(() => instance[Symbol.asyncDispose]());
const runtime = `${instance.directory}/alice`;
mkdirSync(runtime, { mode: 0o700 });
chownSync(runtime, uid, uid);

const secret = '/home/alice/.ssh/id_rsa';
const disk = (path: string): string => `disks: [{ id: root, path: ${path}, format: raw }]\n`;
const evil = `name: web\nmemory: 1GiB\n${disk(secret)}`;

const image = (path: string) => ({ path, format: 'qcow2' as const, access: 'rw' as const });
/** The user's own disk, standing on what she never named. */
const lyingChain = { disk: 'root', size: 1 << 20, images: [image('/home/alice/a'), image(secret)] };

const handlers = (source: string): Handlers => ({
  definition: ({ name }) =>
    ok({ name, source: source.replace('name: web\n', `name: ${name}\n`), revision: 'r' }),
  define: () => ok({ name: 'web', outcome: 'defined', notes: [`claim ${secret}`] }),
  edit: ({ name }) => ok({ name, outcome: 'changed', notes: [] }),
  set: ({ name }) => ok({ name, applied: [], atNextStart: ['memory'] }),
  devices: ({ name }) =>
    ok({
      name,
      disks: [
        { id: 'root', bus: '', attached: false, detachable: false, files: [{ path: secret, access: 'rw' }] },
      ],
      cards: [],
      usb: [],
      cpus: { now: 1, most: 1, attached: [] },
      memory: { now: 1, most: 1, modules: [], slots: { all: 0, free: 0 } },
      ports: { all: 0, free: 0 },
    }),
  chain: ({ name }) => ok({ name, running: true, busy: null, disks: [lyingChain] }),
  commit: ({ name }) => ok({ name, disk: 'root', left: '/home/alice/a' }),
  clone: ({ to }) => ok({ name: to, state: 'stopped', outcome: 'cloned' }),
});

async function lyingManager(source = evil): Promise<FakeManager> {
  const manager = await startFakeManager({ handlers: handlers(source) });
  const directory = dirname(manager.socketPath);
  chmodSync(directory, 0o755);
  chmodSync(manager.socketPath, 0o666);
  symlinkSync(instance.paths.claimsSocket, `${directory}/claims.sock`);
  return manager;
}

/** Runs the CLI as alice before this manager; gives what she claims then, and takes it back. */
async function claimedBy(
  manager: FakeManager,
  words: readonly string[],
  options: { readonly stdin?: string; readonly editor?: string } = {},
): Promise<string[]> {
  const { stdin = '', editor = 'true' } = options;
  const ran = await instance.qward(words, {
    uid,
    stdin,
    // What was not taken over is kept for its user, beneath a directory that goes with the test.
    env: { QWARD_SOCKET: manager.socketPath, EDITOR: editor, XDG_RUNTIME_DIR: runtime },
  });
  assert.equal(ran.status, 0, ran.stderr);
  const listed = await instance.qward(['claims', '--json'], { uid });
  const claims = JSON.parse(listed.stdout) as Claim[];
  for (const machine of new Set(claims.map((claim) => claim.machine)))
    await done(instance, ['unclaim', machine, '--all'], { uid });
  return claims.map(({ machine, path, access }) => `${machine} ${access} ${path}`).sort();
}

test('set, clone and edit of other things claim nothing that only the manager names', async () => {
  await using manager = await lyingManager();
  assert.deepEqual(await claimedBy(manager, ['set', 'web', 'memory=2GiB']), []);
  assert.deepEqual(await claimedBy(manager, ['set', 'web', 'disks.root.readonly=false']), []);
  assert.deepEqual(await claimedBy(manager, ['clone', 'web', 'web2', '--disk', 'root=/home/alice/b']), []);
  assert.deepEqual(await claimedBy(manager, ['edit', 'web'], { editor: 'sed -i s/1GiB/2GiB/' }), []);
});

test('commit claims no image that only the manager names', async () => {
  await using manager = await lyingManager();
  assert.deepEqual(await claimedBy(manager, ['commit', 'web', 'root']), []);
});

test('what the user names is claimed, and nothing beside it', async () => {
  await using manager = await lyingManager();
  const stdin = `name: web\n${disk('/home/alice/a')}`;
  assert.deepEqual(await claimedBy(manager, ['define', '-'], { stdin }), ['web rw /home/alice/a']);
  await using honest = await lyingManager(`name: web\n${disk('/home/alice/a')}`);
  const word = 'disks.root.path=/home/alice/a';
  assert.deepEqual(await claimedBy(honest, ['set', 'web', word]), ['web rw /home/alice/a']);
  assert.deepEqual(await claimedBy(honest, ['clone', 'web', 'web2', '--disk', 'root=/home/alice/a']), [
    'web2 rw /home/alice/a',
  ]);
  const editor = 'sed -i s,alice/a,alice/b,';
  assert.deepEqual(await claimedBy(honest, ['edit', 'web'], { editor }), ['web rw /home/alice/b']);
});

test('a definition that turns into another one when the editor is left claims nothing', async () => {
  // Lines that begin with "#! " are taken out again: here a disk comes out of a quotation by that.
  const sources = [
    `{name: web, memory: 1GiB, a: "\n#! ",\n b: ", ${disk(secret).trim()}, c: ", d: "\n#! "\n}\n`,
    // No definition as it was sent, and one as it is saved.
    `name: web\nmemory: 1GiB1GiB\n${disk(secret)}`,
    `name: web\nmemory: 1GiB\nmemory: 1GiB\n${disk(secret)}`,
    `name: web\nmemory: [1GiB\n${disk(secret)}`,
  ];
  for (const source of sources) {
    await using manager = await lyingManager(source);
    for (const editor of [
      'sed -i s/1GiB1GiB/2GiB/',
      'sed -i 2s/.*//',
      'sed -i s/1GiB/2GiB/',
      "sed -i 's/[[]1GiB/1GiB/'",
    ])
      assert.doesNotMatch((await claimedByEdit(manager, editor)).join(), /id_rsa/, `${source}${editor}`);
  }
});

async function claimedByEdit(manager: FakeManager, editor: string): Promise<string[]> {
  try {
    return await claimedBy(manager, ['edit', 'web'], { editor });
  } catch (error) {
    // An edit that changes nothing is given up.
    if (error instanceof assert.AssertionError && /given up/.test(error.message)) return [];
    throw error;
  }
}
