/**
 * npm run bench: qward beside libvirt and bare QEMU in one run. Same guest, same QEMU options, TCG, broker warm; medians.
 * Each round measures every side once, so that what else the host does meets all of them.
 *   bench/run [--runs N] [--no-libvirt] [--only boot|run|net]
 */
import { cpus, release } from 'node:os';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { adoptionRounds } from './adoption.ts';
import { checkout } from '../test/support/checkout.ts';
import { buildDemoGuest } from '../test/support/demo-guest.ts';
import { bootRounds, bootRows } from './boot.ts';
import { makeBenchGuest, machineName, memoryMib } from './guest.ts';
import { installedRows } from './installed.ts';
import { libvirtInstalled, startLibvirt, type Libvirt } from './libvirt.ts';
import { command, summarise, timed, type Series } from './measure.ts';
import { bareStart, launchOf, pssMib, startQward, type QwardSide } from './qward.ts';
import { networkRounds, networkRows } from './network.ts';
import { judge, render, type Row } from './table.ts';
import { runRounds, runRows } from './throwaway.ts';

const defined = 300;
const concurrent = 10;
const running = 20;
const adopted = 50;
const bootRuns = 3;
const networkRuns = 7;
const requestSeconds = 3;

type Values = Map<string, number[]>;

/** Milliseconds of one piece of work, added to its series. */
async function measure(values: Values, name: string, work: () => Promise<unknown>): Promise<void> {
  const series = values.get(name) ?? [];
  values.set(name, series);
  series.push(await timed(work));
}

const note = (line: string): void => void process.stderr.write(`bench: ${line}\n`);
const names = (count: number): string[] => Array.from({ length: count }, (_, index) => machineName(index));

async function singleRounds(
  values: Values,
  runs: number,
  qward: QwardSide,
  libvirt: Libvirt | undefined,
): Promise<void> {
  const [name = ''] = names(1);
  const launch = await launchOf(qward, name);
  for (let round = 0; round < runs; round++) {
    await measure(values, 'qward start', () => qward.cli('start', name));
    await measure(values, 'qward kill', () => qward.cli('kill', name));
    await measure(values, 'api start', () => qward.apiStart(name));
    await measure(values, 'api kill', () => qward.apiKill(name));
    const bare = values.get('bare start') ?? [];
    values.set('bare start', bare);
    bare.push(await bareStart(launch, qward.instance.directory));
    await measure(values, 'qward list', () => qward.cli('list'));
    if (libvirt === undefined) continue;
    await measure(values, 'virsh start', () => command(libvirt.virsh('start', name)));
    await measure(values, 'virsh destroy', () => command(libvirt.virsh('destroy', name)));
    await measure(values, 'virsh list', () => command(libvirt.virsh('list', '--all')));
  }
}

async function concurrentRounds(
  values: Values,
  runs: number,
  qward: QwardSide,
  libvirt: Libvirt | undefined,
): Promise<void> {
  const many = names(concurrent);
  for (let round = 0; round < runs; round++) {
    await measure(values, 'qward 10 starts', () => Promise.all(many.map((name) => qward.cli('start', name))));
    await Promise.all(many.map(qward.apiKill));
    await measure(values, 'qward start of 10', () => qward.cli('start', ...many));
    await Promise.all(many.map(qward.apiKill));
    if (libvirt === undefined) continue;
    await measure(values, 'virsh 10 starts', () =>
      Promise.all(many.map((name) => command(libvirt.virsh('start', name)))),
    );
    await Promise.all(many.map((name) => command(libvirt.virsh('destroy', name))));
  }
}

/** After what was last asked of it, the manager gives back what it does not need. */
const restedMs = 3000;

