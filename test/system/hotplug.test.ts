/** Disks that come and go while the guest runs: by descriptor, from a home that stays closed, with every wall up throughout. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, closeSync, openSync, readFileSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { closedHome, startWithAccounts } from '../support/accounts.ts';
import { openImages as imagesOpenOf } from '../support/block-chains.ts';
import { consoleShows, defineBare, done, refused } from '../support/driver.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { agentShell, untilAgentAnswers } from '../support/agent-shell.ts';
import { addGuestAgent } from '../support/guest-agent.ts';
import { attachRounds } from '../support/attach-rounds.ts';

const [alice, bob] = [910_000_031, 910_000_032];
const instance = await startWithAccounts([
  { name: 'alice', uid: alice },
  { name: 'bob', uid: bob },
]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['alice', 'bob'], groups: [] } });
const { images } = instance.paths;
const guest = addGuestAgent(instance.guest, join(images, 'initrd-agent.cpio'));
const asAlice = { uid: alice };

/** An image that only its owner may read. */
function image(path: string, uid = 0, ...more: string[]): string {
  execFileSync('qemu-img', [
    'create',
    '-q',
    '-f',
    path.endsWith('.raw') ? 'raw' : 'qcow2',
    ...more,
    path,
    '16M',
  ]);
  chmodSync(path, 0o600);
  chownSync(path, uid, uid);
  return path;
}

const [homeOfAlice, homeOfBob] = [closedHome(instance, 'alice', alice), closedHome(instance, 'bob', bob)];
const data = image(join(homeOfAlice, 'data.qcow2'), alice);
const plain = image(join(homeOfAlice, 'plain.raw'), alice);
const root = image(join(homeOfAlice, 'root.qcow2'), alice);
const foreign = image(join(homeOfBob, 'foreign.qcow2'), bob);

const source = demoMachine({
  name: 'shop',
  guest,
  disk: root,
  switches: 'qward.qemu-ga',
  more: 'agent: true\nscsiControllers: [{}]',
});

async function up(name: string): Promise<void> {
  await consoleShows(instance, name);
  await untilAgentAnswers(instance, name);
}

before(async () => {
  await done(instance, 'define -', { uid: alice, stdin: source });
  await done(instance, 'start shop', asAlice);
  await up('shop');
});

const shell = (script: string, name = 'shop'): Promise<string> => agentShell(instance, name, script);

/** The name that the guest has for the disk of this serial number, once it is there. */
const named = (serial: string, name = 'shop'): Promise<string> =>
  shell(
    `for i in 1 2 3 4 5 6 7 8 9; do for d in /sys/block/*; do
       grep -q -s -w ${serial} $d/serial $d/device/vpd_pg80 && echo \${d##*/} && exit; done; sleep 1; done; echo nothing`,
    name,
  );

const openImages = (name = 'shop'): Promise<string[]> => imagesOpenOf(instance, name);
const has = async (file: string, name = 'shop'): Promise<boolean> => (await openImages(name)).includes(file);
const audited = (name = 'shop'): Promise<string> => done(instance, `audit ${name}`);

function beginning(path: string): string {
  const fd = openSync(path, 'r');
  const bytes = Buffer.alloc(5);
  readSync(fd, bytes, 0, 5, 0);
  closeSync(fd);
  return bytes.toString('latin1');
}

