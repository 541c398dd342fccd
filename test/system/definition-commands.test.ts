/** Commands that make and change definitions, with machines that run and machines that do not. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import {
  bareMachine,
  define,
  defineBare,
  disk,
  done,
  refused,
  remains,
  statusOf,
} from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

const { images } = instance.paths;
const directoryOf = (name: string): string => {
  const path = join(instance.directory, name);
  mkdirSync(path);
  return path;
};
const names = async (): Promise<string[]> =>
  (JSON.parse(await done(instance, 'list --json')) as { name: string }[]).map(({ name }) => name);

test('define says what is wrong with every fault at its place, and defines nothing', async () => {
  const source = 'name: web\nmemry: 1GiB\ncpu:\n  count: many\ndisks:\n  - id: root\n    path: relative\n';
  const words = await refused(instance, 'define -', { stdin: source, status: 2 });
  const places = words.split('\n').filter((line) => /^\S*\d+:\d+/.test(line.replace(/^(?:line |-:)/, '')));
  assert.equal(places.length, 4, words);
  assert.match(words, /2:1: .*memry/);
  assert.match(words, /[Dd]id you mean "memory"/);
  assert.match(words, /4:10: .*many/);
  assert.deepEqual(await names(), []);
});

test('a second define is refused without --replace, and changes nothing', async () => {
  await defineBare(instance, 'web', '# a comment', disk(instance.disk('web')));
  const words = await refused(instance, 'define -', { stdin: bareMachine('web', 'description: other') });
  assert.match(words, /^machine "web" is defined already\n/);
  assert.match(await done(instance, 'show web'), /# a comment/);
  assert.doesNotMatch(await done(instance, 'show web'), /other/);
  assert.match(await done(instance, 'show --full web'), /machine: q35/);
});

test('set says what holds now and what at the next start, and keeps comments', async () => {
  await done(instance, 'start web');
  const answer = await done(
    instance,
    'set web description=shop cpu.count=2 stop.timeout=5s disks.root.limits.iops=100',
  );
  assert.deepEqual(answer.split('\n').sort(), [
    'cpu.count: applies at the next start',
    'description: applies now',
    'disks.root.limits.iops: applies now',
    'stop.timeout: applies now',
  ]);
  const block = await done(instance, ['monitor', 'web', 'info block']);
  assert.match(block, /iops=100\b/, 'QEMU has the limit now');
  const { changed, cpus } = await statusOf(instance, 'web');
  assert.deepEqual([changed, cpus], [true, 1], 'what runs has one still');
  assert.match(await done(instance, 'status web'), /changed since the start; applies at the next one/);
  assert.match(await done(instance, 'show web'), /# a comment/);

  const before = await done(instance, 'show web');
  const words = await refused(instance, 'set web cpu.cuont=2 memory=lots', { status: 2 });
  assert.match(words, /cpu\.cuont: /);
  assert.match(words, /[Dd]id you mean "(?:cpu\.)?count"/);
  assert.equal(await done(instance, 'show web'), before, 'nothing is half-set');
  await done(instance, 'set web --unset disks.root.limits.iops --unset description');
  assert.doesNotMatch(await done(instance, 'show web'), /iops|shop/);
});

test('a machine that runs is neither renamed nor removed, but for rm --force', async () => {
  assert.match(
    await refused(instance, 'rename web shop'),
    /^machine "web" runs\n {2}stop it first: `qward stop web`/,
  );
  assert.match(await refused(instance, 'rm web'), /^machine "web" runs\n/);
  assert.equal((await statusOf(instance, 'web')).state, 'running');
  await defineBare(instance, 'doomed', disk(instance.disk('doomed')));
  await done(instance, 'start doomed');
  assert.equal(await done(instance, 'rm --force doomed'), `doomed: removed\n  kept ${images}/doomed.qcow2`);
  assert.deepEqual(remains(instance, 'doomed'), []);
  await done(instance, 'kill web');
});

test('rename takes uid, log and scroll-back along, and leaves the disks where they are', async () => {
  await done(instance, 'start web');
  const { uid } = await statusOf(instance, 'web');
  await done(instance, 'kill web');
  const scrollBack = await done(instance, 'console --log web');
  assert.match(scrollBack, /SeaBIOS/);
  assert.match(await done(instance, 'rename web shop'), /^shop: /);
  assert.match(await refused(instance, 'start web', { status: 3 }), /^there is no machine "web"/);
  assert.equal(await done(instance, 'console --log shop'), scrollBack);
  assert.match(await done(instance, 'logs shop'), /started as pid/);
  assert.match(await done(instance, 'show shop'), new RegExp(`# a comment[\\s\\S]*${images}/web\\.qcow2`));
  assert.equal(await done(instance, 'start shop'), 'shop: started');
  assert.equal((await statusOf(instance, 'shop')).uid, uid);
  await done(instance, 'kill shop');

  await defineBare(instance, 'taken');
  assert.match(await refused(instance, 'rename shop taken'), /^the name "taken" is taken\n/);
  assert.match(await refused(instance, 'rename shop Not_a_name', { status: 2 }), /Not_a_name/);
  assert.deepEqual(await names(), ['shop', 'taken']);
});

test('clone has disks and MAC addresses of its own', async () => {
  await define(
    instance,
    bareMachine(
      'origin',
      'nics: [{ id: lan, kind: bridge, bridge: br0, mac: "52:54:00:12:34:56" }, { id: dmz, kind: bridge, bridge: br1 }]',
      disk(instance.disk('origin')),
    ),
  );
  const words = await refused(instance, 'clone origin copy', { status: 2 });
  assert.match(words, /disks\.root: "copy" needs an image of its own for this disk, which is written/);
  const copy = instance.disk('copy');
  assert.match(await done(instance, `clone origin copy --disk root=${copy}`), /^copy: cloned from origin$/);
  const shown = await done(instance, 'show copy');
  assert.match(shown, new RegExp(`path: ${copy}`));
  assert.doesNotMatch(shown, /52:54:00:12:34:56/);
  instance.writePolicy({ bridges: ['br0', 'br1'] });
  const macs = async (machine: string): Promise<string[]> =>
    [...(await done(instance, `explain ${machine}`)).matchAll(/mac"?[=:]\s*"?([0-9a-f:]{17})/g)].map(
      ([, mac = '']) => mac,
    );
  const all = [...(await macs('origin')), ...(await macs('copy'))];
  assert.equal(all.length, 4);
  assert.equal(new Set(all).size, 4, all.join());
  assert.match(
    await refused(instance, `clone origin other --disk rot=${copy}`, { status: 2 }),
    /disks\.rot: there is no such disk\n {2}Did you mean "root"\?/,
  );
});

test("rm keeps the disks; with --disks it removes what is qward's own to remove, or nothing at all", async () => {
  assert.equal(await done(instance, 'rm copy'), `copy: removed\n  kept ${images}/copy.qcow2`);
  assert.ok(existsSync(`${images}/copy.qcow2`));
  assert.match(await refused(instance, 'rm --disks origin', { status: 2 }), /^Remove origin and the disks\?/);
  assert.match(
    await refused(instance, 'rm --disks --yes origin', { status: 4 }),
    /^machine "origin" was not removed, since disks of it cannot be: "DIR\/origin\.qcow2": /,
  );
  assert.ok(existsSync(`${images}/origin.qcow2`));
  assert.deepEqual(await names(), ['origin', 'shop', 'taken']);
  const shown = await done(instance, 'rm origin shop taken');
  assert.match(shown, /^origin: removed$/m);
  assert.deepEqual(await names(), []);
  const slots = readFileSync(`${instance.paths.brokerState}/slots.json`, 'utf8');
  assert.deepEqual(JSON.parse(slots), { version: 2, slots: {} });
});

test('apply defines a whole directory, or with one fault in it nothing', async () => {
  const directory = directoryOf('machines');
  writeFileSync(join(directory, 'a.yaml'), bareMachine('one'));
  writeFileSync(join(directory, 'b.yml'), bareMachine('two', 'cpu: { cuont: 2 }'));
  writeFileSync(join(directory, 'c.yaml'), bareMachine('one'));
  writeFileSync(join(directory, 'd.yaml'), 'name: four\nmemory: [\n');
  writeFileSync(join(directory, 'notes.txt'), 'not a definition');
  const words = await refused(instance, `apply ${directory}`, { status: 2 });
  assert.match(words, /b\.yml:4:8: /);
  assert.match(words, /c\.yaml: defines "one", which \S+a\.yaml defines too/);
  assert.match(words, /d\.yaml:\d+:\d+: /);
  assert.doesNotMatch(words, /notes/);
  assert.deepEqual(await names(), []);

  for (const [file, name] of [
    ['b.yml', 'two'],
    ['c.yaml', 'three'],
    ['d.yaml', 'four'],
  ] as const)
    writeFileSync(join(directory, file), bareMachine(name));
  assert.match(await done(instance, `apply --dry-run ${directory}`), /one: would be defined/);
  assert.deepEqual(await names(), []);
  await done(instance, `apply ${directory}`);
  assert.deepEqual(await names(), ['four', 'one', 'three', 'two']);

  await done(instance, 'start one');
  writeFileSync(join(directory, 'a.yaml'), bareMachine('one', 'description: changed'));
  const changed = await done(instance, `apply ${directory}`);
  assert.match(changed, /^one: changed\n {2}the machine runs: changes hold from its next start on$/m);
  assert.match(changed, /^two: unchanged$/m);
  assert.equal((await statusOf(instance, 'one')).state, 'running');

  rmSync(join(directory, 'b.yml'));
  assert.match(await refused(instance, `apply --prune ${directory}`, { status: 2 }), /^Remove two\?/);
  assert.match(await done(instance, `apply --prune --yes ${directory}`), /^two: removed$/m);
  assert.deepEqual(await names(), ['four', 'one', 'three']);
  await done(instance, 'kill one');
});

test('apply --prune removes stopped machines alone, and says which it kept', async () => {
  const directory = directoryOf('fewer');
  writeFileSync(join(directory, 'new.yaml'), bareMachine('new'));
  await done(instance, 'start one');
  const shown = await done(instance, `apply --prune --yes ${directory}`);
  assert.match(shown, /^one: kept\n {2}it has no file there, and runs; stop it first$/m);
  assert.match(shown, /^new: defined$/m);
  assert.match(shown, /^three: removed$/m);
  assert.equal((await statusOf(instance, 'one')).state, 'running');
  assert.deepEqual(await names(), ['new', 'one']);
  await done(instance, 'rm --force --all --yes');
  assert.deepEqual(remains(instance, 'one'), []);
});

/** A program that is run as the editor. */
function editor(script: string): Record<string, string> {
  const directory = mkdtempSync(join(instance.directory, 'editor-'));
  const path = join(directory, 'editor');
  writeFileSync(path, `#!/bin/sh\nset -e\n${script}\n`, { mode: 0o755 });
  return { EDITOR: path, XDG_RUNTIME_DIR: directory };
}

