/**
 * Boot and shutdown of the host with 20 machines: from `host up` (libvirt: the start of its daemon) until all of them run, and
 * from the word to shut down until none does. An instance of its own.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checkout } from '../test/support/checkout.ts';
import { readyLine } from '../test/support/demo-guest.ts';
import { demoMachine } from '../test/support/demo-machine.ts';
import { startInstance, type Instance } from '../test/support/instance.ts';
import { granted } from '../test/support/small-machine.ts';
import { makeBenchGuest } from './guest.ts';
import type { Libvirt } from './libvirt.ts';
import { command, summarise, timed } from './measure.ts';
import type { Row } from './table.ts';

const machines = 20;
// The kernel of the demo guest does not boot with 64.
const memoryMib = 96;
/**
 * How long a guest's own shutdown takes, as that of a distribution with its services would. One that is gone after 30 ms of nothing
 * but computing would show how many of them two cores can compute at once, whoever asked them to end.
 */
const servicesSeconds = 2;
const nameOf = (index: number): string => `boot-${String(index).padStart(2, '0')}`;
const names = Array.from({ length: machines }, (_, index) => nameOf(index));
const readyWithinMs = 300_000;

export type BootSeries = ReadonlyMap<
  'qward boot' | 'libvirt boot' | 'qward shutdown' | 'slowest stop alone',
  readonly number[]
>;

/** Milliseconds of each round. The guests have booted before they are shut down. */
export async function bootRounds(rounds: number, libvirt: Libvirt | undefined): Promise<BootSeries> {
  const bundled = existsSync(join(checkout, 'dist/qward.js'));
  await using instance = await startInstance({ purpose: 'bench', ...(bundled ? { bundles: 'dist' } : {}) });
  await defineMachines(instance);
  if (libvirt !== undefined) {
    const directory = join(instance.directory, 'libvirt-boot');
    await libvirt.defineAutostarted(
      makeBenchGuest(instance.guest, directory, { disks: machines, memoryMib }),
      nameOf,
    );
  }
  const [ours, theirs, shutdown, alone]: number[][] = [[], [], [], []];
  const env = { ...process.env, ...instance.environment };
  const host = (...words: readonly string[]): Promise<string> =>
    command([...instance.program, 'host', ...words, ...instance.hostFlags], env);
  for (let round = 0; round < rounds; round++) {
    await host('down');
    ours?.push(await timed(() => host('up')));
    // The scroll-back has the boots of earlier rounds too.
    await untilBooted(instance, 2 * round + 1);
    alone?.push(await slowestStop(instance));
    await untilBooted(instance, 2 * round + 2);
    shutdown?.push(await timed(async () => granted(await instance.client.call('hostShutdown'))));
    if (libvirt === undefined) continue;
    theirs?.push(await timed(() => libvirt.boot(machines)));
    for (const name of names) await command(libvirt.virsh('destroy', name));
  }
  return new Map([
    ['qward boot', ours ?? []],
    ['libvirt boot', theirs ?? []],
    ['qward shutdown', shutdown ?? []],
    ['slowest stop alone', alone ?? []],
  ]);
}

async function defineMachines(instance: Instance): Promise<void> {
  const claims = await instance.client.claims();
  for (const name of names) {
    const disk = instance.disk(name);
    const switches = `qward.services=${servicesSeconds}`;
    const source = demoMachine({ name, guest: instance.guest, disk, switches, memory: `${memoryMib}MiB` });
    granted(await instance.client.call('define', { source }));
    granted(await claims.enableAutostart(name));
  }
}

/** Each guest has said so often that it is up. */
async function untilBooted({ client }: Instance, boots: number): Promise<void> {
  const deadline = performance.now() + readyWithinMs;
  for (const name of names) {
    for (;;) {
      const { output } = granted(await client.call('consoleOutput', { name }));
      if (Buffer.from(output, 'base64').toString('latin1').split(readyLine).length > boots) break;
      if (performance.now() > deadline) throw new Error(`${name} has not booted`);
      await delay(100);
    }
  }
}

/** Milliseconds that the slowest takes when they are stopped one after the other; all run again afterwards. */
async function slowestStop({ client }: Instance): Promise<number> {
  const stops: number[] = [];
  for (const name of names) stops.push(await timed(async () => granted(await client.call('stop', { name }))));
  for (const name of names) granted(await client.call('start', { name }));
  return Math.max(...stops);
}

export function bootRows(boots: BootSeries): Row[] {
  const median = (name: Parameters<BootSeries['get']>[0]): number | null => {
    const series = boots.get(name) ?? [];
    return series.length === 0 ? null : summarise(series).median;
  };
  const shutdown = median('qward shutdown');
  return [
    {
      what: `boot: ${machines} machines run, from \`host up\` or libvirtd's start on`,
      unit: 'ms',
      qward: median('qward boot'),
      other: median('libvirt boot'),
      target: { kind: 'ratio', atMost: 0.5 },
      note: median('libvirt boot') === null ? 'no libvirtd here' : '',
    },
    {
      what: `shutdown of ${machines} guests that take ${servicesSeconds} s, against the slowest of them stopped alone`,
      unit: 'ms',
      qward: median('qward shutdown'),
      other: median('slowest stop alone'),
      target: { kind: 'ratio', atMost: 1.5 },
      note: '',
    },
    {
      what: `what of that shutdown is not the guests' ${servicesSeconds} s, for each of ${machines}`,
      unit: 'ms',
      qward: shutdown === null ? null : (shutdown - servicesSeconds * 1000) / machines,
      other: null,
      target: { kind: 'at-most', value: 40 },
      note: 'qward, the guest and its QEMU',
    },
  ];
}