test('a disk of the owner, in a home of mode 0700, comes on a port, is written by the guest, and goes', async () => {
  const before = [data, plain].map((path) => statSync(path)).map(({ uid, mode, ino }) => [uid, mode, ino]);
  const said = await done(instance, ['attach', 'shop', 'disk', 'more', plain], asAlice);
  assert.match(
    said,
    /^shop: more is attached, until the machine stops\nshop may read and write .*plain\.raw with your rights$/,
  );
  await audited();
  assert.match(
    await done(instance, 'attach shop', asAlice),
    /more +port\.0 +attached +yes +.*plain\.raw\n3 of 4 ports free$/,
  );
  const device = await named('more');
  assert.match(device, /^vd[b-z]$/);
  await shell(`printf hello | dd of=/dev/${device} conv=fsync,notrunc`);
  assert.equal(beginning(plain), 'hello');
  const gone = await done(instance, ['detach', 'shop', 'more'], asAlice);
  assert.match(gone, /^shop: more is detached\nshop may no longer open .*plain\.raw with your rights$/);
  assert.equal(await has('plain.raw'), false, 'of the disk nothing is open');
  assert.equal(
    await shell(`ls /sys/block/${device} 2>&1 || true`),
    `ls: /sys/block/${device}: No such file or directory`,
  );
  await audited();
  assert.deepEqual(
    [data, plain].map((path) => statSync(path)).map(({ uid, mode, ino }) => [uid, mode, ino]),
    before,
  );
});

test('a disk on SCSI comes with a limit and goes at once; the image is free for the next machine then', async () => {
  await done(instance, ['attach', 'shop', 'disk', 'more', data, 'bus=scsi', 'limits.iops=500'], asAlice);
  await audited();
  const device = await named('more');
  assert.match(device, /^sd[a-z]$/);
  await shell(`printf world | dd of=/dev/${device} conv=fsync,notrunc`);
  await done(instance, ['detach', 'shop', 'more'], asAlice);
  assert.equal(await has('data.qcow2'), false);
  await audited();
  const raw = join(images, 'seen.raw');
  execFileSync('qemu-img', ['convert', '-O', 'raw', data, raw]);
  assert.equal(beginning(raw), 'world');
});

test('two disks on SCSI get ids of their own; a chain comes with its images below', async () => {
  const below = image(join(homeOfAlice, 'below.qcow2'), alice);
  const above = image(join(homeOfAlice, 'above.qcow2'), alice, '-b', below, '-F', 'qcow2');
  const backing = [{ path: below, format: 'qcow2' }];
  await done(instance, ['claim', 'shop', '--rw', above, below, plain], asAlice);
  for (const disk of [
    { id: 'chain', path: above, format: 'qcow2', bus: 'scsi', backing },
    { id: 'other', path: plain, format: 'raw', bus: 'scsi' },
  ]) {
    const reply = await instance.client.call('attach', { name: 'shop', disk });
    assert.ok(reply.ok, JSON.stringify(reply));
  }
  assert.ok((await has('below.qcow2')) && (await has('above.qcow2')) && (await has('plain.raw')));
  await audited();
  assert.notEqual(await named('chain'), await named('other'));
  for (const id of ['chain', 'other']) await done(instance, ['detach', 'shop', id]);
  assert.deepEqual([...new Set(await openImages())], ['root.qcow2']);
  await audited();
});

test('what may not be a disk of the machine is refused with the rule, and nothing is changed', async () => {
  const held = await openImages();
  for (const [words, fault] of [
    [['more', '/etc/shadow', 'format=raw'], /not allowed|outside|no storage root|claim/i],
    [['more', foreign], /./],
    [['more', join(homeOfAlice, 'missing.qcow2')], /does not exist/],
    [['more', plain, 'format=qcow2'], /qcow2/],
    [['more', root], /in use by machine "shop" itself/],
    [['root', data], /has "root" already/],
    [['more', data, 'bus=sata'], /bus: virtio.*bus: scsi/],
    [['more', data, 'bus=scsi', 'controller=3'], /controller/i],
    [['more', data, 'colour=red'], /colour/],
    [['more', data, 'iothread=1'], /iothread/],
    [['More', data], /id/],
  ] as const) {
    const { status, stderr } = await instance.qward(['attach', 'shop', 'disk', ...words], asAlice);
    assert.notEqual(status, 0, words.join(' '));
    assert.match(stderr, fault, words.join(' '));
    assert.deepEqual(await openImages(), held, words.join(' '));
  }
  for (const [words, fault] of [
    [['detach', 'shop', 'never'], /has no disk "never" now\n.*it has: root/],
    [['detach', 'shop', 'root'], /sits on the board itself/],
    [['attach', 'shop', 'disk', 'never'], /has no disk "never"/],
  ] as const) {
    const { status, stderr } = await instance.qward(words, asAlice);
    assert.equal(status, 2, words.join(' '));
    assert.match(stderr, fault);
  }
  await audited();
});