test('edit keeps comments, gives a wrong definition back with its faults, and gives up where nothing is changed', async () => {
  await define(instance, `${bareMachine('web')}# the end\n`);
  assert.equal(await done(instance, 'edit web', { env: editor('true') }), 'web: unchanged');
  assert.equal(
    await done(instance, 'edit web', { env: editor('sed -i s/32MiB/64MiB/ "$1"') }),
    'web: changed',
  );
  assert.match(await done(instance, 'show web'), /memory: 64MiB\n# the end/);

  // First wrong, then, when it comes back with the fault in it, right.
  const twice = editor(
    'if grep -q "^#! .*lots" "$1"; then sed -i s/lots/48MiB/ "$1"; else sed -i s/64MiB/lots/ "$1"; fi',
  );
  assert.equal(await done(instance, 'edit web', { env: twice }), 'web: changed');
  assert.doesNotMatch(await done(instance, 'show web'), /#!|lots/);

  const wrong = editor('grep -q "^#! " "$1" || sed -i s/48MiB/lots/ "$1"');
  const words = await refused(instance, 'edit web', { env: wrong, status: 2 });
  const kept = /What you wrote is in (\S+)/.exec(words)?.[1] ?? '';
  assert.match(readFileSync(kept, 'utf8'), /memory: lots/);
  assert.equal(statSync(kept).mode & 0o077, 0, 'for its user alone');
  assert.match(await done(instance, 'show web'), /memory: 48MiB/);
  assert.match(
    await refused(instance, 'edit web', { env: editor('exit 3') }),
    /ended with status 3; nothing was changed/,
  );
});

test('an edit of a definition that another changed meanwhile overwrites nothing, and loses nothing', async () => {
  const cli = instance.program.map((word) => `'${word}'`).join(' ');
  const env = editor(`${cli} --quiet set web description=theirs\nsed -i s/48MiB/40MiB/ "$1"`);
  const words = await refused(instance, 'edit web', { env });
  assert.match(words, /^the definition of machine "web" was changed by another meanwhile\n/);
  const kept = /What you wrote is in (\S+)/.exec(words)?.[1] ?? '';
  assert.match(readFileSync(kept, 'utf8'), /memory: 40MiB/);
  const shown = await done(instance, 'show web');
  assert.match(shown, /memory: 48MiB/);
  assert.match(shown, /description: theirs/);
});

test('an edit cannot rename, and says how to', async () => {
  const words = await refused(instance, 'edit web', {
    env: editor('grep -q "^#! " "$1" || sed -i "s/^name: web/name: other/" "$1"'),
    status: 2,
  });
  const kept = /What you wrote is in (\S+)/.exec(words)?.[1] ?? '';
  assert.match(
    readFileSync(kept, 'utf8'),
    /^#! .*now says "other"\n#! .*`qward rename web other`\nname: other/m,
  );
  assert.deepEqual(await names(), ['web']);
});
