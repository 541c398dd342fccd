/**
 * Promise 2, rule images: whatever an image says of itself, no path of qward gives away a file, memory, time or a process: as a disk
 * to read and to write (what is of another format given as raw, which is refused), attached, as a disc, and by every image job.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { makeAttackImages, type AttackImage } from '../support/attack-images.ts';
import { asUser } from '../support/as-user.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { run } from '../support/instance.ts';
import { granted } from '../support/small-machine.ts';
import type { Reply } from '../../src/api/client.ts';

const user = 910_100_002;
const instance = await startWithAccounts([{ name: 'maker', uid: user }]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['maker'], groups: [] }, ceilings: { fileSize: 1024 ** 4 } });
const { images } = instance.paths;

const words = 'qward-secret-5e1f0c';
const secret = `${instance.directory}/secret`;
writeFileSync(secret, `${words}\n`.repeat(1000), { mode: 0o600 });
const attacks = makeAttackImages(images, secret);
rmSync(`${images}/data.bin`, { force: true });

const qemuImg = (...args: string[]): void => void execFileSync('qemu-img', args);

interface Tried {
  readonly ok: boolean;
  readonly told: string;
  readonly ms: number;
}

async function timed(work: () => Promise<Reply<unknown>>): Promise<Tried> {
  const begun = performance.now();
  const reply = await work();
  return { ok: reply.ok, told: JSON.stringify(reply), ms: performance.now() - begun };
}

/** The command line as this user. */
async function qward(args: readonly string[], uid: number): Promise<Tried> {
  const begun = performance.now();
  const argv = [...asUser({ uid }), ...instance.program, ...args];
  const { status, stdout, stderr } = await run(argv, instance.environment);
  return { ok: status === 0, told: `${stdout}${stderr}`, ms: performance.now() - begun };
}

/** Longest that any attack may take; each is over in a second where nothing else runs. */
const patienceMs = 45_000;

function harmless(attack: AttackImage, what: string, { ok, told, ms }: Tried): void {
  assert.ok(!told.includes(words), `${attack.name}: ${what}: ${told}`);
  assert.ok(!/root:[*!$x]/.test(told), `${attack.name}: ${what}: ${told}`);
  assert.ok(ms < patienceMs, `${attack.name}: ${what} took ${ms} ms`);
  if (!ok)
    assert.doesNotMatch(
      told,
      /"internal"|fault of qward itself|broker-unreachable/,
      `${attack.name}: ${what}`,
    );
}

function noTargetWithSecret(path: string): void {
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch {
    return;
  }
  assert.ok(!bytes.includes(words), `${path} has the secret`);
  rmSync(path);
}

const daemons = { broker: instance.daemon('broker'), manager: instance.daemon('manager') };

function nothingLeft(): void {
  assert.deepEqual(readdirSync(instance.paths.machines), []);
  assert.deepEqual(
    readdirSync(images).filter((name) => name.includes('.qward-disk-')),
    [],
  );
  for (const [name, pid] of Object.entries(daemons))
    assert.ok(statSync(`/proc/${pid}`).isDirectory(), `${name} lives`);
}

const disks = await instance.client.disks();

/** As a disk of a machine there are raw and qcow2: what has another format would be given as raw. */
const asDisk = ({ format }: AttackImage): 'raw' | 'qcow2' => (format === 'qcow2' ? 'qcow2' : 'raw');

/** Those, and what must be refused anyway, no machine gets: of a format that is none of a disk it is told so. */
function mustFail(attack: AttackImage, what: string, { ok, told }: Tried): void {
  if (asDisk(attack) !== attack.format) assert.match(told, /"image-format"/, `${attack.name}: ${what}`);
  if (attack.refused) assert.ok(!ok, `${attack.name}: ${what} was not refused`);
}

/** Beside its log QEMU has this image open, or no file at all. */
async function opensNothingElse(name: string, { path }: AttackImage): Promise<void> {
  const { pid } = granted(await instance.client.call('status', { name }));
  const open = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
  const files = open.filter((target) => target.startsWith('/') && !/^\/(?:dev|memfd:)/.test(target));
  const known = [path, `${instance.paths.machines}/${name}/log`];
  assert.deepEqual(
    files.filter((target) => !known.includes(target)),
    [],
  );
}

type Attempt = readonly [what: string, work: () => Promise<Reply<unknown>>];