test('a disk larger than what the machine may write is refused, with the key that makes room', async () => {
  const large = join(homeOfAlice, 'large.raw');
  execFileSync('truncate', ['-s', '8G', large]);
  chownSync(large, alice, alice);
  const said = await refused(instance, ['attach', 'shop', 'disk', 'large', large], asAlice);
  assert.match(said, /cannot be raised on a running process\n.*limits: \{fileSize: SIZE\}/);
});

test('an image that another machine writes is not attached, and its user is named', async () => {
  await done(instance, 'define -', {
    uid: alice,
    stdin: `name: other\naccel: tcg\nmemory: 32MiB\ndisks: [{id: d, path: ${data}, format: qcow2}]\n`,
  });
  await done(instance, 'start other', asAlice);
  const said = await refused(instance, ['attach', 'shop', 'disk', 'more', data], asAlice);
  assert.match(said, /data\.qcow2" is in use by machine "other"\n.*qward stop other/);
  assert.equal(await has('data.qcow2'), false);
  await audited();
  await done(instance, 'kill other', asAlice);
  await done(instance, ['attach', 'shop', 'disk', 'more', data], asAlice);
  await done(instance, ['detach', 'shop', 'more'], asAlice);
});

test('no operator, no stranger and no other owner attaches or detaches a disk', async () => {
  for (const words of [
    ['attach', 'shop', 'disk', 'more', foreign],
    ['detach', 'shop', 'root'],
  ])
    assert.ok([3, 4].includes((await instance.qward(words, { uid: bob })).status));
  await done(instance, 'grant shop bob operate,console', asAlice);
  for (const words of [
    ['attach', 'shop', 'disk', 'more', foreign],
    ['detach', 'shop', 'root'],
  ])
    assert.ok([3, 4].includes((await instance.qward(words, { uid: bob })).status));
  assert.equal(await has('foreign.qcow2'), false);
});

test('a full board says so', async () => {
  const spare = ['a', 'b', 'c', 'd', 'e'].map(
    (id) => [id, image(join(homeOfAlice, `${id}.qcow2`), alice)] as const,
  );
  for (const [id, path] of spare.slice(0, 4))
    await done(instance, ['attach', 'shop', 'disk', id, path], asAlice);
  const [last = ['', '']] = spare.slice(4);
  const said = await refused(instance, ['attach', 'shop', 'disk', ...last], { ...asAlice, status: 2 });
  assert.match(said, /all of its 4 ports are taken\n.*hotplug: \{ports: 8\}/);
  await audited();
  for (const [id] of spare.slice(0, 4)) await done(instance, ['detach', 'shop', id]);
});

test('the next manager knows the disks, whenever the one before was killed', async () => {
  await done(instance, ['attach', 'shop', 'disk', 'more', data], asAlice);
  process.kill(instance.daemon('manager'), 'SIGKILL');
  await instance.up();
  await audited();
  assert.match(await done(instance, 'attach shop', asAlice), /more +port\.\d +attached/);
  for (const delayMs of [0, 20, 60]) {
    const detaching = instance.qward(['detach', 'shop', 'more'], asAlice);
    await new Promise((resolve) => setTimeout(resolve, 150 + delayMs));
    process.kill(instance.daemon('manager'), 'SIGKILL');
    await detaching;
    await instance.up();
    await audited();
    const listed = await done(instance, 'attach shop', asAlice);
    if (/more/.test(listed)) await done(instance, ['detach', 'shop', 'more'], asAlice);
    assert.equal(await has('data.qcow2'), false);
    await audited();
    await done(instance, ['claim', 'shop', '--rw', data], asAlice);
    const attaching = instance.qward(['attach', 'shop', 'disk', 'more', data], asAlice);
    await new Promise((resolve) => setTimeout(resolve, 150 + delayMs));
    process.kill(instance.daemon('manager'), 'SIGKILL');
    await attaching;
    await instance.up();
    await audited();
    const now = await done(instance, 'attach shop', asAlice);
    if (!/more/.test(now)) {
      assert.equal(await has('data.qcow2'), false);
      await done(instance, ['attach', 'shop', 'disk', 'more', data], asAlice);
    }
    await audited();
  }
  await done(instance, ['detach', 'shop', 'more'], asAlice);
});

test('a disk grows while the guest runs, which sees it; it never shrinks, and never beyond its limit', async () => {
  await done(instance, ['attach', 'shop', 'disk', 'more', data], asAlice);
  const device = await named('more');
  const sectors = (): Promise<string> =>
    shell(`for i in 1 2 3 4 5; do cat /sys/block/${device}/size; sleep 0.2; done | tail -n 1`);
  assert.equal(await sectors(), String((16 * 1024 ** 2) / 512));
  const held = await openImages();
  assert.equal(await done(instance, 'resize shop more 24MiB', asAlice), 'shop: more has 24MiB, had 16MiB');
  assert.equal(await sectors(), String((24 * 1024 ** 2) / 512));
  assert.equal(await done(instance, 'resize shop more +8MiB', asAlice), 'shop: more has 32MiB, had 24MiB');
  assert.equal(await done(instance, 'resize shop more 32MiB', asAlice), 'shop: more has 32MiB already');
  await shell(`printf there | dd of=/dev/${device} bs=1M seek=30 conv=fsync,notrunc`);
  // The root disk sits on the board, and grows as well.
  assert.equal(await done(instance, 'resize shop root +1MiB', asAlice), 'shop: root has 17MiB, had 16MiB');
  for (const [words, status, fault] of [
    ['more 16MiB', 2, /only made larger\n.*--shrink/],
    ['more 1TiB', 1, /cannot be raised on a running process\n.*fileSize/],
    ['more 33000001', 2, /sectors of 512 bytes/],
    ['never 1GiB', 2, /is not there\n.*root/],
    ['more much', 2, /a size such as/],
  ] as const)
    assert.match(await refused(instance, `resize shop ${words}`, { ...asAlice, status }), fault, words);
  assert.ok(
    [3, 4].includes((await instance.qward(['resize', 'shop', 'more', '40MiB'], { uid: bob })).status),
  );
  assert.deepEqual(await openImages(), held);
  await audited();
  await done(instance, ['detach', 'shop', 'more'], asAlice);
  const { stdout } = spawnSync('qemu-img', ['info', '--output=json', data], { encoding: 'utf8' });
  assert.equal((JSON.parse(stdout) as { readonly 'virtual-size': number })['virtual-size'], 32 * 1024 ** 2);
  assert.equal(spawnSync('qemu-img', ['check', '-q', data]).status, 0);
});

test('fifty rounds leave QEMU, manager and broker with the descriptors and the memory that they had', async () => {
  await done(instance, ['claim', 'shop', '--rw', data], asAlice);
  await attachRounds(instance, { machine: 'shop', path: data, format: 'qcow2', rounds: 50 });
  await audited();
});

test('with --persist the definition has the disk, and has it no more', async () => {
  await done(instance, ['attach', 'shop', 'disk', 'kept', data, 'bus=scsi', '--persist'], asAlice);
  assert.match(await done(instance, 'show shop', asAlice), /"id":"kept"|id: kept/);
  await done(instance, 'kill shop', asAlice);
  await done(instance, 'drill shop');
  await done(instance, 'start shop', asAlice);
  await up('shop');
  assert.ok(await has('data.qcow2'));
  // One that was there at the start goes as well, and comes again as the definition has it.
  await done(instance, ['detach', 'shop', 'kept'], asAlice);
  assert.equal(await has('data.qcow2'), false);
  await audited();
  await done(instance, ['attach', 'shop', 'disk', 'kept'], asAlice);
  assert.ok(await has('data.qcow2'));
  await audited();
  await done(instance, ['detach', 'shop', 'kept', '--persist'], asAlice);
  assert.doesNotMatch(await done(instance, 'show shop', asAlice), /kept/);
});

test('a guest that does not answer keeps its disk, and is told of; the walls are as planned', async () => {
  await defineBare(instance, 'deaf');
  await done(instance, 'start deaf');
  const own = image(join(images, 'own.qcow2'));
  await done(instance, ['attach', 'deaf', 'disk', 'more', own]);
  await audited('deaf');
  const said = await refused(instance, 'detach deaf more --timeout 1s');
  assert.match(said, /did not let go of disk "more" within 1 s; it stays attached\n/);
  assert.ok(await has('own.qcow2', 'deaf'));
  await audited('deaf');
  assert.match(await refused(instance, 'detach deaf more --timeout 1s'), /did not let go/);
  await done(instance, 'pause deaf');
  assert.match(await refused(instance, 'detach deaf more'), /is paused/);
  assert.match(await refused(instance, ['attach', 'deaf', 'disk', 'x', own]), /is paused/);
  await done(instance, 'resume deaf');
  await done(instance, 'kill deaf');
  assert.match(await refused(instance, 'detach deaf more'), /does not run/);
  await done(instance, 'start deaf');
  assert.equal(await has('own.qcow2', 'deaf'), false);
});

test('what a guest lets go of unasked, or late, is closed without a word', async () => {
  await done(instance, ['attach', 'shop', 'disk', 'more', data], asAlice);
  await named('more');
  await done(instance, ['qmp', 'shop', 'device_del', '{"id":"more"}']);
  for (let times = 0; await has('data.qcow2'); times += 1) {
    assert.ok(times < 100, 'it is open still');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  await audited();
  assert.doesNotMatch(await done(instance, 'attach shop', asAlice), /more/);
});

test('on pc a disk comes into a free slot, and one of the start goes; microvm says that it has no place', async () => {
  const [first, second] = ['one', 'two'].map((id) => image(join(images, `${id}.qcow2`)));
  const definition = demoMachine({
    name: 'old',
    guest,
    disk: first ?? '',
    switches: 'qward.qemu-ga',
    more: 'agent: true\nmachine: pc',
  });
  await done(instance, 'define -', { stdin: definition });
  await done(instance, 'start old');
  await up('old');
  await done(instance, ['attach', 'old', 'disk', 'more', second ?? '']);
  assert.match(await named('more', 'old'), /^vd[b-z]$/);
  await audited('old');
  for (const id of ['more', 'root']) await done(instance, ['detach', 'old', id]);
  assert.deepEqual(await openImages('old'), []);
  await audited('old');
  await done(instance, 'kill old');
  await done(instance, 'define -', {
    stdin: demoMachine({ name: 'micro', guest: instance.guest, more: 'machine: microvm' }),
  });
  await done(instance, 'start micro');
  const said = await refused(instance, ['attach', 'micro', 'disk', 'more', second ?? ''], { status: 2 });
  assert.match(said, /microvm has no place/);
  await audited('micro');
});

test('the log of the machine says who attached and detached what', () => {
  const log = readFileSync(`${instance.paths.managerState}/logs/shop.log`, 'utf8');
  assert.match(log, /alice attached disk \\"more\\"/);
  assert.match(log, /alice detached disk \\"more\\"/);
});
