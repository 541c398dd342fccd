/** Files of one's own: a user's home of mode 0700 just works, nothing in it changes, and nobody else's machine gets it. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, test } from 'node:test';
import type { Claim } from '../../src/protocol/claims.ts';
import type { FileProbe } from '../../src/protocol/broker.ts';
import { isOwnRule, ownRules } from '../../src/protocol/rules.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { askBroker } from '../support/broker.ts';
import { demoMachine } from '../support/demo-machine.ts';
import {
  bareMachine,
  consoleShows,
  disk,
  done,
  nextEvent,
  processesOf,
  refused,
  remains,
  statusOf,
} from '../support/driver.ts';
import { makeImage } from '../support/test-launch.ts';
import { sendKill } from '../support/send-kill.ts';

const [alice, bob, operator] = [910_000_011, 910_000_012, 910_000_013];
const instance = await startWithAccounts([
  { name: 'alice', uid: alice },
  { name: 'bob', uid: bob },
  { name: 'oscar', uid: operator, groups: ['qward-operators'] },
]);
after(() => instance[Symbol.asyncDispose]());

const { images } = instance.paths;
const basePolicy = { define: { users: ['alice', 'bob'], groups: [] } };
instance.writePolicy(basePolicy);

const homes = `${instance.directory}/home`;
const home = (user: string, file: string): string => `${homes}/${user}/${file}`;
mkdirSync(homes, { mode: 0o755 });
for (const [user, uid] of [
  ['alice', alice],
  ['bob', bob],
] as const) {
  mkdirSync(`${homes}/${user}`);
  chownSync(`${homes}/${user}`, uid, uid);
  chmodSync(`${homes}/${user}`, 0o700);
}

/** A file of the user's that nobody else may open. */
function own(user: string, file: string, make: (path: string) => void): string {
  const path = home(user, file);
  make(path);
  const uid = user === 'alice' ? alice : bob;
  chownSync(path, uid, uid);
  chmodSync(path, 0o600);
  return path;
}

const image = (user: string, file: string): string =>
  own(user, file, (path) => makeImage(path, 'qcow2', '64M'));

async function claimsOf(uid: number, machine: string): Promise<string[]> {
  const listed = JSON.parse(await done(instance, `claims ${machine} --json`, { uid })) as Claim[];
  return listed.map(({ path, access }) => `${access} ${path}`).sort();
}

const kernel = own('alice', 'vmlinuz', (path) => copyFileSync(instance.guest.kernel, path));
const initrd = own('alice', 'initrd', (path) => copyFileSync(instance.guest.initrd, path));
const written = ['root.qcow2'];
const readOnly = ['base.qcow2', 'data.raw', 'install.iso', 'vmlinuz', 'initrd'];

/** Each file, and the home itself. */
function look(): Record<string, unknown> {
  const of = (name: string): unknown => {
    const path = home('alice', name);
    const { uid, gid, mode, ino, nlink, mtimeMs, ctimeMs } = statSync(path);
    const times = written.includes(name) ? {} : { mtimeMs, ctimeMs };
    const acl = execFileSync('getfacl', ['-np', path], { encoding: 'utf8' });
    const labels = execFileSync('getfattr', ['-d', '-m', '-', '--absolute-names', path], {
      encoding: 'utf8',
    });
    return { uid, gid, mode, ino, nlink, ...times, acl, labels };
  };
  const names = ['', ...written, ...readOnly];
  return {
    ...Object.fromEntries(names.map((name) => [name, of(name)])),
    list: readdirSync(`${homes}/alice`).sort(),
  };
}

