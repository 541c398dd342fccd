/** Promise 7 on the command line: an image of a machine that runs is left alone by every `qward disk`, and each sees what is theirs. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
} from 'node:fs';
import { after, test } from 'node:test';
import type { CallResult } from '../../src/api/calls.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { bareMachine, define, disk, done, refused } from '../support/driver.ts';

const [alice, bob, operator] = [910_000_031, 910_000_032, 910_000_033];
const instance = await startWithAccounts([
  { name: 'alice', uid: alice },
  { name: 'bob', uid: bob },
  { name: 'oscar', uid: operator, groups: ['qward-operators'] },
]);
after(() => instance[Symbol.asyncDispose]());
const { images } = instance.paths;
const shared = `${instance.directory}/shared`;
const policy = {
  define: { users: ['alice', 'bob'], groups: [] },
  storageRoots: [
    { path: images, access: 'rw' },
    { path: shared, access: 'rw', who: { users: ['alice'], groups: [] } },
  ],
};
mkdirSync(shared, { mode: 0o700 });
instance.writePolicy(policy);

function home(user: 'alice' | 'bob'): string {
  const path = `${instance.directory}/${user}`;
  const uid = user === 'alice' ? alice : bob;
  mkdirSync(path, { mode: 0o700 });
  chownSync(path, uid, uid);
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', `${path}/own.qcow2`, '8M']);
  chownSync(`${path}/own.qcow2`, uid, uid);
  chmodSync(`${path}/own.qcow2`, 0o600);
  return path;
}
const [hers, his] = [home('alice'), home('bob')];

const image = (name: string): string => `${images}/${name}`;
const qemuImg = (...words: string[]): void => void execFileSync('qemu-img', words, { stdio: 'ignore' });
qemuImg('create', '-f', 'qcow2', image('base.qcow2'), '8M');
qemuImg('create', '-f', 'qcow2', '-b', image('base.qcow2'), '-F', 'qcow2', image('web.qcow2'));
qemuImg('snapshot', '-c', 'first', image('web.qcow2'));
qemuImg('create', '-f', 'qcow2', '-b', image('base.qcow2'), '-F', 'qcow2', image('free.qcow2'));
linkSync(image('web.qcow2'), image('alias.qcow2'));

/** Every way to name the image that the machine writes, and the one below it that it reads. */
const ofWritten = (path: string): readonly string[] => [
  `info ${path}`,
  `create ${image('new.qcow2')} --backing ${path} --backing ${image('base.qcow2')}`,
  `resize ${path} +8MiB --backing ${image('base.qcow2')}`,
  `convert ${path} ${image('new.raw')} --backing ${image('base.qcow2')}`,
  `convert ${image('free.qcow2')} ${image('new.raw')} --backing ${path}`,
  `import ${path} ${image('new.qcow2')}`,
  `check ${path}`,
  `check ${path} --repair all`,
  `rebase ${path} --backing ${image('base.qcow2')}`,
  `rebase ${path} --metadata-only --onto ${image('base.qcow2')}`,
  `rebase ${image('free.qcow2')} --backing ${image('base.qcow2')} --onto ${path} --onto ${image('base.qcow2')}`,
  `commit ${path} --backing ${image('base.qcow2')}`,
  `snapshot list ${path}`,
  `snapshot create ${path} second`,
  `snapshot revert ${path} first`,
  `snapshot rm ${path} first`,
];
const ofRead = [
  `resize ${image('base.qcow2')} +8MiB`,
  `check ${image('base.qcow2')} --repair leaks`,
  `rebase ${image('base.qcow2')} --metadata-only`,
  `commit ${image('free.qcow2')} --backing ${image('base.qcow2')}`,
  `snapshot create ${image('base.qcow2')} one`,
];

/** Of all that no job may change. */
const content = (): readonly string[] =>
  ['base.qcow2', 'web.qcow2', 'free.qcow2'].map((name) =>
    createHash('sha256')
      .update(readFileSync(image(name)))
      .digest('hex'),
  );

async function allRefused(commands: readonly string[]): Promise<void> {
  const before = [content(), readdirSync(images).toSorted()];
  for (const words of commands) {
    const said = await refused(instance, `disk ${words}`);
    assert.match(said, /"DIR\/\S+" is in use by machine "web"\n {2}stop it first: `qward stop web`/, words);
  }
  assert.deepEqual([content(), readdirSync(images).toSorted()], before);
}

