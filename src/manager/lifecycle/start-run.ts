/**
 * Starting a machine: plan, launch in the jail, monitor, audit while the guest is still stopped, and only then the
 * guest's first instruction. A start that fails leaves nothing.
 */
import type { ExposureOptions } from '../../audit/exposure.ts';
import { differingWalls, type AuditReport } from '../../audit/report.ts';
import type { Fault } from '../../definition/fault.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { limitsHit } from '../../linux/limits-hit.ts';
import type { ProcessFacts } from '../../protocol/broker.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { gaveNoAnswer, type BrokerPort } from '../broker-port.ts';
import type { Planned, Planner } from '../planner.ts';
import type { Beside, OpenedServers } from '../beside/side-servers.ts';
import type { Networks } from '../networks/user-networks.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { explainLaunchFailure } from './launch-failure.ts';
import { lockedImage } from './locked-image.ts';
import { readQemuLog } from './qemu-log.ts';
import { beginsWithinMs, Run } from './run.ts';
import { pullCables, runCommands } from './run-commands.ts';
import type { StartGate } from './start-gate.ts';

export interface StartServices {
  readonly broker: BrokerPort;
  readonly managerState: string;
  readonly planner: Planner;
  readonly now: () => Date;
  readonly audit: (run: Run, facts: ProcessFacts, now: Date, known?: ExposureOptions) => AuditReport;
  /** The other running machine that has this file of the launch open. */
  readonly findLockHolder: (starting: Run, path: string) => Promise<string | undefined>;
  readonly gate: StartGate;
  readonly networks: Networks;
  readonly beside: Beside;
  /** The broker may have something of a machine that was not started: it is to be looked for when the broker answers. */
  readonly onLost: () => void;
  /** Keeps what QEMU said before its log is swept away with the rest. */
  readonly keepLog: (machine: string, lines: readonly string[], at: string) => Promise<void>;
}

export interface StartRequest {
  readonly definition: MachineDefinition;
  /** Uid of the machine's owner. */
  readonly owner: number;
  /** Of the definition; null: not known. */
  readonly revision: string | null;
  /** Leave the guest stopped before its first instruction. */
  readonly paused: boolean;
  /** Ends the start; it then leaves nothing, as if it had failed. */
  readonly signal: AbortSignal;
  /** What must succeed once it is known that the start can be planned: the start hook. */
  readonly beforeLaunch?: () => Promise<Outcome<undefined>>;
  /** What it goes on with in place of a boot. */
  readonly restore?: Incoming | undefined;
}

/** The memory and devices of a guest that comes in: from a file, or from another host. */
export interface Incoming {
  /** As it counted for the process that it comes from; revision null: not known. */
  readonly definition: MachineDefinition;
  readonly revision: string | null;
  /** Whether the guest was paused there, and stays so. */
  readonly paused: boolean;
  /** Whether the manager's own files of the machine may be new ones. */
  readonly makesFiles: boolean;
  /** Before anything is launched: whether it fits the machine as it would come up. */
  check(planned: Planned): Outcome<undefined>;
  /** Into a QEMU that waits for it, and whose walls are proved. Its guest still stands. */
  load(run: Run, session: QmpSession, signal: AbortSignal): Promise<Outcome<undefined>>;
  /** From here on nobody else goes on with it, whoever dies. Durable before it returns. */
  take(): Promise<Outcome<void>>;
  /** QEMU did not let the guest go on. */
  giveBack(session: QmpSession): Promise<void>;
  /** The guest has it. */
  done(): Promise<void>;
}

export interface Started {
  readonly run: Run;
  readonly audit: AuditReport;
}

/** Failed starts tell QEMU's last words beside the faults. */
export type StartOutcome =
  | { readonly ok: true; readonly value: Started }
  | { readonly ok: false; readonly faults: readonly Fault[]; readonly log: readonly string[] };

