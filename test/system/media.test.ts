/** Another disc in a drive while the guest runs: by descriptor, from a home that stays closed, with every wall up throughout. */
import assert from 'node:assert/strict';
import { chownSync, readdirSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { closedHome, startWithAccounts } from '../support/accounts.ts';
import { consoleShows, defineBare, done, refused, statusOf } from '../support/driver.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { agentShell, untilAgentAnswers } from '../support/agent-shell.ts';
import { addGuestAgent } from '../support/guest-agent.ts';

const [alice, bob] = [910_000_021, 910_000_022];
const instance = await startWithAccounts([
  { name: 'alice', uid: alice },
  { name: 'bob', uid: bob },
]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['alice', 'bob'], groups: [] } });
const { images } = instance.paths;
const guest = addGuestAgent(instance.guest, join(images, 'initrd-agent.cpio'));
const asAlice = { uid: alice };

/** An image of a disc that begins with its name; only its owner may read it. */
function disc(path: string, uid = 0): string {
  writeFileSync(path, `${path.split('/').at(-1)}\n`.padEnd(1024 * 1024, '\0'), { mode: 0o600 });
  chownSync(path, uid, uid);
  return path;
}

const [homeOfAlice, homeOfBob] = [closedHome(instance, 'alice', alice), closedHome(instance, 'bob', bob)];
const own = ['first.iso', 'second.iso', 'third.iso'].map((name) => disc(join(homeOfAlice, name), alice));
const [first = '', second = '', third = ''] = own;
const foreign = disc(join(homeOfBob, 'foreign.iso'), bob);

const source = demoMachine({
  name: 'shop',
  guest,
  switches: 'qward.qemu-ga',
  more: `machine: pc\nagent: true\ncdroms: [{id: cd, path: ${first}}, {id: spare}]`,
});

before(async () => {
  await done(instance, 'define -', { uid: alice, stdin: source });
  await done(instance, 'start shop', asAlice);
  await consoleShows(instance, 'shop');
  await untilAgentAnswers(instance, 'shop');
});

const shell = (script: string): Promise<string> => agentShell(instance, 'shop', script);

/** What the guest reads at the beginning of the disc in its first drive. */
const seen = (): Promise<string> =>
  shell('for i in 1 2 3 4 5 6 7 8; do head -n 1 /dev/sr0 2>/dev/null && exit; sleep 1; done; echo nothing');

async function openDiscs(): Promise<string[]> {
  const { pid } = await statusOf(instance, 'shop');
  const links = readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
  return links.filter((path) => path.endsWith('.iso')).map((path) => path.split('/').at(-1) ?? '');
}

const audited = (): Promise<string> => done(instance, 'audit shop');

