/** One run of a hook of the policy's: launched by the broker in a jail of its own, bounded in time, and gone when it has ended. */
import { randomBytes } from 'node:crypto';
import { limitsHit } from '../../linux/limits-hit.ts';
import type { Policy } from '../../policy/policy.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import { hookJobPrefix } from '../../protocol/hook.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { BrokerPort } from '../broker-port.ts';
import { auditAfterMs, auditJob, readJobLog } from '../jailed-job.ts';
import { ProcessWatch } from '../lifecycle/process-watch.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { linesOf, statusOf } from './hook-output.ts';
import { unknownHook } from './named-hooks.ts';
import { pause } from '../pause.ts';

export interface HookServices {
  readonly broker: BrokerPort;
  readonly policy: () => Outcome<Policy>;
  readonly now: () => Date;
  /** Names of the runs of this manager that are under way: what it holds is kept from the sweep of jobs. */
  readonly running: Set<string>;
}

export interface HookCall {
  /** Name of the hook in the policy. */
  readonly hook: string;
  readonly machine: string;
  readonly event: 'start' | 'stop';
  /** Milliseconds; 30 s where it is not given. */
  readonly timeoutMs?: number;
  /** Ends the run before its time. */
  readonly signal?: AbortSignal;
}

export interface HookReport {
  /** The last lines that it wrote, escaped and cut: for the machine's log, whatever the outcome. */
  readonly lines: readonly string[];
  /** Ok: it ended by itself in time, with exit status 0. */
  readonly outcome: Outcome<undefined>;
}

const defaultTimeoutMs = 30_000;
const firstPollMs = 4;
const lastPollMs = 100;
const memory = 128 * 1024 ** 2;

/** Never throws for what the hook does. Nothing of the run is left when this returns, as far as the broker answers. */
export async function runHook(services: HookServices, call: HookCall): Promise<HookReport> {
  const policy = services.policy();
  if (!policy.ok) return { lines: [], outcome: policy };
  const found = policy.value.hooks.find(({ name }) => name === call.hook);
  if (found === undefined)
    return { lines: [], outcome: { ok: false, faults: [unknownHook(call.hook, call.machine, call.event)] } };
  const { broker, running } = services;
  const job = `${hookJobPrefix}${randomBytes(8).toString('hex')}`;
  running.add(job);
  try {
    return await runJailed(services, call, launchOf(job, found.path, call));
  } finally {
    // Where the broker does not answer now, a later sweep finds both by their name.
    await broker.call('kill', { machine: job });
    await broker.call('forget', { machine: job });
    running.delete(job);
  }
}

/** The broker adds what the jail shows, and the environment. */
function launchOf(job: string, path: string, { event, machine }: HookCall): LaunchRequest {
  return {
    machine: job,
    program: 'hook',
    binary: path,
    argv: [event, machine],
    env: {},
    descriptors: [],
    devices: [],
    root: [],
    limits: {
      memory,
      pids: 32,
      cpuWeight: 50,
      cpuQuota: 100_000,
      ioWeight: 50,
      openFiles: 64,
      fileSize: 1024 ** 2,
    },
  };
}

async function runJailed(services: HookServices, call: HookCall, launch: LaunchRequest): Promise<HookReport> {
  if (call.signal?.aborted === true) return { lines: [], outcome: cancelled(call) };
  const launched = await services.broker.call('launch', { launch });
  if (!launched.ok) return { lines: [], outcome: launched };
  using process = new ProcessWatch(launched.value.pid, launched.value.startTime);
  const ended = await untilEnd(services, call, { launched: launched.value, process });
  const output = await readJobLog(launched.value.log);
  const memoryHit = limitsHit(launched.value.cgroup).memory;
  return { lines: linesOf(output), outcome: ended.ok ? judge(call, output, memoryHit) : ended };
}

interface Live {
  readonly launched: LaunchedMachine;
  readonly process: ProcessWatch;
}

/** Returns when it has ended by itself, or must not go on. */
async function untilEnd(
  { broker, now }: HookServices,
  call: HookCall,
  { launched, process }: Live,
): Promise<Outcome<undefined>> {
  const { signal, timeoutMs = defaultTimeoutMs } = call;
  const begun = performance.now();
  let audited = false;
  for (let pollMs = firstPollMs; process.alive; pollMs = Math.min(lastPollMs, pollMs * 1.3)) {
    await pause(pollMs, signal);
    if (signal?.aborted === true) return cancelled(call);
    const passed = performance.now() - begun;
    if (passed > timeoutMs && process.alive) return tooLong(call, timeoutMs);
    if (audited || passed < auditAfterMs) continue;
    audited = true;
    const fault = await auditJob(launched, { broker, now, process });
    if (fault !== undefined) return fault;
  }
  return success(undefined);
}

function judge(call: HookCall, output: string, memoryHit: boolean): Outcome<undefined> {
  const status = statusOf(output);
  if (status === 0) return success(undefined);
  const how =
    status !== undefined
      ? `ended with status ${status}`
      : memoryHit
        ? `needed more memory than its ${memory / 1024 ** 2} MiB`
        : 'ended, and it is not known how: it was killed, or wrote more than its log holds (256 KiB)';
  return failure('hook-failed', `${nameOf(call)} ${how}`, seeLog(call));
}

const nameOf = ({ hook, machine, event }: HookCall): string =>
  `hook "${hook}" for the ${event} of machine "${machine}"`;

const seeLog = ({ machine }: HookCall): string => `what it wrote: \`qward logs ${machine}\``;

function tooLong(call: HookCall, timeoutMs: number): ReturnType<typeof failure> {
  const message = `${nameOf(call)} did not end within ${timeoutMs / 1000} s, and was killed`;
  return failure('timed-out', message, seeLog(call));
}

function cancelled(call: HookCall): ReturnType<typeof failure> {
  return failure('machine-busy', `${nameOf(call)} was ended: nobody waits for it any more`, 'try again');
}
