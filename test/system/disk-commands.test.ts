/** `qward disk` as users type it: root with the storage root's images, and users with their own files. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { after, test } from 'node:test';
import { startInstance, run, type CommandOutcome } from '../support/instance.ts';
import { asUser } from '../support/as-user.ts';

const MiB = 1024 ** 2;
const user = 910_100_001;
const instance = await startInstance({
  policy: { define: { users: [], groups: [] }, ceilings: { fileSize: 1024 ** 4 } },
});
after(() => instance[Symbol.asyncDispose]());
const { images } = instance.paths;

async function disk(words: string, expected = 0): Promise<CommandOutcome> {
  const outcome = await instance.qward(['disk', ...words.split(' ')]);
  assert.equal(outcome.status, expected, `${words}: ${outcome.stdout}${outcome.stderr}`);
  return outcome;
}
const json = async (words: string): Promise<Record<string, unknown>> =>
  JSON.parse((await disk(`${words} --json`)).stdout) as Record<string, unknown>;

/** Nothing of any job: no process, machine, part or uid. */
async function nothingLeft(directory = images): Promise<void> {
  const hidden = readdirSync(directory).filter((name) => name.includes('qward-disk-'));
  assert.deepEqual(hidden, []);
  assert.deepEqual(
    readdirSync(instance.paths.machines).filter((name) => name.startsWith('qward-disk-')),
    [],
  );
  const slots = readFileSync(`${instance.paths.brokerState}/slots.json`, 'utf8');
  assert.doesNotMatch(slots, /qward-disk-/);
}