test('a machine of images in a home that is closed to all others: nothing in it changes, whatever dies', async () => {
  const base = image('alice', 'base.qcow2');
  const root = own('alice', 'root.qcow2', (path) =>
    execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', path]),
  );
  const data = own('alice', 'data.raw', (path) => makeImage(path, 'raw'));
  const iso = own('alice', 'install.iso', (path) => makeImage(path, 'raw'));
  execFileSync('setfacl', ['-m', 'user:6000001:r', data]);
  execFileSync('setfattr', ['-n', 'user.qward-test', '-v', 'a label', iso]);
  const source = demoMachine({
    name: 'web',
    guest: { ...instance.guest, kernel, initrd },
    switches: 'qward.counter',
    more: [
      'disks:',
      `  - { id: root, path: ${root}, format: qcow2, backing: [{ path: ${base}, format: qcow2 }] }`,
      `  - { id: data, path: ${data}, format: raw, readonly: true }`,
      `cdroms: [{ id: install, path: ${iso} }]`,
    ].join('\n'),
  });
  const before = look();
  const same = (when: string): void => assert.deepEqual(look(), before, when);
  const as = { uid: alice };

  assert.match(await done(instance, 'define -', { ...as, stdin: source }), /^web: defined/);
  same('defined');
  assert.deepEqual(
    await claimsOf(alice, 'web'),
    [`ro ${base}`, `ro ${data}`, `ro ${initrd}`, `ro ${iso}`, `ro ${kernel}`, `rw ${root}`].sort(),
  );
  await done(instance, 'explain web', as);
  await done(instance, 'start web', as);
  await consoleShows(instance, 'web', 'counter 1');
  await done(instance, 'audit web', as);
  same('while the guest writes');
  assert.equal(await done(instance, 'stop web', as), 'web: shut down');
  same('shut down');

  await done(instance, 'start web', as);
  const crash = await nextEvent(instance, ({ event }) => event === 'machine.crashed');
  sendKill((await statusOf(instance, 'web')).pid);
  await crash.arrived;
  same('QEMU was killed');

  await done(instance, 'start web', as);
  for (const daemon of ['broker', 'manager'] as const) {
    process.kill(instance.daemon(daemon), 'SIGKILL');
    await instance.up();
    assert.equal((await statusOf(instance, 'web')).state, 'running');
    await done(instance, 'audit web', as);
    same(`the ${daemon} was killed`);
  }
  for (const daemon of ['broker', 'manager'] as const) process.kill(instance.daemon(daemon), 'SIGKILL');
  sendKill(processesOf(instance, 'web')[0]);
  await instance.up();
  assert.match(await done(instance, 'wait web', as), /^web: (?:crashed|stopped)$/);
  same('everything was killed');
  assert.deepEqual(remains(instance, 'web'), []);

  await done(instance, 'rm web', as);
  assert.deepEqual(await claimsOf(alice, 'web'), []);
  same('removed');
});

test("a definition that names what is not its user's is refused with the rule that refuses it", async () => {
  const theirs = image('alice', 'private.qcow2');
  const open = `${homes}/hers.raw`;
  makeImage(open, 'raw');
  chownSync(open, alice, alice);
  chmodSync(open, 0o600);
  const link = home('bob', 'link.qcow2');
  symlinkSync(theirs, link);
  execFileSync('mkfifo', [home('bob', 'fifo')]);
  chownSync(home('bob', 'fifo'), bob, bob);
  const by = {
    '/etc/shadow': ['owner-rights', 1],
    [theirs]: ['owner-rights', 1],
    [open]: ['owner-rights', 1],
    [link]: ['no-links', 1],
    [home('bob', 'fifo')]: ['regular-files', 1],
    [home('bob', '../hers.raw')]: ['plain-paths', 2],
    [`${images}/../../../../etc/shadow`]: ['plain-paths', 2],
    '/proc/1/root/etc/shadow': ['kernel-files', 4],
    '/proc/self/fd/3': ['kernel-files', 4],
    '/dev/sda': ['blockDevices', 4],
    [`${instance.paths.vars}/web.qcow2`]: ['own-files', 4],
    [instance.paths.policy]: ['own-files', 4],
  } as const;
  const directory = `${instance.directory}/thief`;
  mkdirSync(directory);
  for (const [path, [rule, status]] of Object.entries(by)) {
    const stdin = bareMachine('thief', disk(path, 'raw'));
    const words = new RegExp(isOwnRule(rule) ? `^  ${rule}: ${ownRules[rule]}$` : `\\(${rule}\\)$`, 'm');
    const json = await instance.qward(['define', '-', '--json'], { uid: bob, stdin });
    assert.equal(json.status, status, path);
    const { faults } = JSON.parse(json.stderr) as { faults: { rule?: string }[] };
    assert.deepEqual(
      faults.map((fault) => fault.rule),
      [rule],
      path,
    );
    writeFileSync(`${directory}/thief.yaml`, stdin);
    assert.match(await refused(instance, ['apply', directory], { uid: bob, status }), words, path);
    assert.deepEqual(await claimsOf(bob, 'thief'), []);
  }
  await refused(instance, 'status thief', { uid: bob, status: 3 });
  const history = await done(instance, 'history --refused --user bob');
  for (const rule of ['owner-rights', 'no-links', 'regular-files', 'own-files'])
    assert.match(history, new RegExp(`bob .* define .* thief .* refused \\(.*${rule}\\)`));
});

test("what an administrator names is refused by the policy's rules", async () => {
  for (const path of ['/etc/shadow', home('alice', 'private.qcow2'), '/dev/sda', '/proc/1/root/etc/shadow']) {
    const stdin = bareMachine('taken', disk(path, 'raw'));
    const rule = path.startsWith('/dev/') ? 'blockDevices' : 'storageRoots';
    const said = await refused(instance, 'define -', { stdin, status: 4 });
    assert.match(said, new RegExp(`\\(${rule}\\)$`, 'm'));
  }
  await refused(instance, 'status taken', { status: 3 });
});

