/**
 * How fast a guest sends: by a user network beyond the host, and by a bridge to the host, each beside the same QEMU and passt with the same
 * arguments started bare. All four guests run all the time, and in each round each is read from for some seconds. The bare ones have a
 * cgroup of their own each: where other programs take CPUs, the kernel shares these out by cgroup. On network namespaces; no packet leaves them.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { findCgroupMounts } from '../src/jail/cgroups.ts';
import { blocking, connectUnixSocket } from '../src/linux/unix-socket.ts';
import { passtJobPrefix } from '../src/protocol/passt.ts';
import type { LaunchRequest } from '../src/protocol/launch.ts';
import { startBareQemu } from '../test/support/bare-qemu.ts';
import { checkout } from '../test/support/checkout.ts';
import { demoMachine } from '../test/support/demo-machine.ts';
import { startInstance, type Instance } from '../test/support/instance.ts';
import { enterNetwork } from '../test/support/network.ts';
import { RawMonitor } from '../test/support/raw-monitor.ts';
import { granted } from '../test/support/small-machine.ts';
import { createUplink, type Uplink } from '../test/support/uplink.ts';
import { command, summarise } from './measure.ts';
import { listenAt, type Sink } from './sink.ts';
import type { Row } from './table.ts';

const memory = '96MiB';

const kinds = {
  passt: { nic: 'kind: user', target: '192.0.2.1', port: 9001 },
  bridge: { nic: 'kind: bridge, bridge: br0', target: '192.0.4.1', port: 9003 },
} as const;
type Kind = keyof typeof kinds;
type Side = 'qward' | 'bare';
export type NetworkSeries = ReadonlyMap<`${Side} ${Kind}` | `${Side} ${Kind}, CPU`, readonly number[]>;

const nameOf = (side: Side, kind: Kind): string => `${side}-${kind}`;
const portOf = (side: Side, kind: Kind): number => kinds[kind].port + (side === 'bare' ? 1 : 0);

async function define(instance: Instance, side: Side, kind: Kind): Promise<void> {
  const { nic, target } = kinds[kind];
  const from = kind === 'bridge' ? `qward.address=192.0.4.${side === 'bare' ? 3 : 2}` : 'qward.net';
  const source = demoMachine({
    name: nameOf(side, kind),
    guest: instance.guest,
    memory,
    switches: `${from} qward.pour=${target}:${portOf(side, kind)}`,
    more: `nics: [{ id: net, ${nic} }]`,
  });
  granted(await instance.client.call('define', { source }));
}

interface Plan {
  readonly launch: LaunchRequest;
  readonly helpers?: readonly { readonly launch: LaunchRequest }[];
}

/** What qward would start, started as it is, without a jail; the network namespace is this thread's. */
async function startBare(instance: Instance, kind: Kind): Promise<readonly ChildProcess[]> {
  const name = nameOf('bare', kind);
  const env = { ...process.env, ...instance.environment };
  const told = JSON.parse(await command([...instance.program, 'explain', name, '--json'], env)) as {
    readonly plan: Plan;
  };
  const { launch, helpers = [] } = told.plan;
  const bare = startBareQemu(launch, mkdtempSync(join(instance.directory, 'bare-')));
  const children: ChildProcess[] = [bare.child];
  intoCgroup(instance, name, bare.child.pid);
  await using monitor = await RawMonitor.open(bare.sockets.qmp ?? '');
  for (const helper of helpers) {
    const connected = connectUnixSocket(bare.sockets['net0'] ?? '');
    if (!('fd' in connected)) throw new Error(`net0: ${connected.code}`);
    blocking(connected.fd);
    const { binary, argv } = helper.launch;
    const passt = spawn(binary, argv, { stdio: ['ignore', 'ignore', 'inherit', connected.fd] });
    intoCgroup(instance, `${name}-net`, passt.pid);
    children.push(passt);
    closeSync(connected.fd);
  }
  await monitor.execute('cont');
  return children;
}

/** In every hierarchy that gives out CPUs; swept with those of the instance. */
function intoCgroup(instance: Instance, name: string, pid = 0): void {
  const { layout, mounts } = findCgroupMounts();
  for (const { path } of mounts.filter(
    (one) => layout === 'v2' || existsSync(join(one.path, 'cpu.shares')),
  )) {
    const directory = join(path, instance.cgroupParent, name);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'cgroup.procs'), String(pid));
  }
}

