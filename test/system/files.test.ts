/** docs/files.md against a running instance, both ways: every path with its kind, owner and mode. */
import assert from 'node:assert/strict';
import { lstatSync, mkdirSync, readdirSync, readFileSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { askBroker } from '../support/broker.ts';
import { checkout } from '../support/checkout.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { done } from '../support/driver.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { consoleShows, define, granted, smallMachine, start } from '../support/small-machine.ts';
import { createUplink } from '../support/uplink.ts';

interface Row {
  readonly path: string;
  readonly pattern: RegExp;
  readonly kind: string;
  readonly owner: string;
  readonly mode: string;
}

interface Found {
  readonly path: string;
  readonly kind: string;
  readonly owner: string;
  readonly mode: string;
}

/** What the letters of the tables stand for. */
const parts: Readonly<Record<string, string>> = {
  M: '(?:demo|firm|qward-(?:net|tpm)-[0-9a-f]{16})',
  T: '[0-9a-f]{32}',
  B: '-?[a-z0-9-]+',
  N: '[0-9a-f]{16}',
  S: 'before-it',
};

function patternOf(path: string): RegExp {
  const text = path
    .replaceAll('.', '\\.')
    .replaceAll(/(?<=\/|-)([MTBNS])(?=$|\/|\\\.)/g, (_whole, letter: string) => parts[letter] ?? '');
  return new RegExp(`^${text}$`);
}

function documented(): { readonly always: readonly Row[]; readonly atTimes: readonly Row[] } {
  const [always = '', atTimes = ''] = readFileSync(join(checkout, 'docs/files.md'), 'utf8').split(
    'Only at times',
  );
  const rowsOf = (text: string): Row[] =>
    [...text.matchAll(/^\| (\/\S+) \| (\w+) \| (\S+) \| (\d{4}) \|/gm)].map(
      ([, path = '', kind = '', owner = '', mode = '']) => ({
        path,
        pattern: patternOf(path),
        kind,
        owner,
        mode,
      }),
    );
  return { always: rowsOf(always), atTimes: rowsOf(atTimes) };
}

function kindOf(stats: Stats): string {
  if (stats.isSocket()) return 'socket';
  return stats.isDirectory() ? 'directory' : stats.isFile() ? 'file' : 'other';
}

/** Everything below the three roots; not into trees, whose inside is not qward's. */
function walkInstance(instance: Instance, rows: readonly Row[]): Found[] {
  const { base, count } = instance.uidRange;
  const nameOf = (id: number): string => {
    if (id === 0) return 'root';
    if (id === instance.managerUid) return 'qward';
    return id >= base && id < base + count ? 'M' : String(id);
  };
  const isTree = (path: string): boolean => rows.some((row) => row.kind === 'tree' && row.pattern.test(path));
  const walk = (real: string, path: string): Found[] => {
    const stats = lstatSync(real);
    const kind = isTree(path) && stats.isDirectory() ? 'tree' : kindOf(stats);
    const found = {
      path,
      kind,
      owner: `${nameOf(stats.uid)}:${nameOf(stats.gid)}`,
      mode: (stats.mode & 0o7777).toString(8).padStart(4, '0'),
    };
    const below = kind === 'directory' ? readdirSync(real) : [];
    return [found, ...below.flatMap((child) => walk(join(real, child), `${path}/${child}`))];
  };
  const { config, run, state } = instance.roots;
  return [...walk(config, '/etc/qward'), ...walk(run, '/run/qward'), ...walk(state, '/var/lib/qward')];
}

const differences = (found: readonly Found[], rows: readonly Row[]): string[] =>
  found.flatMap(({ path, kind, owner, mode }) => {
    const row = rows.find(({ pattern }) => pattern.test(path));
    if (row === undefined) return [`not in docs/files.md: ${path} ${kind} ${owner} ${mode}`];
    const [expected, seen] = [`${row.kind} ${row.owner} ${row.mode}`, `${kind} ${owner} ${mode}`];
    return expected === seen ? [] : [`${path}: documented ${expected}, found ${seen}`];
  });

/** Paths of the second table that the machines of this test have. */
const made = [
  '/run/qward/machines/M/tpm.sock',
  '/run/qward/machines/M/net0.sock',
  '/var/lib/qward/broker/autostart.json',
  '/var/lib/qward/broker/claims.log',
  '/var/lib/qward/vars/M.tpm/tpm2-00.permall',
  '/var/lib/qward/manager/backups/M.json',
  '/var/lib/qward/manager/saved/M/memory-N.zst',
  '/var/lib/qward/manager/saved/M/state.json',
  '/var/lib/qward/manager/snapshots/M/S.json',
  '/var/lib/qward/manager/snapshots/M/S.vars',
  '/var/lib/qward/manager/snapshots/M/memory-N.zst',
];

const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());

/** Two machines, and with them all that qward keeps beside a machine: a TPM, a user network, a backup, a snapshot, a saved state. */
async function fill(instance: Instance): Promise<void> {
  const disk = instance.disk('demo');
  const more = 'agent: true\ntpm: true\nnics: [{id: net, kind: user, dns: [192.0.2.1]}]';
  await define(instance, demoMachine({ name: 'demo', guest: instance.guest, disk, memory: '96MiB', more }));
  const stored = `disks: [{id: root, path: ${instance.disk('firm')}, format: qcow2}]`;
  await define(instance, smallMachine('firm', ['firmware: uefi', stored]).replace('32MiB', '64MiB'));
  for (const name of ['demo', 'firm']) await start(instance, name);
  granted(await instance.client.call('doctor'));
  const claims = instance.paths.claimsSocket;
  const enabled = await askBroker(claims, { v: 1, call: 'autostart-on', machine: 'demo' });
  assert.ok(enabled.ok);
  await consoleShows(instance, 'demo', /qward-demo: ready/);
  const backups = join(instance.paths.images, 'backups');
  mkdirSync(backups, { mode: 0o700 });
  await done(instance, ['backup', 'create', 'demo', '--to', backups]);
  await done(instance, 'snapshot create firm before-it');
  await done(instance, 'save firm');
}

test('every path of a running instance is documented, with its owner and mode, and no other', async () => {
  await using instance = await startInstance({ network: uplink.host.path });
  await fill(instance);

  const { always, atTimes } = documented();
  const found = walkInstance(instance, always);
  assert.deepEqual(differences(found, [...always, ...atTimes]), []);
  // Of those that are there at times, these were brought about above.
  for (const path of made)
    assert.ok(
      found.some((one) => patternOf(path).test(one.path)),
      path,
    );
  const missing = always.filter(({ pattern }) => !found.some(({ path }) => pattern.test(path)));
  assert.deepEqual(
    missing.map(({ path }) => path),
    [],
    'documented, and not there',
  );

  // Afterwards nothing of a machine is left on /run.
  granted(await instance.client.call('stop', { name: 'demo' }));
  const left = walkInstance(instance, always).filter(({ path }) =>
    /^\/run\/.*\/(?:demo|firm|qward-(?:net|tpm)-[^/]*)(?:$|[/.])/.test(path),
  );
  assert.deepEqual(left, []);
});