test('an image is made, resized, checked, converted, and has snapshots', async () => {
  const made = await json(`create ${images}/one.qcow2 64MiB`);
  assert.deepEqual(
    [made['format'], made['virtualSize'], made['path']],
    ['qcow2', 64 * MiB, `${images}/one.qcow2`],
  );
  const { uid, mode } = statSync(`${images}/one.qcow2`);
  assert.deepEqual([uid, mode & 0o777], [0, 0o600]);
  assert.match((await disk(`create ${images}/one.qcow2 64MiB`, 1)).stderr, /one\.qcow2" is there already/);
  assert.equal((await json(`resize ${images}/one.qcow2 +64MiB`))['virtualSize'], 128 * MiB);
  assert.match((await disk(`resize ${images}/one.qcow2 32MiB`, 2)).stderr, /say --shrink/);
  assert.equal((await json(`resize ${images}/one.qcow2 32MiB --shrink`))['virtualSize'], 32 * MiB);
  assert.match((await disk(`check ${images}/one.qcow2`)).stdout, /in order/);
  await disk(`snapshot create ${images}/one.qcow2 first`);
  assert.match(
    (await disk(`snapshot create ${images}/one.qcow2 first`, 1)).stderr,
    /has a snapshot "first" already/,
  );
  execFileSync('qemu-io', ['-c', 'write -P 7 0 1M', `${images}/one.qcow2`]);
  assert.match((await disk(`snapshot list ${images}/one.qcow2`)).stdout, /first/);
  await disk(`convert ${images}/one.qcow2 ${images}/one.raw`);
  assert.equal(readFileSync(`${images}/one.raw`)[0], 7);
  await disk(`snapshot revert ${images}/one.qcow2 first`);
  await disk(`convert ${images}/one.qcow2 ${images}/two.raw`);
  assert.equal(readFileSync(`${images}/two.raw`)[0], 0);
  await disk(`snapshot rm ${images}/one.qcow2 first`);
  assert.doesNotMatch((await disk(`snapshot list ${images}/one.qcow2`)).stdout, /first/);
  await nothingLeft();
});

test('a chain is made, rebased, and committed', async () => {
  execFileSync('qemu-img', ['create', '-q', '-f', 'raw', `${images}/base.raw`, '16M']);
  execFileSync('qemu-io', ['-f', 'raw', '-c', 'write -P 3 0 1M', `${images}/base.raw`]);
  const made = await json(`create ${images}/over.qcow2 --backing ${images}/base.raw`);
  assert.deepEqual([made['virtualSize'], made['backing']], [16 * MiB, `${images}/base.raw`]);
  assert.match(
    (await disk(`convert ${images}/over.qcow2 ${images}/flat.raw`, 1)).stderr,
    /has a backing file.*none was given/,
  );
  await disk(`convert ${images}/over.qcow2 ${images}/flat.raw --backing ${images}/base.raw`);
  assert.equal(readFileSync(`${images}/flat.raw`)[0], 3);
  execFileSync('qemu-img', ['create', '-q', '-f', 'raw', `${images}/other.raw`, '16M']);
  const rebased = await json(
    `rebase ${images}/over.qcow2 --backing ${images}/base.raw --onto ${images}/other.raw`,
  );
  assert.equal(rebased['backing'], `${images}/other.raw`);
  await disk(`commit ${images}/over.qcow2 --backing ${images}/other.raw`);
  assert.equal(readFileSync(`${images}/other.raw`)[0], 3);
  const alone = await json(`rebase ${images}/over.qcow2 --backing ${images}/other.raw`);
  assert.equal(alone['backing'], null);
  await nothingLeft();
});

test('every format is imported', async () => {
  for (const [suffix, format] of Object.entries({
    vmdk: 'vmdk',
    vdi: 'vdi',
    vhdx: 'vhdx',
    vhd: 'vpc',
    qed: 'qed',
    img: 'raw',
  })) {
    const source = `${images}/source.${suffix}`;
    execFileSync('qemu-img', ['convert', '-f', 'raw', '-O', format, `${images}/base.raw`, source]);
    const imported = await json(`import ${source} ${images}/from-${suffix}.qcow2`);
    assert.ok(Number(imported['virtualSize']) >= 16 * MiB, suffix);
    execFileSync('qemu-img', ['compare', `${images}/from-${suffix}.qcow2`, `${images}/base.raw`]);
  }
  await nothingLeft();
});

test('on a terminal a bar shows how far a conversion is; elsewhere nothing does', async () => {
  // What cannot be compressed takes its time.
  const random = `${images}/random.raw`;
  execFileSync('dd', ['if=/dev/urandom', `of=${random}`, 'bs=1M', 'count=192', 'status=none']);
  const words = (target: string): string[] => [
    'disk',
    'convert',
    random,
    `${images}/${target}`,
    '--compress',
  ];
  const line = ['stty cols 120;', ...instance.program, ...words('shown.qcow2')].join(' ');
  const shown = execFileSync('script', ['-qefc', line, '/dev/null'], {
    env: { ...process.env, ...instance.environment, TERM: 'xterm' },
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const percents = [...shown.matchAll(/\[(#*)\.*\] (\d+) %/g)].map(([, marks = '', percent]) => {
    assert.ok(Math.abs(marks.length - (Number(percent) / 100) * 24) <= 1, `${marks} ${percent}`);
    return Number(percent);
  });
  assert.ok(new Set(percents).size >= 3, shown);
  assert.deepEqual(
    percents,
    percents.toSorted((a, b) => a - b),
  );
  // The line is taken away, and the outcome stands in its place.
  assert.match(shown.slice(shown.lastIndexOf('%')), /\r\x1b\[K[^⠀-⣿]*shown\.qcow2/);
  const { stdout, stderr } = await instance.qward(words('unshown.qcow2'));
  assert.doesNotMatch(stdout + stderr, /\x1b|%/);
  await nothingLeft();
});

test('the list shows roots, images and users', async () => {
  const shown = (await disk('list')).stdout;
  assert.match(shown, /free of/);
  assert.match(shown, /from-vmdk\.qcow2 +qcow2 +16MiB/);
});

test("a user works on own files in a directory that is the user's alone", async () => {
  const home = `${instance.directory}/home`;
  mkdirSync(home, { mode: 0o700 });
  chownSync(home, user, user);
  instance.writePolicy({ define: { users: [], groups: ['nogroup'] }, ceilings: { fileSize: 1024 ** 4 } });
  const own = async (words: string): Promise<CommandOutcome> =>
    await run(
      [...asUser({ uid: user }), ...instance.program, 'disk', ...words.split(' ')],
      instance.environment,
    );
  const refused = await own(`create ${home}/mine.qcow2 8MiB`);
  assert.equal(refused.status, 4, refused.stderr);
  assert.deepEqual(readdirSync(home), []);
});
