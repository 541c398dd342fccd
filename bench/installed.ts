/**
 * What is installed: how long the CLI takes to start and end, beside virsh, and how large the package is.
 * For these rows alone: node bench/installed.ts
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makePackage } from '../scripts/package.ts';
import { checkout } from '../test/support/checkout.ts';
import { command, summarise, timed } from './measure.ts';
import { judge, render, type Row } from './table.ts';

/** Milliseconds of each `--version`, one of either side a round; `virsh` is empty where it is not installed. */
async function startTimes(runs: number, withVirsh: boolean): Promise<{ qward: number[]; virsh: number[] }> {
  const times: { qward: number[]; virsh: number[] } = { qward: [], virsh: [] };
  const cli = join(checkout, 'dist/bin/qward');
  for (let round = -1; round < runs; round++) {
    const qward = await timed(() => command([cli, '--version']));
    const virsh = withVirsh ? await timed(() => command(['virsh', '--version'])) : undefined;
    // The first fills the caches.
    if (round < 0) continue;
    times.qward.push(qward);
    if (virsh !== undefined) times.virsh.push(virsh);
  }
  return times;
}

/** Installed-Size of the package's control file, MiB. */
async function installedMib(): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), 'qward-bench-package-'));
  try {
    const deb = await makePackage(directory, { plain: true });
    return Number(await command(['dpkg-deb', '--field', deb, 'Installed-Size'])) / 1024;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export async function installedRows(runs: number, withVirsh: boolean): Promise<readonly Row[]> {
  const { qward, virsh } = await startTimes(runs, withVirsh);
  return [
    {
      what: 'CLI start, virsh --version',
      unit: 'ms',
      qward: summarise(qward).median,
      other: virsh.length === 0 ? null : summarise(virsh).median,
      target: { kind: 'ratio', atMost: 2.5 },
      note: withVirsh ? '' : 'no virsh here',
    },
    {
      what: 'installed size of the package, runtimes included',
      unit: 'MiB',
      qward: await installedMib(),
      other: null,
      target: { kind: 'at-most', value: 240 },
      note: '',
    },
  ];
}

if (import.meta.main) {
  const virsh = await command(['virsh', '--version']).then(
    () => true,
    () => false,
  );
  process.stdout.write(`${render((await installedRows(20, virsh)).map(judge))}\n`);
}
