/** Calls on a machine that is there: its life, its logs, its monitor. */
import { setTimeout as wait } from 'node:timers/promises';
import type { MachineStatus } from '../../api/contract.ts';
import type { Fault } from '../../definition/fault.ts';
import { explainDenials } from '../../plan/passthrough/denials.ts';
import { commands } from '../../qmp/commands.ts';
import type { CommandFailure } from '../../qmp/command-result.ts';
import { ScrollBack } from '../console/scroll-back.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { consoleDirectory } from '../lifecycle/run.ts';
import type { Machines } from '../machines.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { withinQuota, type KeepingServices } from '../saved/within-quota.ts';
import type { SavedState } from '../saved/saved-states.ts';
import { isThrowawayName } from '../throwaway/throwaway-name.ts';
import type { Handlers } from '../server/call.ts';

type MachineCalls =
  | 'status'
  | 'start'
  | 'stop'
  | 'kill'
  | 'reset'
  | 'save'
  | 'discardState'
  | 'pause'
  | 'resume'
  | 'wait'
  | 'logs'
  | 'consoleOutput'
  | 'why'
  | 'qmp'
  | 'monitor';

export interface MachineHandlerServices extends KeepingServices {
  readonly machines: Machines;
  readonly managerState: string;
  /** The uid that the broker keeps for a machine; undefined: none, or it does not answer. */
  readonly uidOf: (machine: string) => Promise<number | undefined>;
  /** Names the line of the policy that a fault comes from. */
  readonly placed: (fault: Fault) => Fault;
}

const qmpTimeoutMs = 30_000;
const whyLines = 500;

export function createMachineHandlers(services: MachineHandlerServices): Pick<Handlers, MachineCalls> {
  return {
    status: ({ machine }) => success(describeMachine(services, machine)),
    start: ({ machine, identity, body }) =>
      machine.start({ paused: body.paused, state: body.state, by: identity.user }),
    stop: ({ machine, identity, body }) =>
      machine.stop(body.timeoutMs ?? machine.record?.definition.stop.timeout ?? 60_000, identity.user),
    kill: ({ machine, identity }) => machine.kill(identity.user),
    reset: ({ machine, identity }) => machine.reset(identity.user),
    save: ({ machine, identity }) =>
      isThrowawayName(machine.name)
        ? failure(
            'request-invalid',
            `machine "${machine.name}" is a throwaway machine, of which nothing is kept`,
            'define a machine of your own',
          )
        : withinQuota(services, machine, () => machine.save({ by: identity.user })),
    discardState: ({ machine, identity }) => machine.discardState(identity.user),
    pause: ({ machine, identity }) => machine.pause(identity.user),
    resume: ({ machine, identity }) => machine.resume(identity.user),
    wait: async ({ machine, identity, body, closed }) => {
      const { states, timeoutMs } = body;
      const state = await machine.life.board.reach(states, { timeoutMs, signal: closed() });
      // It may have been hours: the right may be gone.
      if (!services.machines.may(identity, 'see', machine)) return unseen(machine.name);
      if (state !== undefined) return success({ name: machine.name, state, outcome: state });
      return failure(
        'timed-out',
        `machine "${machine.name}" is ${machine.state}; it was not ${states.join(' or ')} within ${timeoutMs / 1000} s`,
        'wait longer with --timeout',
      );
    },
    logs: async ({ machine, query }) => {
      await machine.life.keepLog();
      return success({ name: machine.name, lines: [...(await machine.log.tail(query.lines))] });
    },
    why: async ({ machine, body }) => {
      const { record, run, life, log } = machine;
      if (record === null)
        return failure('machine-unknown', `machine "${machine.name}" is not defined`, 'it has no grants');
      const lines = await log.tail(whyLines);
      const uid = run?.launched.uid ?? (await services.uidOf(machine.name));
      const denials = explainDenials(
        {
          log: [
            ...(life.lastEnd?.log ?? []),
            ...lines.flatMap(({ from, text }) => (from === 'qemu' ? [text] : [])),
          ],
          // SECURITY: promise 4. Of what the caller read, what this machine's process was denied, and no other's.
          kernel: body.kernel.filter(
            (line) => uid !== undefined && new RegExp(`\\b(?:fs)?uid=${uid}\\b`).test(line),
          ),
          signal: life.lastEnd?.signal ?? null,
        },
        record.definition,
        run?.launched.launch.root.map(({ target }) => target) ?? [],
      );
      return success({ name: machine.name, denials: [...denials] });
    },
    consoleOutput: async ({ machine }) => {
      const { output, lost } = await readConsole(services.managerState, machine);
      return success({ name: machine.name, output: output.toString('base64'), lost });
    },
    qmp: async ({ machine, body }) => {
      const session = machine.monitor();
      if (!session.ok) return session;
      const result = await session.value.execute(body.execute, body.arguments, { timeoutMs: qmpTimeoutMs });
      return result.ok
        ? success({ name: machine.name, return: result.value })
        : monitorFailure(machine, result);
    },
    monitor: async ({ machine, body }) => {
      const session = machine.monitor();
      if (!session.ok) return session;
      const result = await commands.humanMonitor(session.value, { line: body.command });
      return result.ok
        ? success({ name: machine.name, output: result.value })
        : monitorFailure(machine, result);
    },
  };
}