export async function startRun(services: StartServices, request: StartRequest): Promise<StartOutcome> {
  const { definition, owner, signal, restore } = request;
  const files = { makeFiles: restore?.makesFiles ?? true, incoming: restore !== undefined };
  const planned = await services.planner.plan(definition, { owner, ...files });
  if (!planned.ok) return { ...planned, log: [] };
  const fits = restore?.check(planned.value);
  if (fits?.ok === false) return { ...fits, log: [] };
  if (signal.aborted) return { ...cancelled(definition.name), log: [] };
  const ready = await request.beforeLaunch?.();
  if (signal.aborted) return { ...cancelled(definition.name), log: [] };
  if (ready?.ok === false) return { ...ready, log: [] };
  const leave = services.gate.enter();
  try {
    return await launchAndBringUp(services, request, { planned: planned.value, leave });
  } finally {
    leave();
  }
}

interface Prepared {
  readonly planned: Planned;
  /** To be called once the machine takes no more of the CPU to be brought up. */
  readonly leave: () => void;
}

async function launchAndBringUp(
  services: StartServices,
  request: StartRequest,
  prepared: Prepared,
): Promise<StartOutcome> {
  const { definition } = request;
  const { planned } = prepared;
  const opened = await services.beside.open(planned.plan.beside);
  if (!opened.ok) return { ...opened, log: [] };
  const launched = await services.broker.call('launch', { launch: planned.plan.launch });
  if (!launched.ok) {
    const ended = await services.beside.close(opened.value);
    if (ended.length > 0) return { ok: false, faults: ended, log: [] };
    // The broker may have died half-way: whatever it had made goes.
    if (gaveNoAnswer(launched.faults)) await killRest(services, definition.name);
    // It knows of a process that we do not.
    else if (launched.faults.some(({ code }) => code === 'machine-running')) services.onLost();
    return { ...launched, log: [] };
  }
  const run = await Run.open({
    launched: launched.value,
    managerState: services.managerState,
    revision: request.revision,
    logOffset: 0,
    files: planned.files,
    definition,
  });
  let finished = false;
  try {
    const brought = await bringUp(services, request, { run, opened: opened.value, ...prepared });
    if (brought.ok) {
      finished = true;
      return brought;
    }
    return await describeFailure(services, run, brought.faults);
  } finally {
    if (!finished) await discard(services, run);
  }
}

/** From a launched process to a running guest. */
async function bringUp(
  services: StartServices,
  request: StartRequest,
  { run, planned, leave, opened }: Prepared & { readonly run: Run; readonly opened: OpenedServers },
): Promise<Outcome<Started>> {
  const { signal, paused, definition } = request;
  const joined = await services.beside.begin(run, planned.plan.beside, opened);
  if (!joined.ok) return joined;
  const connected = await run.connect(signal, beginsWithinMs);
  if (signal.aborted) return cancelled(definition.name);
  if (!connected.ok) return await monitorFailure(services, run, connected);
  if ((planned.plan.launch.pins ?? []).length > 0) {
    const pinned = await services.broker.call('pin', { machine: definition.name });
    if (!pinned.ok) return pinned;
  }
  const facts = await services.broker.call('inspect', { machine: definition.name });
  if (!facts.ok) return facts;
  const audit = services.audit(run, facts.value, services.now());
  // SECURITY: promise 5. No instruction of the guest runs before every wall was seen on the live process; that it runs
  // behind one that differs is the definition's word, which the planner held against the policy.
  if (!audit.ok && definition.onAuditFailure === 'stop') return auditFailure(definition.name, audit);
  const served = await services.networks.begin(run, planned.plan.helpers);
  if (!served.ok) return served;
  leave();
  if (!paused) await services.gate.quiet(longestHoldMs, signal);
  if (signal.aborted) return cancelled(definition.name);
  const { session } = run;
  if (session === undefined) return await monitorFailure(services, run, { gone: true, message: 'it closed' });
  const pulled = await pullCables(session, definition);
  if (!pulled.ok) return pulled;
  const told = await runCommands(session, definition, 'paused');
  if (!told.ok) return told;
  const going = await letGo(request, run, session);
  if (!going.ok) return going;
  const after = paused ? success(undefined) : await runCommands(session, definition, 'running');
  // SECURITY: promise 7. A guest that came in is nowhere else any more: it is not ended for words that QEMU does not take.
  if (!after.ok && request.restore === undefined) return after;
  if (!after.ok) await services.keepLog(definition.name, wordsOf(after.faults), services.now().toISOString());
  // Sets whose nodes are open keep a descriptor, and with it its locks (QEMU 7.2); nobody waits for this.
  for (const set of planned.plan.fdsets) void commands.removeFd(session, { set });
  return success({ run, audit });
}