test('a disc of the owner, in a home of mode 0700, takes the place of the one before; the guest reads it', async () => {
  assert.equal(await seen(), 'first.iso');
  const before = own.map((path) => JSON.stringify(statSync(path)));
  const said = await done(instance, ['media', 'shop', 'cd', second], asAlice);
  assert.match(
    said,
    /^shop: .*second\.iso is in cd, until the machine stops\nshop may read .*second\.iso with your rights/,
  );
  assert.equal(await seen(), 'second.iso');
  assert.deepEqual(await openDiscs(), ['second.iso'], 'of the disc before nothing is open');
  await audited();
  assert.match(
    await done(instance, 'media shop', asAlice),
    /^DRIVE +TRAY +DISC\ncd +closed +.*second\.iso\nspare +closed +-$/,
  );
  const unread = (text: string): string => text.replace(/"atime[^,]*,/g, '');
  assert.deepEqual(
    own.map((path) => unread(JSON.stringify(statSync(path)))),
    before.map(unread),
  );
});

test('a disc goes into an empty drive, out again, and twice into two', async () => {
  await done(instance, ['media', 'shop', 'spare', third], asAlice);
  await done(instance, ['media', 'shop', 'cd', third], asAlice);
  assert.deepEqual(await openDiscs(), ['third.iso', 'third.iso']);
  await audited();
  await done(instance, ['media', 'shop', 'spare', '--eject'], asAlice);
  assert.deepEqual(await openDiscs(), ['third.iso']);
  assert.match(await done(instance, 'media shop', asAlice), /spare +open +-$/);
  assert.equal(await seen(), 'third.iso');
  await audited();
});

test('what may not be in a drive is refused with the rule, and the disc that is there stays', async () => {
  for (const [path, fault] of [
    ['/etc/shadow', /not allowed|outside|no storage root|claim/i],
    [foreign, /./],
    [join(homeOfAlice, 'missing.iso'), /does not exist/],
    [homeOfAlice, /directory|regular file/i],
    ['/dev/sda', /./],
  ] as const) {
    const { status, stderr } = await instance.qward(['media', 'shop', 'cd', path], asAlice);
    assert.notEqual(status, 0, path);
    assert.match(stderr, fault, path);
    assert.deepEqual(await openDiscs(), ['third.iso'], path);
  }
  for (const path of [`${homeOfAlice}/../alice/first.iso`, 'first.iso', '/proc/1/root/etc/shadow', '/a\n'])
    assert.equal(
      (await instance.client.call('setMedium', { name: 'shop', drive: 'cd', path })).ok,
      false,
      path,
    );
  assert.deepEqual(await openDiscs(), ['third.iso']);
  assert.equal(await seen(), 'third.iso');
  await audited();
});

test('no operator, no stranger and no other owner changes a disc', async () => {
  for (const words of [
    ['media', 'shop', 'cd', foreign],
    ['media', 'shop', 'cd', '--eject'],
  ]) {
    const { status, stderr } = await instance.qward(words, { uid: bob });
    assert.ok(status === 3 || status === 4, stderr);
  }
  await done(instance, 'grant shop bob start,console', asAlice);
  assert.match(await refused(instance, ['media', 'shop', 'cd', foreign], { uid: bob, status: 4 }), /right/);
  assert.deepEqual(await openDiscs(), ['third.iso']);
});

test('a guest that uses the disc keeps it, and is told to be asked; --force takes it', async () => {
  await shell('sleep 1000 </dev/sr0 >/dev/null 2>&1 &');
  const { locked } = (await drives()).find(({ drive }) => drive === 'cd') ?? {};
  assert.equal(locked, true);
  const said = await refused(instance, ['media', 'shop', 'cd', first], asAlice);
  assert.match(said, /keeps the disc in drive "cd".*within 10 s\n.*--force/);
  assert.deepEqual(await openDiscs(), ['third.iso']);
  await audited();
  await done(instance, ['media', 'shop', 'cd', first, '--force'], asAlice);
  assert.deepEqual(await openDiscs(), ['first.iso']);
  await shell('kill $(pidof sleep) || true');
  assert.equal(await seen(), 'first.iso');
});

async function drives() {
  const reply = await instance.client.call('media', { name: 'shop' });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result.drives;
}

test('the next manager knows the disc that is in the drive, and audits the machine with it', async () => {
  process.kill(instance.daemon('manager'), 'SIGKILL');
  await instance.up();
  assert.equal((await statusOf(instance, 'shop')).state, 'running');
  assert.match((await drives())[0]?.path ?? '', /first\.iso$/);
  await audited();
  await done(instance, ['media', 'shop', 'cd', second], asAlice);
  assert.deepEqual(await openDiscs(), ['second.iso']);
  await audited();
});

test('forty changes leave QEMU, manager and broker with the descriptors that they had', async () => {
  const { pid } = await statusOf(instance, 'shop');
  await done(instance, ['claim', 'shop', first, second], asAlice);
  const count = (): number[] =>
    [pid ?? 0, instance.daemon('manager'), instance.daemon('broker')].map(
      (process) => readdirSync(`/proc/${process}/fd`).length,
    );
  const put = async (path: string): Promise<void> => {
    const reply = await instance.client.call('setMedium', { name: 'shop', drive: 'cd', path });
    assert.ok(reply.ok, JSON.stringify(reply));
  };
  await put(first);
  const [qemu, manager = 0, broker = 0] = count();
  for (let round = 0; round < 20; round += 1) for (const path of [second, first]) await put(path);
  const after = count();
  assert.equal(after[0], qemu);
  assert.ok((after[2] ?? 0) <= broker + 1, `${broker}, then ${after[2]}`);
  assert.ok((after[1] ?? 0) <= manager + 4, `${manager}, then ${after[1]}`);
});

test('without --persist the definition keeps its disc; with it, it changes too', async () => {
  await done(instance, ['media', 'shop', 'cd', third], asAlice);
  assert.match(await done(instance, 'show shop', asAlice), /first\.iso/);
  await done(instance, ['media', 'shop', 'spare', second, '--persist'], asAlice);
  assert.match(await done(instance, 'show shop', asAlice), /id: spare, path: .*second\.iso/);
  await done(instance, 'kill shop', asAlice);
  await done(instance, 'start shop', asAlice);
  assert.deepEqual((await openDiscs()).toSorted(), ['first.iso', 'second.iso']);
  await audited();
});

test('a machine without the drive, and one that does not run, are told so', async () => {
  assert.match(
    await refused(instance, ['media', 'shop', 'no', first], { ...asAlice, status: 2 }),
    /has no drive "no" for discs\n.*cd, spare/,
  );
  await defineBare(instance, 'plain');
  assert.match(await refused(instance, 'media plain'), /does not run/);
  assert.match(await refused(instance, ['media', 'shop', 'cd'], { status: 2 }), /DRIVE and FILE expected/);
  assert.match(await refused(instance, ['media', 'shop', 'cd', first, '--eject'], { status: 2 }), /exclude/);
});