test('an image of a running machine is refused by every call, by each of its names, also to a new manager', async () => {
  const chain = `    backing: [{ path: ${image('base.qcow2')}, format: qcow2 }]`;
  await define(instance, bareMachine('web', disk(image('web.qcow2'), 'qcow2', chain)));
  await done(instance, 'start web');
  await allRefused([...ofWritten(image('web.qcow2')), ...ofRead]);
  await allRefused([`info ${image('alias.qcow2')}`, `snapshot rm ${image('alias.qcow2')} first`]);
  process.kill(instance.daemon('manager'), 'SIGKILL');
  await instance.up();
  await allRefused([`resize ${image('alias.qcow2')} +8MiB --backing ${image('base.qcow2')}`, ...ofRead]);
  // What harms nobody is done: a look that may be of different moments, and reading what is only read.
  await done(instance, `disk info --shared ${image('web.qcow2')}`);
  await done(instance, `disk convert ${image('base.qcow2')} ${image('copy.qcow2')}`);
  // The name of what an image stands on is written, and nothing of that is read.
  await done(instance, `disk rebase ${image('copy.qcow2')} --metadata-only --onto ${image('web.qcow2')}`);
  await done(instance, 'kill web');
  for (const words of ofRead.slice(0, 2)) await done(instance, `disk ${words}`);
  await done(instance, `disk snapshot rm ${image('alias.qcow2')} first`);
});

test('a user who may not see the machine is told that the image is in use, and not by which', async () => {
  const path = `${his}/lent.qcow2`;
  copyFileSync(`${his}/own.qcow2`, path);
  chownSync(path, bob, bob);
  const open = `${instance.directory}/open.qcow2`;
  linkSync(path, open);
  chmodSync(open, 0o666);
  await done(instance, 'define -', { uid: bob, stdin: bareMachine('secret', disk(path)) });
  await done(instance, 'start secret', { uid: bob });
  const said = await refused(instance, `disk check ${open} --repair all`, { uid: alice });
  assert.match(said, /is in use by a machine of another user\n {2}wait until it is stopped/);
  assert.doesNotMatch(said, /secret/);
  await done(instance, 'kill secret', { uid: bob });
  await done(instance, 'rm secret', { uid: bob });
});

test("the list: an owner's files and roots, an operator's machines, and nothing of others", async () => {
  const asJson = async (uid?: number): Promise<CallResult<'disks'>> =>
    JSON.parse(
      await done(instance, 'disk list --json', uid === undefined ? {} : { uid }),
    ) as CallResult<'disks'>;
  await done(instance, 'define -', { uid: alice, stdin: bareMachine('hers', disk(`${hers}/own.qcow2`)) });
  await done(instance, 'define -', { uid: bob, stdin: bareMachine('his', disk(`${his}/own.qcow2`)) });
  await done(instance, 'start hers', { uid: alice });
  const [own, others, all, operated] = [
    await asJson(alice),
    await asJson(bob),
    await asJson(),
    await asJson(operator),
  ];
  assert.deepEqual(own.files, [
    { path: `${hers}/own.qcow2`, usedBy: [{ machine: 'hers', access: 'rw', running: true }] },
  ]);
  assert.deepEqual(others.files, [
    { path: `${his}/own.qcow2`, usedBy: [{ machine: 'his', access: 'rw', running: false }] },
  ]);
  const roots = ({ roots }: CallResult<'disks'>): readonly string[] => roots.map(({ path }) => path);
  assert.deepEqual(
    [roots(own), roots(others)],
    [[shared], []],
    'a root that names the user is told, no other is',
  );
  assert.deepEqual([roots(all), roots(operated)], [[images, shared], [images]]);
  assert.deepEqual(
    all.files.map(({ path }) => path).toSorted(),
    [`${hers}/own.qcow2`, `${his}/own.qcow2`].toSorted(),
  );
  assert.deepEqual(operated.files, all.files);
  const [listed] = all.roots;
  assert.ok((listed?.free ?? 0) > 0 && (listed?.total ?? 0) > (listed?.free ?? 0));
  const base = listed?.images.find(({ path }) => path === image('base.qcow2'));
  assert.deepEqual(base?.usedBy, [{ machine: 'web', access: 'ro', running: false }]);
  assert.match(await done(instance, 'disk list', { uid: alice }), /own\.qcow2 +hers \*/);
  await done(instance, 'kill hers', { uid: alice });
  assert.equal(statSync(`${hers}/own.qcow2`).mode & 0o777, 0o600);
});
