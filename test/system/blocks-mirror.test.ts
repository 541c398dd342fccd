/** A disk moves into another image while its guest writes: nothing is lost, every wall stays up, and the definition names what is written. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { closedHome, startWithAccounts } from '../support/accounts.ts';
import { checkImage, counterIn, counted, openImages, untilCounts } from '../support/block-chains.ts';
import { consoleShows, defineBare, disk as diskLines, done, refused, statusOf } from '../support/driver.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { startInstance } from '../support/instance.ts';
import { mountSmall } from '../support/small-file-system.ts';

const [alice, bob] = [910_000_051, 910_000_052];
const instance = await startWithAccounts([
  { name: 'alice', uid: alice },
  { name: 'bob', uid: bob },
]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['alice', 'bob'], groups: [] } });
const home = closedHome(instance, 'alice', alice);
const asAlice = { uid: alice };
const first = join(home, 'first.qcow2');
const audited = (): Promise<string> => done(instance, 'audit shop');
const owners = (...paths: string[]): unknown =>
  paths.map((path) => statSync(path)).map(({ uid, mode, ino }) => [uid, mode, ino]);

before(async () => {
  await done(instance, ['disk', 'create', first, '64MiB'], asAlice);
  execFileSync('qemu-io', ['-c', 'write -q -P 7 1M 40M', first]);
  const source = demoMachine({ name: 'shop', guest: instance.guest, disk: first, switches: 'qward.synced' });
  await done(instance, 'define -', { ...asAlice, stdin: source });
  await done(instance, 'start shop', asAlice);
  await consoleShows(instance, 'shop', /synced 5\b/);
});

test('to qcow2 and to raw, in a home of mode 0700: the guest counts on, and its owner’s files stay as they were', async () => {
  let from = first;
  for (const name of ['second.qcow2', 'third.raw', 'fourth.qcow2']) {
    const to = join(home, name);
    const before = owners(from);
    const said = await done(instance, ['mirror', 'shop', 'root', to], asAlice);
    assert.ok(said.startsWith(`shop: root is in ${to}; ${from} is not used any more`), said);
    assert.match(said, /may read and write .*with your rights/);
    await audited();
    await untilCounts(instance, 'shop', 5);
    assert.deepEqual([...new Set(await openImages(instance, 'shop'))], [name]);
    assert.match(await done(instance, 'chain shop', asAlice), new RegExp(`root +64MiB +\\w+ +${to}`));
    assert.match(await done(instance, 'show shop', asAlice), new RegExp(`path: ${to}`));
    assert.deepEqual(owners(from), before);
    assert.equal(statSync(to).mode & 0o777, 0o600);
    checkImage(from);
    from = to;
  }
  const numbers = await counted(instance, 'shop');
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => index + 1),
  );
  await done(instance, 'kill shop', asAlice);
  const last = (await counted(instance, 'shop')).at(-1) ?? 0;
  checkImage(from);
  assert.ok(counterIn(instance, from) >= last, 'what was synced is there');
  await done(instance, 'start shop', asAlice);
  await consoleShows(instance, 'shop', /synced \d+/);
});

test('what cannot be is refused before anything changes, or is undone', async () => {
  await defineBare(instance, 'other', diskLines(instance.disk('taken')));
  const less = join(home, 'less.qcow2');
  await done(instance, ['disk', 'create', less, '32MiB'], asAlice);
  const held = await openImages(instance, 'shop');
  const chain = await done(instance, 'chain shop', asAlice);
  for (const [words, fault] of [
    [['root', first], /is there already/],
    [['never', join(home, 'x.qcow2')], /no disk "never"\n.*root/],
    [['root', join(home, 'x.img.xz')], /does not say its format/],
    [['root', '/etc/x.raw'], /./],
    [['root', join(home, 'none/x.raw')], /./],
  ] as const) {
    const { status, stderr } = await instance.qward(['mirror', 'shop', ...words], asAlice);
    assert.notEqual(status, 0, words.join(' '));
    assert.match(stderr, fault, words.join(' '));
  }
  const ask = (path: string, format: 'raw' | 'qcow2' = 'qcow2') =>
    instance.client.call('mirror', { name: 'shop', disk: 'root', path, format });
  for (const [path, fault] of [
    [join(instance.paths.images, 'taken.qcow2'), /image of machine ."other/],
    [join(home, 'fourth.qcow2'), /image of machine ."shop/],
    [join(home, 'missing.qcow2'), /./],
    ['/etc/shadow', /./],
  ] as const) {
    const reply = await ask(path);
    assert.ok(!reply.ok);
    assert.match(JSON.stringify(reply.faults), fault, path);
  }
  await done(instance, ['claim', 'shop', '--rw', less], asAlice);
  const other = await ask(less);
  assert.match(JSON.stringify(other), /67108864 bytes.*33554432/);
  assert.deepEqual(await openImages(instance, 'shop'), held);
  assert.equal(await done(instance, 'chain shop', asAlice), chain);
  for (const file of ['x.qcow2', 'x.img.xz']) assert.ok(!existsSync(join(home, file)));
  await audited();
  for (const uid of [bob])
    assert.ok(
      [3, 4].includes((await instance.qward(['mirror', 'shop', 'root', '/tmp/x.raw'], { uid })).status),
    );
});

test('a copy that is interrupted leaves the disk as it was, and no file', async () => {
  const chain = await done(instance, 'chain shop', asAlice);
  const held = await openImages(instance, 'shop');
  const slow = join(home, 'slow.raw');
  const [program = '', ...args] = instance.program;
  const child = spawn(program, [...args, 'mirror', 'shop', 'root', slow, '--rate', '1MiB'], {
    uid: alice,
    gid: alice,
    env: instance.environment,
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  for (let times = 0; !(await openImages(instance, 'shop')).includes('slow.raw'); times += 1) {
    assert.ok(times < 100, 'the copy does not begin');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await audited();
  assert.equal((await statusOf(instance, 'shop')).progress?.doing, 'mirroring');
  assert.match(
    await refused(instance, ['mirror', 'shop', 'root', join(home, 'y.raw')], asAlice),
    /under way already \(mirroring\)/,
  );
  assert.ok(!existsSync(join(home, 'y.raw')));
  assert.match(await refused(instance, 'save shop', asAlice), /got other images/);
  child.kill('SIGINT');
  await ended;
  assert.ok(!existsSync(slow), 'what was begun is taken away');
  assert.equal(await done(instance, 'chain shop', asAlice), chain);
  assert.deepEqual(await openImages(instance, 'shop'), held);
  await audited();
  await untilCounts(instance, 'shop', 3);
});

test('where the file system of the copy is full the disk is as it was, and the guest goes on', async () => {
  await using other = await startInstance({ down: true });
  const small = join(other.paths.images, 'small');
  mountSmall(other, small, 8 * 1024 ** 2);
  await other.up();
  const image = other.disk('bare');
  execFileSync('qemu-io', ['-c', 'write -q -P 7 1M 40M', image]);
  await defineBare(other, 'bare', diskLines(image));
  await done(other, 'start bare');
  const chain = await done(other, 'chain bare');
  for (const name of ['full.raw', 'full.qcow2']) {
    const said = await refused(other, ['mirror', 'bare', 'root', join(small, name)]);
    assert.match(said, /No space left/);
    assert.deepEqual(readdirSync(small), []);
    assert.equal(await done(other, 'chain bare'), chain);
    assert.equal((await statusOf(other, 'bare')).state, 'running');
    await done(other, 'audit bare');
  }
});

test('the next manager finishes or undoes what the one before had begun', async () => {
  for (const [afterMs, signal] of [
    [0, 'SIGKILL'],
    [600, 'SIGTERM'],
    [900, 'SIGKILL'],
    [1200, 'SIGTERM'],
  ] as const) {
    const to = join(home, `killed-${afterMs}.qcow2`);
    const moving = instance.qward(['mirror', 'shop', 'root', to, '--rate', '16MiB'], asAlice);
    await new Promise((resolve) => setTimeout(resolve, 300 + afterMs));
    process.kill(instance.daemon('manager'), signal);
    await moving;
    await instance.up();
    await audited();
    await untilCounts(instance, 'shop', 3);
    const reply = await instance.client.call('chain', { name: 'shop' });
    assert.ok(reply.ok);
    const [image] = reply.result.disks[0]?.images ?? [];
    assert.match(await done(instance, 'show shop', asAlice), new RegExp(`path: ${image?.path}`));
    assert.deepEqual([...new Set(await openImages(instance, 'shop'))], [image?.path.split('/').at(-1)]);
  }
});

test('whoever would remove, rename or give it away at any moment of that is refused, and nothing waits for ever', async () => {
  const image = join(home, 'fifth.qcow2');
  const ended = new AbortController();
  const mirrored = done(instance, ['mirror', 'shop', 'root', image], asAlice).finally(() => {
    ended.abort();
  });
  const asked: Promise<string>[] = [];
  const ask = async (words: string): Promise<string> => {
    const { client } = instance;
    const reply =
      words === 'remove'
        ? await client.call('remove', { name: 'shop' })
        : words === 'give'
          ? await client.call('give', { name: 'shop', to: 'bob' })
          : await client.call('rename', { name: 'shop', to: 'store' });
    return reply.ok ? 'done' : (reply.faults[0]?.code ?? '');
  };
  while (!ended.signal.aborted) {
    asked.push(ask('remove'), ask('rename'), ask('give'));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await mirrored;
  const late = new Promise<string[]>((resolve) => setTimeout(() => resolve(['too late']), 30_000).unref());
  const answers = await Promise.race([Promise.all(asked), late]);
  assert.deepEqual([...new Set(answers)], ['machine-running']);
  await untilCounts(instance, 'shop', 3);
});