/** PSS of the manager at rest with machines running, and list requests per second of one client. */
async function load(qward: QwardSide): Promise<{ readonly pss: number; readonly perSecond: number }> {
  let count = 0;
  const started = performance.now();
  while (performance.now() - started < requestSeconds * 1000) {
    await qward.apiList();
    count++;
  }
  const perSecond = count / ((performance.now() - started) / 1000);
  for (const name of names(running)) await qward.apiStart(name);
  await delay(restedMs);
  const pss = pssMib(qward.instance.daemon('manager'));
  await Promise.all(names(running).map(qward.apiKill));
  return { pss, perSecond };
}

/** What the lab's host with systemd last showed; null where it was not asked yet. */
function rootProcessesAtRest(): number | null {
  try {
    const found: unknown = JSON.parse(readFileSync(join(checkout, 'bench/results/lab.json'), 'utf8'));
    const count: unknown = Reflect.get(Object(found), 'rootProcessesAtRest');
    return typeof count === 'number' ? count : null;
  } catch {
    return null;
  }
}

function rowsOf(values: Values, loaded: { readonly pss: number; readonly perSecond: number }): Row[] {
  const median = (name: string): number | null => {
    const series = values.get(name);
    return series === undefined ? null : summarise(series).median;
  };
  const against = (what: string, ours: string, theirs: string, atMost: number): Row => ({
    what,
    unit: 'ms',
    qward: median(ours),
    other: median(theirs),
    target: { kind: 'ratio', atMost },
    note: values.has(theirs) ? '' : 'no libvirtd here',
  });
  const cost = (median('api start') ?? Number.NaN) - (median('bare start') ?? Number.NaN);
  return [
    against('qward start, virsh start', 'qward start', 'virsh start', 0.45),
    {
      what: 'cost of a start over bare QEMU, without the CLI',
      unit: 'ms',
      qward: cost,
      other: median('bare start'),
      target: { kind: 'at-most', value: 110 },
      note: '',
    },
    against('10 concurrent starts, ten commands each', 'qward 10 starts', 'virsh 10 starts', 0.35),
    against('10 concurrent starts, one qward command', 'qward start of 10', 'virsh 10 starts', 0.35),
    against('qward kill, virsh destroy', 'qward kill', 'virsh destroy', 0.4),
    against(`list of ${defined}`, 'qward list', 'virsh list', 1),
    {
      what: `manager with ${defined} defined, ${running} running (PSS)`,
      unit: 'MiB',
      qward: loaded.pss,
      other: null,
      target: { kind: 'at-most', value: 80 },
      note: '',
    },
    {
      what: `adoption of ${adopted} machines by a new manager, from \`host up\` on`,
      unit: 'ms',
      qward: median('qward adoption'),
      other: null,
      target: { kind: 'at-most', value: 2000 },
      note: '',
    },
    {
      what: 'root processes at rest under systemd',
      unit: '',
      qward: rootProcessesAtRest(),
      other: null,
      target: { kind: 'at-most', value: 0 },
      note: 'measured by `npm run lab package`, on a host with systemd',
    },
    {
      what: `requests for the list of ${defined}, one client`,
      unit: '/s',
      qward: loaded.perSecond,
      other: null,
      target: { kind: 'at-least', value: 1500 },
      note: '',
    },
  ];
}

