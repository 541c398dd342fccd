/** One run of qemu-img in its jail: launched by the broker like a machine, audited like one, and gone when it has ended. */
import { readFile } from 'node:fs/promises';
import { limitsHit } from '../../linux/limits-hit.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { BrokerPort } from '../broker-port.ts';
import { auditAfterMs, auditJob, readJobLog } from '../jailed-job.ts';
import { ProcessWatch } from '../lifecycle/process-watch.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { progressOf, type StepEnd } from './job-output.ts';
import { pause } from '../pause.ts';

export interface StepLimits {
  /** Neither output nor use of a CPU for so long ends a job. */
  readonly stallMs: number;
  /** So much CPU time without any output does too. */
  readonly spinMs: number;
}
export const defaultStepLimits: StepLimits = { stallMs: 300_000, spinMs: 900_000 };

export interface StepServices {
  readonly broker: BrokerPort;
  readonly now: () => Date;
  readonly limits: StepLimits;
}

export interface StepOptions {
  /** Ends the run. */
  readonly signal: AbortSignal;
  readonly onProgress: (percent: number | null) => void;
}

const firstPollMs = 5;
const lastPollMs = 250;
const exitGraceMs = 500;

/** What it wrote and how it ended; nothing of it is left then. */
export async function runStep(
  { broker, now, limits }: StepServices,
  launch: LaunchRequest,
  { signal, onProgress }: StepOptions,
): Promise<Outcome<StepEnd>> {
  if (signal.aborted) return cancelled();
  const launched = await broker.call('launch', { launch });
  try {
    if (!launched.ok) return launched;
    using process = new ProcessWatch(launched.value.pid, launched.value.startTime);
    const stopped = await watch(launched.value, { broker, now, limits, process, signal, onProgress });
    if (!stopped.ok) return stopped;
    const end = await process.end(exitGraceMs);
    return success({
      output: await readJobLog(launched.value.log),
      end,
      memoryHit: limitsHit(launched.value.cgroup).memory,
    });
  } finally {
    // Where the broker does not answer now, the next manager finds it by its name.
    await broker.call('kill', { machine: launch.machine });
  }
}

type Watch = StepServices & StepOptions & { readonly process: ProcessWatch };

/** Returns when the process has ended by itself, or must not go on. */
async function watch(launched: LaunchedMachine, work: Watch): Promise<Outcome<undefined>> {
  const { process, signal, onProgress, limits } = work;
  const begun = performance.now();
  let audited = false;
  let seen = { size: -1, ticks: -1, movedAt: begun, ticksAtOutput: 0 };
  for (let pollMs = firstPollMs; process.alive; pollMs = Math.min(lastPollMs, pollMs * 1.3)) {
    await pause(pollMs, signal);
    if (signal.aborted) return cancelled();
    const [output, ticks] = await Promise.all([readJobLog(launched.log), cpuTicks(launched.pid)]);
    onProgress(progressOf(output));
    const now = performance.now();
    if (output.length !== seen.size)
      seen = { size: output.length, ticks, movedAt: now, ticksAtOutput: ticks };
    else if (ticks !== seen.ticks) seen = { ...seen, ticks, movedAt: now };
    if (now - seen.movedAt > limits.stallMs) return stalled(`nothing moved for ${limits.stallMs / 1000} s`);
    const spent = (ticks - seen.ticksAtOutput) * tickMs;
    if (spent > limits.spinMs) return stalled(`${limits.spinMs / 1000} s of CPU time brought it no further`);
    if (!audited && now - begun > auditAfterMs) {
      audited = true;
      const fault = await auditJob(launched, work);
      if (fault !== undefined) return fault;
    }
  }
  return success(undefined);
}

/** USER_HZ, which is 100 on x86 (time(7)). */
const tickMs = 10;

/** utime and stime of all its threads (proc(5)); 0 where it is gone. */
async function cpuTicks(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

function cancelled(): Outcome<never> {
  return failure('machine-busy', 'the job was ended: its caller went away', 'begin it again');
}

function stalled(why: string): Outcome<never> {
  return failure(
    'timed-out',
    `qemu-img was ended: ${why}`,
    'the image was made to do harm, or its file system hangs',
  );
}
