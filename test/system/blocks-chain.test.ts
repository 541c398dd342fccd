/** Overlays on all disks at one moment, and chains that become one image again, while the guest writes. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { closedHome, startWithAccounts } from '../support/accounts.ts';
import { agentShell, untilAgentAnswers } from '../support/agent-shell.ts';
import {
  checkImage,
  counted,
  counterIn,
  definedImages,
  openImages,
  untilCounts,
} from '../support/block-chains.ts';
import { consoleShows, done, refused, statusOf } from '../support/driver.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { addGuestAgent } from '../support/guest-agent.ts';

const [alice, bob] = [910_000_057, 910_000_058];
const instance = await startWithAccounts([
  { name: 'alice', uid: alice },
  { name: 'bob', uid: bob },
]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['alice', 'bob'], groups: [] } });
const guest = addGuestAgent(instance.guest, join(instance.paths.images, 'initrd-agent.cpio'));
const home = closedHome(instance, 'alice', alice);
const asAlice = { uid: alice };
const [root, data] = ['root.qcow2', 'data.raw'].map((name) => join(home, name)) as [string, string];
const audited = (): Promise<string> => done(instance, 'audit shop');
const overlay = (disk: string, snapshot: string): string => join(home, `shop-${disk}-${snapshot}.qcow2`);

async function images(disk: string): Promise<string[]> {
  const reply = await instance.client.call('chain', { name: 'shop' });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result.disks.find((one) => one.disk === disk)?.images.map(({ path }) => path) ?? [];
}

/** QEMU and definition have these images, and nothing else is open. */
async function has(chains: Readonly<Record<string, readonly string[]>>): Promise<void> {
  for (const [disk, paths] of Object.entries(chains)) {
    assert.deepEqual(await images(disk), paths);
    assert.deepEqual(await definedImages(instance, 'shop', disk), paths);
  }
  const names = Object.values(chains)
    .flat()
    .map((path) => path.split('/').at(-1) ?? '');
  assert.deepEqual([...new Set(await openImages(instance, 'shop'))].sort(), names.sort());
  await audited();
}

async function up(): Promise<void> {
  await done(instance, 'start shop', asAlice);
  await consoleShows(instance, 'shop', /synced \d/);
  await untilAgentAnswers(instance, 'shop');
}

before(async () => {
  for (const path of [root, data]) await done(instance, ['disk', 'create', path, '48MiB'], asAlice);
  execFileSync('qemu-io', ['-c', 'write -q -P 7 1M 20M', root]);
  const source = demoMachine({
    name: 'shop',
    guest,
    disk: root,
    switches: 'qward.synced qward.qemu-ga',
    more: 'agent: true',
  }).replace('stop:\n', `  - {id: data, path: ${data}, format: raw, limits: {iops: 100000}}\nstop:\n`);
  await done(instance, 'define -', { ...asAlice, stdin: source });
  await up();
});

test('both disks get an overlay at one moment, twice; what was written before stays below', async () => {
  const said = await done(instance, 'snapshot create shop one --disks-only', asAlice);
  assert.match(said, /snapshot one of its disks made/);
  await has({ root: [overlay('root', 'one'), root], data: [overlay('data', 'one'), data] });
  const below = counterIn(instance, root);
  await untilCounts(instance, 'shop', 5);
  assert.equal(counterIn(instance, root), below, 'nothing is written below');
  await agentShell(instance, 'shop', 'printf two | dd of=/dev/vdb conv=fsync,notrunc 2>&1');
  await done(instance, 'snapshot create shop two --disks-only', asAlice);
  await has({
    root: [overlay('root', 'two'), overlay('root', 'one'), root],
    data: [overlay('data', 'two'), overlay('data', 'one'), data],
  });
  const numbers = await counted(instance, 'shop');
  assert.deepEqual(
    numbers,
    numbers.map((_: number, index: number) => index + 1),
  );
  for (const disk of ['root', 'data']) assert.equal(statSync(overlay(disk, 'two')).uid, alice);
});

test('the machine starts on its chains, and has what was synced', async () => {
  await done(instance, 'kill shop', asAlice);
  const last = (await counted(instance, 'shop')).at(-1) ?? 0;
  for (const snapshot of ['one', 'two']) checkImage(overlay('root', snapshot));
  assert.ok(counterIn(instance, overlay('root', 'two')) >= last);
  await up();
  await has({
    root: [overlay('root', 'two'), overlay('root', 'one'), root],
    data: [overlay('data', 'two'), overlay('data', 'one'), data],
  });
});