/** The thread is left in the namespace of the host. */
async function listenEverywhere({ host, world }: Uplink): Promise<Map<`${Side} ${Kind}`, Sink>> {
  host.run('ip', 'link', 'add', 'br0', 'type', 'bridge');
  host.run('ip', 'address', 'add', '192.0.4.1/24', 'dev', 'br0');
  host.run('ip', 'link', 'set', 'br0', 'up');
  const sinks = new Map<`${Side} ${Kind}`, Sink>();
  for (const [kind, network] of [
    ['passt', world],
    ['bridge', host],
  ] as const) {
    enterNetwork(network.path);
    for (const side of ['qward', 'bare'] as const)
      sinks.set(`${side} ${kind}`, await listenAt(kinds[kind].target, portOf(side, kind)));
  }
  return sinks;
}

/** Of the machine's QEMU and its passt, as the broker has noted them. */
function pidsOf({ paths }: Instance, kind: Kind): readonly number[] {
  const records = `${paths.brokerRun}/machines`;
  return readdirSync(records)
    .filter(
      (name) =>
        name === `${nameOf('qward', kind)}.json` || (kind === 'passt' && name.startsWith(passtJobPrefix)),
    )
    .map((name) => Number(Reflect.get(Object(JSON.parse(readFileSync(join(records, name), 'utf8'))), 'pid')));
}

async function readAll(
  sinks: ReadonlyMap<`${Side} ${Kind}`, Sink>,
  pids: ReadonlyMap<`${Side} ${Kind}`, readonly number[]>,
  rounds: number,
): Promise<NetworkSeries> {
  const series = new Map<`${Side} ${Kind}` | `${Side} ${Kind}, CPU`, number[]>();
  // The first connects all of them, and is not counted.
  for (let round = -1; round < rounds; round++)
    for (const [name, sink] of sinks) {
      const { wall, cpu } = await sink.read(pids.get(name) ?? []);
      if (round < 0) continue;
      series.set(name, [...(series.get(name) ?? []), wall]);
      series.set(`${name}, CPU`, [...(series.get(`${name}, CPU`) ?? []), cpu]);
    }
  return series;
}

/** MiB for each second and round. */
export async function networkRounds(rounds: number): Promise<NetworkSeries> {
  const home = '/proc/1/ns/net';
  const bundled = existsSync(join(checkout, 'dist/qward.js'));
  using uplink = await createUplink();
  const children: ChildProcess[] = [];
  try {
    const sinks = await listenEverywhere(uplink);
    await using instance = await startInstance({
      purpose: 'bench',
      network: uplink.host.path,
      policy: { bridges: ['br0'] },
      ...(bundled ? { bundles: 'dist' } : {}),
    });
    const pids = new Map<`${Side} ${Kind}`, readonly number[]>();
    for (const kind of ['passt', 'bridge'] as const) {
      for (const side of ['qward', 'bare'] as const) await define(instance, side, kind);
      granted(await instance.client.call('start', { name: nameOf('qward', kind) }));
      const bare = await startBare(instance, kind);
      children.push(...bare);
      pids.set(
        `bare ${kind}`,
        bare.map(({ pid = 0 }) => pid),
      );
      pids.set(`qward ${kind}`, pidsOf(instance, kind));
    }
    return await readAll(sinks, pids, rounds);
  } finally {
    for (const child of children.toReversed()) child.kill('SIGKILL');
    enterNetwork(home);
  }
}

export function networkRows(series: NetworkSeries): Row[] {
  const median = (name: `${Side} ${Kind}` | `${Side} ${Kind}, CPU`): number | null => {
    const values = series.get(name) ?? [];
    return values.length === 0 ? null : summarise(values).median;
  };
  const rows = (kind: Kind, what: string, note: string): Row[] =>
    (['', ', CPU'] as const).map((of) => ({
      what: `a guest sends ${what}${of === '' ? '' : ', for each second of CPU time'}`,
      unit: of === '' ? 'MiB/s' : 'MiB',
      qward: median(`qward ${kind}${of}`),
      other: median(`bare ${kind}${of}`),
      target: { kind: 'share', atLeast: 0.95 },
      note,
    }));
  const vhost = existsSync('/dev/vhost-net') ? 'TCG; with vhost-net' : 'TCG; without vhost-net';
  return [
    ...rows('passt', 'beyond the host by passt, against the same passt started bare', 'TCG'),
    ...rows('bridge', 'to the host by a bridge, against the same QEMU started bare', vhost),
  ];
}