/** Everything that reads the image, at once, and then everything that writes it. */
function attemptsOn({ path, format }: AttackImage): readonly (readonly Attempt[])[] {
  const image = { path, format: format === 'raw' ? 'raw' : 'qcow2' } as const;
  const files = [{ path, access: 'rw' }] as const;
  const below = { path: `${images}/below.raw`, format: 'raw' } as const;
  qemuImg('create', '-q', '-f', 'raw', below.path, '8M');
  const top = { path: `${images}/top.qcow2`, format: 'qcow2' } as const;
  qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', path, '-F', image.format, top.path, '8M');
  const over = { path: `${images}/over.qcow2`, format: 'qcow2' } as const;
  const alone = { path: `${images}/alone.qcow2`, format: 'qcow2' } as const;
  qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', path, '-F', image.format, over.path, '8M');
  qemuImg('create', '-q', '-f', 'qcow2', alone.path, '8M');
  const above = { ...over, backing: [image] };
  const aboveFiles = [...files, { path: over.path, access: 'rw' }] as const;
  const both = [...files, { path: below.path, access: 'rw' }, { path: top.path, access: 'rw' }] as const;
  const to = (name: string) => ({ path: `${images}/${name}.raw`, format: 'raw' }) as const;
  return [
    [
      ['info', () => disks.run('diskInfo', { path }, { files })],
      ['info as said', () => disks.run('diskInfo', { path, format, shared: true }, { files })],
      [
        'import',
        () => disks.run('diskImport', { source: { path, format }, target: to('imported') }, { files }),
      ],
      ['convert', () => disks.run('diskConvert', { image, target: to('converted') }, { files })],
    ],
    [
      [
        'create above',
        () =>
          disks.run(
            'diskCreate',
            { target: { path: `${images}/made.qcow2`, format: 'qcow2' }, backing: [image] },
            { files },
          ),
      ],
      [
        'convert above',
        () => disks.run('diskConvert', { image: above, target: to('flattened') }, { files: aboveFiles }),
      ],
      [
        'rebase onto',
        () =>
          disks.run(
            'diskRebase',
            { image: alone, onto: [image] },
            { files: [...files, { path: alone.path, access: 'rw' }] },
          ),
      ],
    ],
    [['check above', () => disks.run('diskCheck', { path: over.path }, { files: aboveFiles })]],
    [
      [
        'resize above',
        () => disks.run('diskResize', { image: above, size: 16 * 1024 ** 2 }, { files: aboveFiles }),
      ],
    ],
    [['check', () => disks.run('diskCheck', { path }, { files })]],
    [
      ['commit', () => disks.run('diskCommit', { image: { ...image, backing: [below] } }, { files: both })],
      [
        'commit into it',
        () => disks.run('diskCommit', { image: { ...top, backing: [image] } }, { files: both }),
      ],
    ],
    [['resize', () => disks.run('diskResize', { image, size: 16 * 1024 ** 2 }, { files })]],
    [['snapshot', () => disks.run('diskSnapshot', { path, action: 'create', snapshot: 'one' }, { files })]],
    [['rebase', () => disks.run('diskRebase', { image, onto: [], metadataOnly: true }, { files })]],
  ];
}

test('a user imports images of a directory that only the user enters, and gets what lies in them alone', async () => {
  const home = `${instance.directory}/home`;
  mkdirSync(home, { mode: 0o700 });
  chownSync(home, user, user);
  for (const attack of attacks.filter(({ name }) =>
    ['backing', 'extent-flat', 'data-file', 'giant'].includes(name),
  )) {
    const copy = `${home}/${attack.path.split('/').at(-1) ?? ''}`;
    copyFileSync(attack.path, copy);
    chownSync(copy, user, user);
    const target = `${home}/target.raw`;
    const tried = await qward(['disk', 'import', copy, target, '--format', attack.format], user);
    harmless(attack, 'import by a user', tried);
    assert.ok(!tried.ok);
    noTargetWithSecret(target);
  }
  qemuImg('create', '-q', '-f', 'vmdk', `${home}/good.vmdk`, '8M');
  chownSync(`${home}/good.vmdk`, user, user);
  const imported = await qward(['disk', 'import', `${home}/good.vmdk`, `${home}/good.qcow2`], user);
  assert.ok(imported.ok, imported.told);
  const { uid, mode } = statSync(`${home}/good.qcow2`);
  assert.deepEqual([uid, mode & 0o777], [user, 0o600]);
  const theirs = await qward(['disk', 'import', secret, `${home}/stolen.raw`, '--format', 'raw'], user);
  assert.ok(!theirs.ok);
  noTargetWithSecret(`${home}/stolen.raw`);
  // With rights of root's alone, as what administrators make has them.
  chmodSync(attacks[0]?.path ?? '', 0o600);
  const beneath = await qward(['disk', 'info', attacks[0]?.path ?? ''], user);
  assert.ok(!beneath.ok, "what the roots give to machines of administrators is not the users'");
  assert.deepEqual(
    readdirSync(home).filter((name) => name.startsWith('.')),
    [],
  );
  nothingLeft();
});