type StatusAnswer = Awaited<ReturnType<Handlers['status']>>;
type Status = Extract<StatusAnswer, { ok: true }>['value'];

function describeMachine({ machines, placed }: MachineHandlerServices, machine: Machine): Status {
  const { life, run } = machine;
  const refusals = machines.refusals(machine).map(placed);
  return {
    ...machines.summary(machine),
    cgroup: run?.launched.cgroup ?? null,
    accel: run?.accel ?? null,
    lastEnd: life.lastEnd,
    audit: run === undefined ? null : life.audit,
    saved: describeSaved(machine.saved),
    progress: machine.progress,
    moved: machine.moved,
    notRestarted: life.after.restarts.givenUp,
    consoleWriter: run?.console.writer ?? null,
    networks: [...(run?.networks?.states ?? [])],
    beside: [...(run?.beside?.states ?? [])],
    notAdmittedFor: refusals.map(({ message, ruleAt }) =>
      ruleAt === undefined ? message : `${message}: ${ruleAt}`,
    ),
  };
}

function describeSaved(saved: SavedState | undefined): MachineStatus['saved'] {
  if (saved === undefined) return null;
  if (!saved.usable) return { at: '', by: '', bytes: 0, unusable: saved.reason };
  const { savedAt: at, by, memory } = saved.note;
  return { at, by, bytes: memory.bytes, unusable: null };
}

/** The scroll-back of a machine that does not run is opened for the moment. */
async function readConsole(
  managerState: string,
  machine: Machine,
): Promise<{ readonly output: Buffer; readonly lost: number }> {
  if (machine.run !== undefined) {
    // What the guest wrote before the call is to be in the answer: it is on its way through the event loop.
    await wait(0);
    return await machine.run.console.scrollBack.read();
  }
  const scrollBack = await ScrollBack.open(consoleDirectory(managerState, machine.name));
  try {
    return await scrollBack.read();
  } finally {
    await scrollBack.close();
  }
}

function monitorFailure(machine: Machine, result: CommandFailure): Outcome<never> {
  if (result.code === 'timed-out')
    return failure('timed-out', `machine "${machine.name}": ${result.message}`, 'look at `qward status`');
  if (result.code === 'refused')
    return failure('request-invalid', result.message, 'a command is a name and arguments in JSON');
  return failure(
    'monitor-failed',
    `machine "${machine.name}": ${result.message}`,
    'see the QMP reference of QEMU',
  );
}

const unseen = (name: string): Outcome<never> =>
  failure(
    'machine-unknown',
    `there is no machine ${JSON.stringify(name)}`,
    '`qward list` shows which there are',
  );