test('an operator defines nothing', async () => {
  const said = await refused(instance, 'define -', { uid: operator, status: 4, stdin: bareMachine('mine') });
  assert.match(said, /oscar/);
});

test('a claim that was taken back keeps the machine from starting, with the cure; defining it again cures it', async () => {
  const path = image('alice', 'cured.qcow2');
  const source = bareMachine('cured', disk(path));
  await done(instance, 'define -', { uid: alice, stdin: source });
  await done(instance, ['unclaim', 'cured', path], { uid: alice });
  const said = await refused(instance, 'start cured', { uid: alice, status: 4 });
  assert.match(said, /did not claim/);
  assert.match(said, /as alice: qward claim cured ".*cured\.qcow2" --rw, or define the machine anew/);
  await done(instance, 'define --replace -', { uid: alice, stdin: source });
  await done(instance, 'start cured', { uid: alice });
  await done(instance, 'kill cured', { uid: alice });
  await done(instance, 'rm cured', { uid: alice });
});

test("a manager that was taken over uses a user's claim for that user's machine alone", async () => {
  const path = image('alice', 'lent.qcow2');
  await done(instance, 'define -', { uid: alice, stdin: bareMachine('lent', disk(path)) });
  await done(instance, 'define -', { uid: bob, stdin: bareMachine('other') });
  const ask = async (machine: string, claimant: number | null, file = path): Promise<boolean> => {
    const paths = [{ path: file, access: 'ro', claimant }];
    const reply = await askBroker<readonly FileProbe[]>(instance.paths.brokerSocket, {
      v: 1,
      call: 'probe',
      machine,
      paths,
      head: 1024,
    });
    return reply.ok && reply.result[0]?.ok === true;
  };
  assert.equal(await ask('lent', alice), true);
  assert.equal(await ask('other', alice), false);
  assert.equal(await ask('other', bob), false);
  assert.equal(await ask('lent', bob), false);
  assert.equal(await ask('lent', null), false);
  assert.equal(await ask('lent', alice, home('alice', 'private.qcow2')), false);
  await done(instance, 'rm lent', { uid: alice });
  assert.equal(await ask('lent', alice), false);
  await done(instance, 'rm other', { uid: bob });
});

test('claims follow the definition: set, edit, clone and rename', async () => {
  const [one, two, three] = ['one', 'two', 'three'].map((name) => image('alice', `${name}.qcow2`)) as [
    string,
    string,
    string,
  ];
  const as = { uid: alice };
  await done(instance, 'define -', { ...as, stdin: bareMachine('first', disk(one)) });
  await done(instance, ['set', 'first', `disks.root.path=${two}`], as);
  assert.deepEqual(await claimsOf(alice, 'first'), [`rw ${two}`]);
  await done(instance, 'edit first', { ...as, env: { EDITOR: `sed -i s,${two},${one},` } });
  assert.deepEqual(await claimsOf(alice, 'first'), [`rw ${one}`]);
  await done(instance, ['clone', 'first', 'second', '--disk', `root=${three}`], as);
  assert.deepEqual(await claimsOf(alice, 'second'), [`rw ${three}`]);
  await done(instance, 'rename second third', as);
  assert.deepEqual(await claimsOf(alice, 'second'), []);
  assert.deepEqual(await claimsOf(alice, 'third'), [`rw ${three}`]);
  await done(instance, 'start third', as);
  await done(instance, 'kill third', as);
  await done(instance, 'rm first third', as);
});

test('an owner applies a directory: files of their own, claims as the files say, and only own machines are pruned', async () => {
  const [one, two] = [image('alice', 'apply1.qcow2'), image('alice', 'apply2.qcow2')] as const;
  const directory = `${homes}/alice/machines`;
  mkdirSync(directory);
  chownSync(directory, alice, alice);
  const write = (name: string, ...more: string[]): void =>
    writeFileSync(`${directory}/${name}.yaml`, bareMachine(name, ...more));
  const as = { uid: alice };
  const apply = (...words: string[]): Promise<string> => done(instance, ['apply', directory, ...words], as);
  await done(instance, 'define -', { uid: bob, stdin: bareMachine('bobs') });
  write('first', disk(one));
  write('second', disk(two));
  assert.match(await apply('--dry-run'), /first: would be defined\n.*second: would be defined/s);
  assert.deepEqual(await claimsOf(alice, 'first'), []);
  assert.match(await apply(), /first: defined\n.*may read and write .*apply1\.qcow2 with your rights/s);
  assert.deepEqual(
    [await claimsOf(alice, 'first'), await claimsOf(alice, 'second')],
    [[`rw ${one}`], [`rw ${two}`]],
  );
  await done(instance, 'start first', as);
  await done(instance, 'kill first', as);

  // What was taken back is claimed again, though no definition changed; with one fault nothing is done.
  await done(instance, ['unclaim', 'first', one], as);
  write('second', disk('/etc/shadow', 'raw'));
  write('third');
  const said = await refused(instance, ['apply', directory], as);
  assert.match(said, /second\.yaml: disk "root": user alice may not write "\/etc\/shadow"/);
  assert.deepEqual(await claimsOf(alice, 'second'), [`rw ${two}`]);
  write('second', disk(two, 'qcow2', '    readonly: true'));
  assert.match(await apply(), /first: unchanged.*second: changed/s);
  assert.deepEqual(
    [await claimsOf(alice, 'first'), await claimsOf(alice, 'second')],
    [[`rw ${one}`], [`ro ${two}`]],
  );

  // Another's machine is neither changed nor pruned nor seen.
  unlinkSync(`${directory}/third.yaml`);
  unlinkSync(`${directory}/second.yaml`);
  const pruned = await apply('--prune', '--yes');
  assert.match(pruned, /second: removed/);
  assert.doesNotMatch(pruned, /bobs/);
  assert.deepEqual(await claimsOf(alice, 'second'), []);
  write('bobs');
  assert.match(await refused(instance, ['apply', directory], as), /the name "bobs" is taken/);
  assert.equal((await statusOf(instance, 'bobs')).state, 'stopped');
  await done(instance, 'rm first', as);
  await done(instance, 'rm bobs', { uid: bob });
});

