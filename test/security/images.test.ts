/** Promise 2, rule images: whatever an image says of itself, no path of qward gives away a file, memory, time or a process. */
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
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { after, test } from 'node:test';
import { makeAttackImages, type AttackImage } from '../support/attack-images.ts';
import { asUser } from '../support/as-user.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { run } from '../support/instance.ts';
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

type Attempt = readonly [what: string, work: () => Promise<Reply<unknown>>];

/** Everything that reads the image, at once, and then everything that writes it. */
function attemptsOn({ path, format }: AttackImage): readonly (readonly Attempt[])[] {
  const known = format === 'raw' ? 'raw' : 'qcow2';
  const image = { path, format: known } as const;
  const files = [{ path, access: 'rw' }] as const;
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
    [['check', () => disks.run('diskCheck', { path }, { files })]],
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
  execFileSync('qemu-img', ['create', '-q', '-f', 'vmdk', `${home}/good.vmdk`, '8M']);
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

for (const attack of attacks) {
  test(`${attack.name}: define and start`, async () => {
    const { path, format, refused } = attack;
    if (format !== 'raw' && format !== 'qcow2') return;
    const name = `a-${attack.name}`;
    const source = `name: ${name}\naccel: tcg\nmemory: 64MiB\ndisks:\n  - { id: root, path: ${path}, format: ${format}, readonly: true }\n`;
    harmless(attack, 'define', await timed(() => instance.client.call('define', { source })));
    const started = await timed(() => instance.client.call('start', { name, paused: true }));
    harmless(attack, 'start', started);
    if (refused) assert.ok(!started.ok, `${attack.name} starts`);
    await instance.client.call('remove', { name, force: true });
    nothingLeft();
  });

  test(`${attack.name}: info, import, convert, check, resize, snapshot, rebase`, async () => {
    const before = readHead(attack.path);
    for (const [index, attempts] of attemptsOn(attack).entries()) {
      const tried = await Promise.all(
        attempts.map(async ([what, work]) => [what, await timed(work)] as const),
      );
      for (const [what, outcome] of tried) {
        harmless(attack, what, outcome);
        if (attack.refused && ['import', 'convert'].includes(what))
          assert.ok(!outcome.ok, `${what} was not refused`);
      }
      if (index === 0) assert.ok(readHead(attack.path).equals(before), 'reading changed it');
      for (const name of ['imported', 'converted']) noTargetWithSecret(`${images}/${name}.raw`);
    }
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
