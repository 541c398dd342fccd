/** Disks are backed up while their guest works, whole and by what was written since, and what comes back is what was there. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chownSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmdirSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { closedHome, startWithAccounts } from '../support/accounts.ts';
import { agentShell, untilAgentAnswers } from '../support/agent-shell.ts';
import { checkImage, counted, openImages, untilCounts } from '../support/block-chains.ts';
import { consoleShows, done, refused, statusOf } from '../support/driver.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { addGuestAgent } from '../support/guest-agent.ts';
import { until } from '../support/until.ts';

const alice = 910_000_055;
const instance = await startWithAccounts([{ name: 'alice', uid: alice }]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['alice'], groups: [] } });
const guest = addGuestAgent(instance.guest, join(instance.paths.images, 'initrd-agent.cpio'));
const home = closedHome(instance, 'alice', alice);
const asAlice = { uid: alice };
const [root, data] = ['root.qcow2', 'data.qcow2'].map((name) => join(home, name)) as [string, string];
const backups = join(home, 'backups');
mkdirSync(backups, { mode: 0o700 });
chownSync(backups, alice, alice);
const audited = (): Promise<string> => done(instance, 'audit shop');
const shell = (script: string): Promise<string> => agentShell(instance, 'shop', script);

async function up(): Promise<void> {
  await done(instance, 'start shop', asAlice);
  await consoleShows(instance, 'shop', /synced \d/);
  await untilAgentAnswers(instance, 'shop');
}

/** Files of a disk, the oldest first. */
const files = (disk: string): string[] =>
  readdirSync(backups)
    .filter((name) => name.startsWith(`shop-${disk}-`))
    .sort()
    .map((name) => join(backups, name));

const back = (...words: string[]): Promise<string> =>
  done(instance, ['backup', 'create', 'shop', '--to', backups, ...words], asAlice);

before(async () => {
  for (const path of [root, data]) await done(instance, ['disk', 'create', path, '48MiB'], asAlice);
  execFileSync('qemu-io', ['-c', 'write -q -P 7 1M 20M', data]);
  const more = `agent: true\n`;
  const source = demoMachine({
    name: 'shop',
    guest,
    disk: root,
    switches: 'qward.synced qward.qemu-ga',
    more,
  }).replace('stop:\n', `  - {id: data, path: ${data}, format: qcow2, limits: {iops: 100000}}\nstop:\n`);
  await done(instance, 'define -', { ...asAlice, stdin: source });
  await up();
});

test('whole, then twice what was written since; a disk that is restored is as it was at the last moment', async () => {
  const held = await openImages(instance, 'shop');
  const said = await back();
  assert.match(said, /^shop: backed up, .*\nroot: .*-whole\.qcow2\ndata: .*-whole\.qcow2$/);
  await audited();
  assert.deepEqual(await openImages(instance, 'shop'), held, 'nothing of the backup stays open');
  for (const step of [1, 2]) {
    await shell(`dd if=/dev/urandom of=/dev/vdb bs=64k seek=${step * 40} count=9 conv=fsync,notrunc 2>&1`);
    await shell(`dd if=/dev/zero of=/dev/vdb bs=64k seek=${step * 100} count=5 conv=fsync,notrunc 2>&1`);
    assert.match(await back('--incremental'), /data: .*-incremental\.qcow2, on /);
    await audited();
  }
  await untilCounts(instance, 'shop', 3);
  const numbers = await counted(instance, 'shop');
  assert.deepEqual(
    numbers,
    numbers.map((_: number, index: number) => index + 1),
  );
  const [whole = '', , last = ''] = files('data');
  assert.ok(statSync(last).blocks < statSync(whole).blocks / 10, 'only what was written is copied');
  for (const file of [...files('root'), ...files('data')]) {
    checkImage(file);
    assert.equal(statSync(file).uid, alice);
  }
  assert.match(
    await done(instance, 'backup list shop', asAlice),
    /data +whole[\s\S]*data +on 1[\s\S]*data +on 2/,
  );
  const restored = join(home, 'restored.qcow2');
  assert.match(
    await done(instance, ['backup', 'restore', 'shop', last, restored], asAlice),
    /is disk data of shop as of 20/,
  );
  await done(instance, 'kill shop', asAlice);
  const compared = spawnSync('qemu-img', ['compare', '-f', 'qcow2', '-F', 'qcow2', restored, data], {
    encoding: 'utf8',
  });
  assert.equal(compared.status, 0, compared.stdout + compared.stderr);
});