test("images of the administrator: by the user's own rights, or because `who` names the user", async () => {
  const iso = `${images}/install.iso`;
  makeImage(iso, 'raw');
  chmodSync(iso, 0o600);
  const source = bareMachine('disc', `cdroms: [{ id: c, path: ${iso} }]`);
  const as = { uid: alice };
  const said = await refused(instance, 'define -', { ...as, stdin: source });
  assert.match(said, /CD-ROM drive "c".*DIR\/install\.iso/);
  instance.writePolicy({
    ...basePolicy,
    storageRoots: [{ path: images, access: 'ro', who: { users: ['alice'], groups: [] } }],
  });
  await done(instance, 'define -', { ...as, stdin: source });
  await done(instance, 'start disc', as);
  await done(instance, 'kill disc', as);
  const other = await refused(instance, 'define -', { uid: bob, stdin: source.replace('disc', 'disc2') });
  assert.match(other, /DIR\/install\.iso/);
  instance.writePolicy(basePolicy);
  await refused(instance, 'start disc', as);
  chmodSync(iso, 0o644);
  chmodSync(images, 0o755);
  await done(instance, 'start disc', as);
  await done(instance, 'kill disc', as);
  await done(instance, 'rm disc', as);
});

test('a quota bounds what is defined and what runs, and says which rule, what is used and what would be needed', async () => {
  const who = { users: ['alice'], groups: [] };
  const as = { uid: alice };
  const MiB = 1024 ** 2;
  instance.writePolicy({ ...basePolicy, quotas: [{ who, machines: 2, memory: 80 * MiB, disk: 100 * MiB }] });
  await done(instance, 'define -', { ...as, stdin: bareMachine('a1', disk(image('alice', 'a1.qcow2'))) });
  await done(instance, 'define -', { ...as, stdin: bareMachine('a2') });
  const third = await refused(instance, 'define -', { ...as, status: 4, stdin: bareMachine('a3') });
  assert.match(third, /2 machines; 2 machines are used, and 3 machines would be needed/);
  assert.match(third, /64 MiB of memory are used, and 96 MiB of memory would be needed/);
  assert.match(third, /quotas\[0\]/);
  await refused(instance, ['set', 'a2', 'memory=64MiB'], { ...as, status: 4 });
  await refused(instance, ['clone', 'a2', 'a4'], { ...as, status: 4 });
  const disks = bareMachine('a2', disk(image('alice', 'a2.qcow2')));
  assert.match(
    await refused(instance, 'define --replace -', { ...as, status: 4, stdin: disks }),
    /64 MiB of disks are used, and 128 MiB of disks would be needed/,
  );
  assert.deepEqual(await claimsOf(alice, 'a2'), []);
  assert.match(
    await done(instance, 'info', as),
    /machines 2 of 2, memory 64MiB of 80MiB, disk 64MiB of 100MiB/,
  );
  await done(instance, 'define -', { uid: bob, stdin: bareMachine('b1') });
  instance.writePolicy({ ...basePolicy, quotas: [{ who, memory: 40 * MiB }] });
  await done(instance, 'start a1', as);
  assert.match(await refused(instance, 'start a2', { ...as, status: 4 }), /quotas\[0\]/);
  await done(instance, 'kill a1', as);
  await done(instance, 'start a2', as);
  await done(instance, 'kill a2', as);
  instance.writePolicy(basePolicy);
  await done(instance, 'rm a1 a2', as);
  await done(instance, 'rm b1', { uid: bob });
});
