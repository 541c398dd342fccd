/** docs/files.md against a running instance: what is there stands in the table, with this owner and mode. */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkout } from '../support/checkout.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { startInstance, type Instance } from '../support/instance.ts';

interface Entry {
  readonly path: string;
  readonly kind: string;
  readonly owner: string;
  readonly mode: string;
}

const machine = 'demo';

function documented(): Map<string, Entry> {
  const rows = readFileSync(join(checkout, 'docs/files.md'), 'utf8').matchAll(
    /^\| (\/\S+) \| (\w+) \| (\S+) \| (\d{4}) \|/gm,
  );
  return new Map(
    [...rows].map(([, path = '', kind = '', owner = '', mode = '']) => {
      const real = path.replace(/\/M(?=[/.]|$)/, `/${machine}`);
      return [real, { path: real, kind, owner, mode }];
    }),
  );
}

function kindOf(stats: Stats): string {
  return stats.isDirectory() ? 'directory' : stats.isSocket() ? 'socket' : stats.isFile() ? 'file' : 'other';
}

/** Everything below the three roots; not into the directories that belong to one program alone. */
function found(instance: Instance, isLeaf: (path: string) => boolean): Entry[] {
  const { base, count } = instance.uidRange;
  const name = (id: number): string => {
    if (id === 0) return 'root';
    if (id === instance.managerUid) return 'qward';
    return id >= base && id < base + count ? 'M' : String(id);
  };
  const places = [
    [instance.roots.config, '/etc/qward'],
    [instance.roots.run, '/run/qward'],
    [instance.roots.state, '/var/lib/qward'],
  ] as const;
  const walk = (real: string, path: string): Entry[] => {
    const stats = lstatSync(real);
    const entry = {
      path,
      kind: kindOf(stats),
      owner: `${name(stats.uid)}:${name(stats.gid)}`,
      mode: (stats.mode & 0o7777).toString(8).padStart(4, '0'),
    };
    const below = stats.isDirectory() && !isLeaf(path) ? readdirSync(real) : [];
    return [entry, ...below.flatMap((child) => walk(join(real, child), `${path}/${child}`))];
  };
  return places.flatMap(([real, path]) => walk(real, path));
}

test('every path of a running instance is documented, with its owner and mode', async () => {
  await using instance = await startInstance();
  const disk = instance.disk(machine);
  const source = demoMachine({ name: machine, guest: instance.guest, disk, more: 'agent: true' });
  assert.equal((await instance.qward(['define', '-'], { stdin: source })).status, 0);
  const started = await instance.qward(['start', machine]);
  assert.equal(started.status, 0, started.stderr);

  const table = documented();
  const isLeaf = (path: string): boolean =>
    path !== '/run/qward/machines' && ![...table.keys()].some((other) => other.startsWith(`${path}/`));
  const entries = found(instance, isLeaf);
  const wrong = entries.flatMap((entry) => {
    const row = table.get(entry.path);
    if (row === undefined) return [`not in docs/files.md: ${Object.values(entry).join(' ')}`];
    return JSON.stringify(row) === JSON.stringify(entry)
      ? []
      : [
          `${entry.path}: documented ${row.kind} ${row.owner} ${row.mode}, found ${entry.kind} ${entry.owner} ${entry.mode}`,
        ];
  });
  assert.deepEqual(wrong, []);

  // Files that come with a crash or another accelerator need not be there; these must.
  const needed = ['/run/qward/api.sock', '/run/qward/broker.sock', `/run/qward/machines/${machine}/qmp.sock`];
  const there = new Set(entries.map(({ path }) => path));
  assert.deepEqual(
    needed.filter((path) => !there.has(path)),
    [],
  );
});