test('what was written is not known after a kill, and is known after a stop', async () => {
  await up();
  const said = await refused(
    instance,
    ['backup', 'create', 'shop', '--to', backups, '--incremental'],
    asAlice,
  );
  assert.match(said, /was not backed up: .*killed\n.*whole backup/);
  assert.ok(!readdirSync(backups).some((name) => name.startsWith('.')));
  const count = files('data').length;
  await new Promise((resolve) => setTimeout(resolve, 1000));
  await back('-d', 'data');
  await done(instance, 'stop shop', asAlice);
  await up();
  await shell('printf again | dd of=/dev/vdb bs=64k seek=300 conv=fsync,notrunc 2>&1');
  await back('-d', 'data', '--incremental');
  await audited();
  assert.equal(files('data').length, count + 2);
  const restored = join(home, 'again.raw');
  await done(instance, ['backup', 'restore', 'shop', files('data').at(-1) ?? '', restored], asAlice);
  await done(instance, 'kill shop', asAlice);
  assert.equal(spawnSync('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', restored, data]).status, 0);
});

test('a QEMU that writes another size, or another file, into what it was given has made no backup', async () => {
  const listed = async (): Promise<number> =>
    (await done(instance, 'backup list shop', asAlice)).split('\n').length;
  await up();
  await back('-d', 'data');
  const before = await listed();
  const there = readdirSync(backups);
  // What it writes into the header (QEMU: docs/interop/qcow2.txt): a size of 1 TiB; a name at 512, of four bytes.
  const larger = Buffer.alloc(8);
  larger.writeBigUInt64BE(1n << 40n);
  const named = Buffer.alloc(12);
  named.writeBigUInt64BE(512n);
  named.writeUInt32BE(4, 8);
  for (const [at, bytes] of [
    [24, larger],
    [8, named],
  ] as const) {
    const backup = instance.qward(
      ['backup', 'create', 'shop', '--to', backups, '-d', 'data', '--rate', '4MiB'],
      asAlice,
    );
    await until(
      async () => (await done(instance, 'status shop', asAlice)).includes('backing up'),
      'it is copied',
    );
    const made = readdirSync(backups).find((name) => !there.includes(name) && !name.startsWith('.'));
    const file = openSync(join(backups, made ?? ''), 'r+');
    writeSync(file, bytes, 0, bytes.length, at);
    closeSync(file);
    const { status, stderr } = await backup;
    assert.equal(status, 1, stderr);
    assert.match(stderr, /is not as it was made: its header says another size, or names another file/);
    assert.deepEqual(readdirSync(backups), there);
    assert.equal(await listed(), before);
  }
  await back('-d', 'data', '--incremental');
  await audited();
});

test('what cannot be noted is not begun: whoever came after this manager could not set it right', async () => {
  const note = join(instance.paths.managerState, 'runs/shop.json.new');
  const more = join(home, 'more.raw');
  await done(instance, ['disk', 'create', more, '8MiB'], asAlice);
  const held = await openImages(instance, 'shop');
  const chain = await done(instance, 'chain shop', asAlice);
  const there = [readdirSync(home), readdirSync(backups)];
  mkdirSync(note);
  try {
    for (const words of [
      ['backup', 'create', 'shop', '--to', backups],
      ['mirror', 'shop', 'root', join(home, 'other.qcow2')],
      ['snapshot', 'create', 'shop', 'monday', '--disks-only'],
      ['attach', 'shop', 'disk', 'more', more],
      ['snapshot', 'create', 'shop', 'first'],
      ['save', 'shop'],
    ])
      assert.match(
        await refused(instance, words, asAlice),
        /could not be noted: .*EISDIR/,
        words.slice(0, 3).join(' '),
      );
  } finally {
    rmdirSync(note);
  }
  assert.deepEqual(await openImages(instance, 'shop'), held);
  assert.equal(await done(instance, 'chain shop', asAlice), chain);
  assert.deepEqual([readdirSync(home), readdirSync(backups)], there);
  assert.equal(await statusOf(instance, 'shop').then(({ state }) => state), 'running');
  await audited();
  await back('-d', 'data');
});

test('what cannot be is refused before anything changes', async () => {
  await up();
  const there = readdirSync(backups);
  for (const [words, fault] of [
    [['create', 'shop', '--to', join(home, 'none')], /./],
    [['create', 'shop', '--to', '/etc'], /./],
    [['create', 'shop', '--to', backups, '-d', 'never'], /no disk "never"/],
    [['create', 'shop'], /--to DIR/],
    [['restore', 'shop', root, join(home, 'x.qcow2')], /no backup of machine/],
  ] as const) {
    const { status, stderr } = await instance.qward(['backup', ...words], asAlice);
    assert.notEqual(status, 0, words.join(' '));
    assert.match(stderr, fault, words.join(' '));
  }
  const plain = join(home, 'plain.raw');
  await done(instance, ['disk', 'create', plain, '8MiB'], asAlice);
  await done(instance, ['attach', 'shop', 'disk', 'plain', plain, '--persist'], asAlice);
  await back('-d', 'plain');
  const raw = await refused(
    instance,
    ['backup', 'create', 'shop', '--to', backups, '-d', 'plain', '-i'],
    asAlice,
  );
  assert.match(raw, /its image is raw/);
  assert.equal(readdirSync(backups).length, there.length + 1);
  await audited();
});