async function describeHost(programs: string, libvirt: Libvirt | undefined): Promise<Record<string, string>> {
  return {
    cpu: `${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
    kernel: release(),
    node: `node ${process.version}`,
    qemu: (await command(['qemu-system-x86_64', '--version'])).split('\n')[0] ?? '',
    libvirt: `libvirt ${libvirt?.version ?? 'not installed'}`,
    qward: `qward from ${programs}`,
  };
}

/** Boot and shutdown of the host, and no other row. Nothing is kept of it. */
async function bootAlone(runs: number, withLibvirt: boolean): Promise<void> {
  const directory = mkdtempSync('/tmp/qward-bench-');
  try {
    const guest = makeBenchGuest(buildDemoGuest(), directory, { disks: 1, memoryMib });
    await using libvirt = withLibvirt ? await startLibvirt(guest, 1) : undefined;
    const boots = await bootRounds(runs, libvirt);
    show(boots, bootRows(boots));
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** These rows and no others. Nothing is kept of them. */
function show(rounds: ReadonlyMap<string, readonly number[]>, unjudged: readonly Row[]): void {
  const rows = unjudged.map(judge);
  const series = [...rounds].map(([name, values]) => `${name}: ${values.map(Math.round).join(', ')}`);
  process.stdout.write(`${series.join('\n')}\n\n${render(rows)}\n`);
  if (rows.some(({ met }) => met === false)) process.exitCode = 1;
}

/** Time to the first output of a throwaway machine. */
async function runAlone(rounds: number): Promise<void> {
  const runs = await runRounds(rounds);
  show(runs, runRows(runs));
}

async function networkAlone(rounds: number): Promise<void> {
  const sent = await networkRounds(rounds);
  show(sent, networkRows(sent));
}

async function main(): Promise<void> {
  const { values: flags } = parseArgs({
    options: {
      runs: { type: 'string' },
      'no-libvirt': { type: 'boolean', default: false },
      only: { type: 'string' },
    },
  });
  if (flags.only === 'boot')
    return await bootAlone(Number(flags.runs ?? bootRuns), !flags['no-libvirt'] && libvirtInstalled());
  if (flags.only === 'run') return await runAlone(Number(flags.runs ?? bootRuns));
  if (flags.only === 'net') return await networkAlone(Number(flags.runs ?? networkRuns));
  if (flags.only !== undefined) throw new Error(`--only ${flags.only}: boot, run or net expected`);
  const runs = Number(flags.runs ?? 15);
  note(`bringing up qward with ${defined} machines`);
  await using qward = await startQward(defined, running);
  const guest = makeBenchGuest(qward.instance.guest, join(qward.instance.directory, 'libvirt'), {
    disks: concurrent,
    memoryMib,
  });
  const withLibvirt = libvirtInstalled() && !flags['no-libvirt'];
  if (withLibvirt) note(`bringing up libvirt with ${defined} machines`);
  await using libvirt = withLibvirt ? await startLibvirt(guest, defined) : undefined;
  const values: Values = new Map();
  note('warming up');
  await singleRounds(new Map(), 1, qward, libvirt);
  note(`${runs} rounds of one machine`);
  await singleRounds(values, runs, qward, libvirt);
  note(`${runs} rounds of ${concurrent} machines at once`);
  await concurrentRounds(values, runs, qward, libvirt);
  note(`${runs} managers that take over ${adopted} machines`);
  values.set('qward adoption', [...(await adoptionRounds(adopted, runs))]);
  note('memory and requests');
  const loaded = await load(qward);
  note('boot and shutdown of the host');
  const boots = await bootRounds(bootRuns, libvirt);
  for (const [name, series] of boots) values.set(name, [...series]);
  note('first output of a throwaway machine');
  const throwaway = await runRounds(bootRuns);
  for (const [name, series] of throwaway) values.set(name, [...series]);
  note('throughput of networks');
  const sent = await networkRounds(networkRuns);
  for (const [name, series] of sent) values.set(name, [...series]);
  note('start of the CLI, and the package');
  const rows = [
    ...rowsOf(values, loaded),
    ...bootRows(boots),
    ...runRows(throwaway),
    ...networkRows(sent),
    ...(await installedRows(runs, withLibvirt)),
  ].map(judge);
  const host = await describeHost(qward.programs, libvirt);
  const series = Object.fromEntries(
    [...values].map(([name, list]): [string, Series] => [name, summarise(list)]),
  );
  const at = new Date().toISOString();
  const file = join(checkout, 'bench/results', `${at.replaceAll(':', '')}.json`);
  writeFileSync(file, `${JSON.stringify({ at, host, runs, rows, series }, null, 2)}\n`);
  process.stdout.write(`\n${Object.values(host).join(', ')}\n\n${render(rows)}\n\n${file}\n`);
  if (rows.some(({ met }) => met === false)) process.exitCode = 1;
}

await main();