test('an overlay is committed, as it was started with and as it was made since; a chain is pulled together', async () => {
  const said = await done(instance, 'commit shop root', asAlice);
  assert.match(said, /root is committed; .*root-two\.qcow2 is not used any more/);
  await has({
    root: [overlay('root', 'one'), root],
    data: [overlay('data', 'two'), overlay('data', 'one'), data],
  });
  await untilCounts(instance, 'shop', 3);
  await done(instance, 'commit shop data', asAlice);
  await done(instance, 'commit shop data', asAlice);
  await has({ root: [overlay('root', 'one'), root], data: [data] });
  assert.equal(
    await agentShell(
      instance,
      'shop',
      'dd if=/dev/vdb bs=3 count=1 iflag=direct 2>/dev/null || dd if=/dev/vdb bs=3 count=1 2>/dev/null',
    ),
    'two',
  );
  await done(instance, 'pull shop root', asAlice);
  await has({ root: [overlay('root', 'one')], data: [data] });
  await done(instance, 'snapshot create shop three --disks-only', asAlice);
  await agentShell(
    instance,
    'shop',
    'dd if=/dev/zero of=/dev/vda bs=1M seek=24 count=20 conv=fsync,notrunc 2>&1',
  );
  // One that is given up leaves the image below to be read again.
  const [program = '', ...args] = instance.program;
  const child = spawn(program, [...args, 'commit', 'shop', 'root', '--rate', '1MiB'], {
    uid: alice,
    gid: alice,
    env: instance.environment,
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  for (let times = 0; (await statusOf(instance, 'shop')).progress?.doing !== 'committing'; times += 1)
    assert.ok(times < 100, 'the commit does not begin');
  await audited();
  child.kill('SIGINT');
  await ended;
  for (let times = 0; (await statusOf(instance, 'shop')).progress !== null; times += 1)
    assert.ok(times < 100, 'the commit does not end');
  await has({
    root: [overlay('root', 'three'), overlay('root', 'one')],
    data: [overlay('data', 'three'), data],
  });
  await done(instance, 'commit shop root', asAlice);
  await has({ root: [overlay('root', 'one')], data: [overlay('data', 'three'), data] });
  await untilCounts(instance, 'shop', 3);
  await done(instance, 'kill shop', asAlice);
  const last = (await counted(instance, 'shop')).at(-1) ?? 0;
  checkImage(overlay('root', 'one'));
  assert.ok(counterIn(instance, overlay('root', 'one')) >= last);
  await up();
  await has({ root: [overlay('root', 'one')], data: [overlay('data', 'three'), data] });
});

test('what cannot be is refused, and nothing is left of it', async () => {
  const there = readdirSync(home);
  const chains = { root: [overlay('root', 'one')], data: [overlay('data', 'three'), data] };
  for (const [words, fault] of [
    ['snapshot create shop one --disks-only', /is there already/],
    ['snapshot create shop x --disks-only --to /etc', /./],
    ['snapshot create shop Bad_ --disks-only', /no name/],
    ['commit shop root', /one image alone/],
    ['pull shop root', /one image alone/],
    ['commit shop never', /never/],
  ] as const) {
    const { status, stderr } = await instance.qward(words.split(' '), asAlice);
    assert.notEqual(status, 0, words);
    assert.match(stderr, fault, words);
    await has(chains);
    assert.deepEqual(readdirSync(home), there, words);
  }
  for (const words of ['snapshot create shop y --disks-only', 'commit shop data', 'pull shop data'])
    assert.ok([3, 4].includes((await instance.qward(words.split(' '), { uid: bob })).status), words);
  // Another machine stands on what would be written.
  const other = join(home, 'other.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-u', '-f', 'qcow2', '-b', data, '-F', 'raw', other, '48M']);
  chownSync(other, alice, alice);
  const backing = `backing: [{path: ${data}, format: raw}]`;
  const stdin = `name: other\nmemory: 32MiB\ndisks: [{id: d, path: ${other}, format: qcow2, ${backing}}]\n`;
  await done(instance, 'define -', { ...asAlice, stdin });
  assert.match(
    await refused(instance, 'commit shop data', asAlice),
    /lies below disks of machine "other" too/,
  );
  await done(instance, 'rm other --yes', asAlice);
  assert.ok(existsSync(data));
  await has(chains);
});