describe('at a machine that runs', () => {
  const name = 'busy';
  before(async () => {
    const source = `name: ${name}\naccel: tcg\nmemory: 64MiB\ncdroms: [{id: drive}]\n`;
    granted(await instance.client.call('define', { source }));
    granted(await instance.client.call('start', { name }));
  });
  after(async () => {
    granted(await instance.client.call('remove', { name, force: true }));
    nothingLeft();
  });

  for (const attack of attacks)
    test(`${attack.name}: media, attach`, async () => {
      const { path } = attack;
      const inserted = await timed(() => instance.client.call('setMedium', { name, drive: 'drive', path }));
      harmless(attack, 'media', inserted);
      await opensNothingElse(name, attack);
      granted(await instance.client.call('setMedium', { name, drive: 'drive', path: null, force: true }));
      const disk = { id: 'more', path, format: asDisk(attack), readonly: true };
      const attached = await timed(() => instance.client.call('attach', { name, disk }));
      harmless(attack, 'attach', attached);
      mustFail(attack, 'attach', attached);
      await opensNothingElse(name, attack);
      if (!attached.ok) return;
      // No system in the guest lets go of a disk.
      granted(await instance.client.call('kill', { name }));
      granted(await instance.client.call('start', { name }));
    });
});

const targets = ['imported.raw', 'converted.raw', 'made.qcow2', 'flattened.raw'];
const sources = ['below.raw', 'top.qcow2', 'over.qcow2', 'alone.qcow2'];
/** As the only file, and as the one below another. */
const mustBeRefused = new Set([
  'import',
  'convert',
  'commit into it',
  'create above',
  'convert above',
  'rebase onto',
]);

for (const attack of attacks) {
  for (const readonly of [true, false])
    test(`${attack.name}: define and start, ${readonly ? 'to be read' : 'to be written'}`, async () => {
      const name = `a-${attack.name}`;
      const disk = `{ id: root, path: ${attack.path}, format: ${asDisk(attack)}, readonly: ${readonly} }`;
      const source = `name: ${name}\naccel: tcg\nmemory: 64MiB\ndisks:\n  - ${disk}\n`;
      harmless(attack, 'define', await timed(() => instance.client.call('define', { source })));
      const started = await timed(() => instance.client.call('start', { name, paused: true }));
      harmless(attack, 'start', started);
      mustFail(attack, 'start', started);
      if (started.ok) await opensNothingElse(name, attack);
      await instance.client.call('remove', { name, force: true });
      nothingLeft();
    });

  test(`${attack.name}: info, import, convert, check, commit, resize, snapshot, rebase, and below another image`, async () => {
    const before = readHead(attack.path);
    for (const [index, attempts] of attemptsOn(attack).entries()) {
      const tried = await Promise.all(
        attempts.map(async ([what, work]) => [what, await timed(work)] as const),
      );
      for (const [what, outcome] of tried) {
        harmless(attack, what, outcome);
        if (mustBeRefused.has(what) && attack.refused) assert.ok(!outcome.ok, `${what} was not refused`);
      }
      if (index === 0) assert.ok(readHead(attack.path).equals(before), 'reading changed it');
      for (const name of targets) noTargetWithSecret(`${images}/${name}`);
    }
    for (const name of sources) noTargetWithSecret(`${images}/${name}`);
    nothingLeft();
  });
}

function readHead(path: string): Buffer {
  const fd = openSync(path, 'r');
  const head = Buffer.alloc(1024 * 1024);
  const length = readSync(fd, head);
  closeSync(fd);
  return head.subarray(0, length);
}
