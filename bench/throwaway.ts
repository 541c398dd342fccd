/**
 * Time to the first output: from the command line of `qward run` to the first byte of its command, in the demo guest; beside the
 * time that the same guest takes under a QEMU without qward until it says that it is up; and the same in a copy of a saved machine, whose
 * guest is up. An instance of its own.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { checkout } from '../test/support/checkout.ts';
import { readyLine, type DemoGuest } from '../test/support/demo-guest.ts';
import { addGuestRunner } from '../test/support/guest-runner.ts';
import { startInstance } from '../test/support/instance.ts';
import { rememberNoKvm } from '../test/support/small-machine.ts';
import { saveWarm } from '../test/support/warm-machine.ts';
import { summarise } from './measure.ts';
import type { Row } from './table.ts';

const memoryMib = 144;

export type RunSeries = ReadonlyMap<'first output' | 'bare boot' | 'from a saved machine', readonly number[]>;

/** Milliseconds of each round; one before them warms up. */
export async function runRounds(rounds: number): Promise<RunSeries> {
  const bundled = existsSync(join(checkout, 'dist/qward.js'));
  await using instance = await startInstance({ purpose: 'bench', ...(bundled ? { bundles: 'dist' } : {}) });
  rememberNoKvm(instance);
  const guest = addGuestRunner(instance.guest, join(instance.paths.images, 'initrd-runner.cpio'));
  const boot = ['--kernel', guest.kernel, '--initrd', guest.initrd, '--cmdline', guest.cmdline];
  const words = ['run', instance.disk('base'), ...boot, '--memory', `${memoryMib}MiB`, '--', 'echo', 'first'];
  await saveWarm(instance, `${memoryMib}MiB`);
  const copy = ['run', '--from', 'warm', '--', 'echo', 'first'];
  const env = { ...process.env, ...instance.environment };
  const first: number[] = [];
  const bare: number[] = [];
  const warm: number[] = [];
  for (let round = 0; round <= rounds; round++) {
    const ours = await untilSays([...instance.program, ...words], 'first', env);
    const theirs = await untilSays(bareQemu(guest), readyLine, env);
    const copied = await untilSays([...instance.program, ...copy], 'first', env);
    if (round === 0) continue;
    first.push(ours);
    bare.push(theirs);
    warm.push(copied);
  }
  return new Map([
    ['first output', first],
    ['bare boot', bare],
    ['from a saved machine', warm],
  ]);
}

const bareQemu = ({ kernel, initrd, cmdline }: DemoGuest): readonly string[] => {
  const machine = ['-accel', 'tcg', '-m', String(memoryMib), '-nodefaults', '-display', 'none', '-no-reboot'];
  const boot = ['-kernel', kernel, '-initrd', initrd, '-append', cmdline, '-serial', 'stdio'];
  return ['qemu-system-x86_64', ...machine, ...boot];
};

/** Milliseconds until the program has written this; then it is ended. */
async function untilSays(argv: readonly string[], wanted: string, env: NodeJS.ProcessEnv): Promise<number> {
  const [program = '', ...args] = argv;
  const started = performance.now();
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'], env });
  const ended = once(child, 'close');
  let text = '';
  for await (const piece of child.stdout as AsyncIterable<Buffer>) {
    text += piece.toString('latin1');
    if (text.includes(wanted)) break;
  }
  const took = performance.now() - started;
  child.kill('SIGTERM');
  await ended;
  if (!text.includes(wanted)) throw new Error(`${program} did not say "${wanted}": ${text}`);
  return took;
}

export function runRows(runs: RunSeries): Row[] {
  const median = (name: Parameters<RunSeries['get']>[0]): number | null => {
    const series = runs.get(name) ?? [];
    return series.length === 0 ? null : summarise(series).median;
  };
  return [
    {
      what: 'first output of `qward run`, against the boot of the same guest under bare QEMU',
      unit: 'ms',
      qward: median('first output'),
      other: median('bare boot'),
      target: { kind: 'ratio', atMost: 1.7 },
      note: 'TCG; the guest starts Python after its boot',
    },
    {
      what: 'first output of `qward run --from`, against the boot of the same guest under bare QEMU',
      unit: 'ms',
      qward: median('from a saved machine'),
      other: median('bare boot'),
      target: { kind: 'ratio', atMost: 1 },
      note: 'TCG; the guest was saved when it was up',
    },
  ];
}
