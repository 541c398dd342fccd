/** The qward side: a private instance with the bench's machines, and what is measured of it. */
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { LaunchRequest } from '../src/protocol/launch.ts';
import { startBareQemu } from '../test/support/bare-qemu.ts';
import { checkout } from '../test/support/checkout.ts';
import { demoMachine } from '../test/support/demo-machine.ts';
import { startInstance, type Instance } from '../test/support/instance.ts';
import { RawMonitor } from '../test/support/raw-monitor.ts';
import { machineName, memoryMib } from './guest.ts';
import { command } from './measure.ts';

export interface QwardSide extends AsyncDisposable {
  readonly instance: Instance;
  /** `bundles` or `sources`: which of them ran. */
  readonly programs: string;
  readonly cli: (...args: readonly string[]) => Promise<string>;
  readonly apiStart: (name: string) => Promise<void>;
  readonly apiKill: (name: string) => Promise<void>;
  readonly apiList: () => Promise<void>;
}

/** Defines machines up to `defined`; those below `disks` have a disk of their own, the others are never started. */
export async function startQward(defined: number, disks: number): Promise<QwardSide> {
  const bundled = existsSync(join(checkout, 'dist/qward.js'));
  const instance = await startInstance({ purpose: 'bench', ...(bundled ? { bundles: 'dist' } : {}) });
  try {
    for (let index = 0; index < defined; index++) {
      const name = machineName(index);
      const disk =
        index < disks ? instance.disk(name) : join(instance.paths.images, `${machineName(0)}.qcow2`);
      const source = demoMachine({ name, guest: instance.guest, disk, memory: `${memoryMib}MiB` });
      const reply = await instance.client.call('define', { source });
      if (!reply.ok)
        throw new Error(`define ${name}: ${reply.faults.map(({ message }) => message).join('; ')}`);
    }
  } catch (error) {
    await instance[Symbol.asyncDispose]();
    throw error;
  }
  const env = { ...process.env, ...instance.environment };
  return {
    instance,
    programs: bundled ? 'bundles' : 'sources',
    cli: (...args) => command([...instance.program, ...args], env),
    apiStart: async (name) => demand(await instance.client.call('start', { name })),
    apiKill: async (name) => demand(await instance.client.call('kill', { name })),
    apiList: async () => demand(await instance.client.call('list')),
    [Symbol.asyncDispose]: () => instance[Symbol.asyncDispose](),
  };
}

function demand(
  reply: { readonly ok: true } | { readonly ok: false; readonly faults: readonly { message: string }[] },
): void {
  if (!reply.ok) throw new Error(reply.faults.map(({ message }) => message).join('; '));
}

/** What qward would start, to start the same bare. */
export async function launchOf(side: QwardSide, name: string): Promise<LaunchRequest> {
  const explanation = JSON.parse(await side.cli('explain', name, '--json')) as {
    readonly plan?: { readonly launch: LaunchRequest };
    readonly launch?: LaunchRequest;
  };
  const launch = explanation.plan?.launch ?? explanation.launch;
  if (launch === undefined) throw new Error(`explain ${name} shows no launch`);
  return launch;
}

/** Milliseconds from the start of a bare QEMU until it has answered capabilities and cont; its sockets and log go below `directory`. */
export async function bareStart(launch: LaunchRequest, directory: string): Promise<number> {
  const own = mkdtempSync(join(directory, 'bare-'));
  const started = performance.now();
  const bare = startBareQemu(launch, own);
  const ended = once(bare.child, 'exit');
  try {
    await using monitor = await RawMonitor.open(bare.sockets.qmp ?? '');
    await monitor.execute('cont');
    return performance.now() - started;
  } finally {
    bare.child.kill('SIGKILL');
    await ended;
  }
}

/** Proportional set size in MiB: private pages, and of shared ones the process's part. */
export function pssMib(pid: number): number {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? Number.NaN) / 1024;
}
