/**
 * `throughput ROUNDS`, bundled for the lab's host, with the runtime's `--experimental-ffi`: how fast a guest of the machine `jailed` sends to
 * 192.0.4.1:9003 over its bridge, and one of the same QEMU that is started bare by the plan of the machine `bare`, to port 9004. JSON: the
 * rates of each round, MiB for each second, and for each second of QEMU's CPU time.
 */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listenAt, type Rate } from '../../bench/sink.ts';
import type { LaunchRequest } from '../../src/protocol/launch.ts';
import { startBareQemu } from '../../test/support/bare-qemu.ts';
import { RawMonitor } from '../../test/support/raw-monitor.ts';

/** Where the machines of qward have their CPU, and a share of it as each of them has. */
const cgroup = '/sys/fs/cgroup/qward.slice/bare.scope';

const qward = (...words: readonly string[]): string =>
  execFileSync('qward', words, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });

async function main(): Promise<void> {
  const rounds = Number(process.argv[2]);
  const sinks = { jailed: await listenAt('192.0.4.1', 9003), bare: await listenAt('192.0.4.1', 9004) };
  const { plan }: { readonly plan: { readonly launch: LaunchRequest } } = JSON.parse(
    qward('explain', 'bare', '--json'),
  );
  const { child, sockets } = startBareQemu(plan.launch, mkdtempSync(join(tmpdir(), 'bare-')));
  try {
    mkdirSync(cgroup, { recursive: true });
    writeFileSync(join(cgroup, 'cgroup.procs'), String(child.pid));
    await using monitor = await RawMonitor.open(sockets.qmp ?? '');
    await monitor.execute('cont');
    const jailed = Number(/"pid": *(\d+)/.exec(qward('status', 'jailed', '--json'))?.[1]);
    const pids = { jailed: [jailed], bare: [child.pid ?? 0] };
    const rates: Record<'jailed' | 'bare', Rate[]> = { jailed: [], bare: [] };
    // The first connects both, and is not counted.
    for (let round = -1; round < rounds; round++)
      for (const side of ['jailed', 'bare'] as const) {
        const rate = await sinks[side].read(pids[side]);
        if (round >= 0) rates[side].push(rate);
      }
    console.log(JSON.stringify(rates));
  } finally {
    child.kill('SIGKILL');
  }
}

void main();
