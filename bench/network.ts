/**
 * How fast a guest sends: by a user network beyond the host, and by a bridge to the host, each beside the same QEMU and passt with the same
 * arguments started bare. All four guests have a connection all the time, and in each round each is read from for a moment, the others not: a
 * guest whose data nobody takes sends none. On network namespaces; no packet leaves them.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { blocking, connectUnixSocket } from '../src/linux/unix-socket.ts';
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
import type { Row } from './table.ts';

const memory = '96MiB';
const windowMs = 2_000;
/** Of each window: what was sent into buffers while nobody took it. */
const settleMs = 500;
const connectsWithinMs = 120_000;
const mib = 1024 ** 2;

const kinds = {
  passt: { nic: 'kind: user', target: '192.0.2.1', port: 9001 },
  bridge: { nic: 'kind: bridge, bridge: br0', target: '192.0.4.1', port: 9003 },
} as const;
type Kind = keyof typeof kinds;
type Side = 'qward' | 'bare';
export type NetworkSeries = ReadonlyMap<`${Side} ${Kind}`, readonly number[]>;

/** Takes what a guest sends, when it is asked to. */
interface Sink {
  /** MiB for each second. */
  readonly read: () => Promise<number>;
}

async function listenAt(address: string, port: number): Promise<Sink> {
  const connections: Socket[] = [];
  let bytes = 0;
  const server = createServer((socket) => {
    socket.on('data', (piece: Buffer) => void (bytes += piece.length));
    socket.on('error', () => undefined);
    socket.pause();
    connections.push(socket);
  });
  server.listen(port, address);
  await once(server, 'listening');
  server.unref();
  return {
    read: async () => {
      for (const giveUpAt = performance.now() + connectsWithinMs; connections.length === 0; await delay(100))
        if (performance.now() > giveUpAt) throw new Error(`no guest sends to ${address}:${port}`);
      connections.at(-1)?.resume();
      await delay(settleMs);
      const [before, began] = [bytes, performance.now()];
      await delay(windowMs);
      const rate = (bytes - before) / mib / ((performance.now() - began) / 1000);
      connections.at(-1)?.pause();
      return rate;
    },
  };
}

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
  await using monitor = await RawMonitor.open(bare.sockets.qmp ?? '');
  for (const helper of helpers) {
    const connected = connectUnixSocket(bare.sockets['net0'] ?? '');
    if (!('fd' in connected)) throw new Error(`net0: ${connected.code}`);
    blocking(connected.fd);
    const { binary, argv } = helper.launch;
    children.push(spawn(binary, argv, { stdio: ['ignore', 'ignore', 'inherit', connected.fd] }));
    closeSync(connected.fd);
  }
  await monitor.execute('cont');
  return children;
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
    for (const kind of ['passt', 'bridge'] as const) {
      for (const side of ['qward', 'bare'] as const) await define(instance, side, kind);
      granted(await instance.client.call('start', { name: nameOf('qward', kind) }));
      children.push(...(await startBare(instance, kind)));
    }
    const series = new Map([...sinks.keys()].map((name): [`${Side} ${Kind}`, number[]] => [name, []]));
    // The first connects all of them, and is not counted.
    for (let round = -1; round < rounds; round++)
      for (const [name, sink] of sinks) {
        const rate = await sink.read();
        if (round >= 0) series.get(name)?.push(rate);
      }
    return series;
  } finally {
    for (const child of children.toReversed()) child.kill('SIGKILL');
    enterNetwork(home);
  }
}

export function networkRows(series: NetworkSeries): Row[] {
  const median = (name: `${Side} ${Kind}`): number | null => {
    const values = series.get(name) ?? [];
    return values.length === 0 ? null : summarise(values).median;
  };
  const row = (kind: Kind, what: string, note: string): Row => ({
    what: `a guest sends ${what}`,
    unit: 'MiB/s',
    qward: median(`qward ${kind}`),
    other: median(`bare ${kind}`),
    target: { kind: 'share', atLeast: 0.95 },
    note,
  });
  const vhost = existsSync('/dev/vhost-net') ? 'TCG; with vhost-net' : 'TCG; without vhost-net';
  return [
    row('passt', 'beyond the host by passt, against the same passt started bare', 'TCG'),
    row('bridge', 'to the host by a bridge, against the same QEMU started bare', vhost),
  ];
}