const wordsOf = (faults: readonly Fault[]): readonly string[] => faults.map(({ message }) => message);

/** What was saved comes in, and the guest's first instruction. */
async function letGo(
  { restore, paused, signal, definition }: StartRequest,
  run: Run,
  session: QmpSession,
): Promise<Outcome<undefined>> {
  if (restore !== undefined) {
    const loaded = await restore.load(run, session, signal);
    if (signal.aborted) return cancelled(definition.name);
    if (!loaded.ok) return loaded;
    const taken = await restore.take();
    if (!taken.ok) return taken;
  }
  if (!paused) {
    const going = await commands.cont(session);
    if (!going.ok) {
      await restore?.giveBack(session);
      return failure('monitor-failed', `QEMU did not let the guest go on: ${going.message}`, 'try again');
    }
  }
  await restore?.done();
  return success(undefined);
}

/** Ten machines are brought up within this on two cores; a guest of a start in a longer row need not wait for all. */
const longestHoldMs = 1000;

async function monitorFailure(
  services: StartServices,
  run: Run,
  connected: { readonly gone: boolean; readonly message: string },
): Promise<{ readonly ok: false; readonly faults: readonly Fault[] }> {
  const { machine, launch, log: path } = run.launched;
  const gone = connected.gone && (await run.process.gone(exitGraceMs));
  if (!gone)
    return failure(
      'monitor-failed',
      `machine "${machine}" was not started: ${connected.message}`,
      '`qward logs` shows what QEMU said',
    );
  const { lines } = await readQemuLog(path, 0);
  const end = lines.length === 0 ? await run.process.end(exitGraceMs) : undefined;
  const locked = lockedImage(lines, launch);
  const holder = locked?.path === undefined ? undefined : await services.findLockHolder(run, locked.path);
  const fault = explainLaunchFailure({
    machine,
    log: lines,
    end,
    monitor: connected.message,
    lock: locked && { ...locked, holder },
    memoryLimit: launch.limits.memory,
    memoryLimitHit: limitsHit(run.launched.cgroup, run.killsBefore).memory,
  });
  return { ok: false, faults: [fault] };
}

const exitGraceMs = 1000;

async function describeFailure(
  services: StartServices,
  run: Run,
  faults: readonly Fault[],
): Promise<Extract<StartOutcome, { ok: false }>> {
  const { lines, at } = await readQemuLog(run.launched.log, 0);
  await services.keepLog(run.launched.machine, lines, at);
  return { ok: false, faults, log: lines.slice(-20) };
}

/** Kills and reaps what a failed start made. */
async function discard(services: StartServices, run: Run): Promise<void> {
  run.ending = 'kill';
  await killRest(services, run.launched.machine);
  await run.end('the machine was not started');
}

async function killRest({ broker, onLost }: StartServices, machine: string): Promise<void> {
  const killed = await broker.call('kill', { machine });
  if (!killed.ok) onLost();
}

function auditFailure(machine: string, audit: AuditReport): ReturnType<typeof failure> {
  return failure(
    'audit-failed',
    `machine "${machine}" was stopped before its guest ran, since walls differ: ${differingWalls(audit)}`,
    'see `qward doctor`; what else changes confinement on this host (an LSM, a container)?',
  );
}

function cancelled(machine: string): ReturnType<typeof failure> {
  return failure(
    'machine-busy',
    `the start of machine "${machine}" was ended by a stop or kill`,
    'start it again',
  );
}
