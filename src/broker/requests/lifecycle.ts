/** kill, reap, pin, forget, rename: the end of a machine's process and of what the broker keeps for it. */
import { pinThreads } from '../../linux/affinity.ts';
import { SystemError } from '../../linux/libc.ts';
import { killVerified } from '../../linux/pidfd.ts';
import { isAlive } from '../../linux/process.ts';
import { refuse, type BrokerContext, type HandlerOutcome } from '../context.ts';
import type { LaunchRecord } from '../records.ts';
import { helpedBy, sweep } from '../sweep.ts';
import { withRegister } from './claims.ts';

/** SIGKILL to all of the machine, and everything of it removed. Succeeds where nothing is left to kill. */
export async function handleKill(context: BrokerContext, machine: string): Promise<HandlerOutcome> {
  const record = context.records.read(machine);
  const killed = record === undefined ? context.means.runs(machine) : killProcess(record);
  if (!(await sweep(context, machine))) return stuck(machine);
  return { ok: true, result: { killed }, idle: !killed && record === undefined };
}

function killProcess({ pid, startTime }: LaunchRecord): boolean {
  return pid !== 0 && killVerified(pid, () => isAlive(pid, startTime));
}

export async function handleReap(context: BrokerContext, machine: string): Promise<HandlerOutcome> {
  const record = context.records.read(machine);
  if (record !== undefined && isAlive(record.pid, record.startTime)) return running(record);
  return (await sweep(context, machine))
    ? { ok: true, result: {}, idle: record === undefined }
    : stuck(machine);
}

/** SECURITY: promise 4. What its launch named, which was admitted; the request names none. */
export function handlePin(context: BrokerContext, machine: string): HandlerOutcome {
  const record = context.records.read(machine);
  if (record === undefined || !isAlive(record.pid, record.startTime))
    return refuse('machine-not-running', `machine "${machine}" does not run`, 'start it first');
  try {
    pinThreads(record.pid, record.launch.pins ?? []);
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== 'EINVAL') throw error;
    return refuse(
      'resources-short',
      `machine "${machine}" is to run on CPUs that this host has not: ${error.message}`,
      'see `lscpu`, and change cpu.pinning',
    );
  }
  return { ok: true, result: {} };
}

/** Of the machine, or of a server that was begun for it. */
const recordOf = ({ records }: BrokerContext, machine: string): LaunchRecord | undefined =>
  records.read(machine) ?? records.helpers().find(({ launch }) => helpedBy(launch).includes(machine));

export function handleForget(context: BrokerContext, machine: string): HandlerOutcome {
  const record = recordOf(context, machine);
  if (record !== undefined) return running(record);
  return withRegister(() => {
    checkRegisters(context);
    // SECURITY: promise 4. A machine that comes later under the name has nothing of what was agreed to for this one.
    const idle = !isKnown(context, machine);
    context.claims.remove({ machine, uid: null }, null);
    context.autostart.disable(machine);
    context.networks.forget(machine);
    context.slots.release(machine);
    return { ok: true, result: {}, idle };
  });
}

export function handleRename(context: BrokerContext, machine: string, to: string): HandlerOutcome {
  for (const name of [machine, to]) {
    const record = recordOf(context, name);
    if (record !== undefined) return running(record);
  }
  if (context.slots.list().some((slot) => slot.machine === to)) {
    return refuse('machine-exists', `a machine "${to}" has a uid already`, 'choose another name');
  }
  return withRegister(() => {
    checkRegisters(context);
    const idle = !isKnown(context, machine);
    context.claims.rename(machine, to);
    context.autostart.rename(machine, to);
    context.networks.rename(machine, to);
    context.slots.rename(machine, to);
    return { ok: true, result: {}, idle };
  });
}

/** Whether a register has it: an address in a network comes with a uid. */
const isKnown = ({ slots, claims, autostart }: BrokerContext, machine: string): boolean =>
  [...slots.list(), ...autostart.list(), ...claims.list({ machine, uid: null })].some(
    (one) => one.machine === machine,
  );

/** Throws before anything is changed where one of them cannot be. */
function checkRegisters({ claims, autostart, networks, slots }: BrokerContext): void {
  for (const register of [claims, autostart, networks, slots]) register.check();
}

export function running({ machine, pid, startTime }: LaunchRecord): HandlerOutcome {
  const how = isAlive(pid, startTime) ? `runs as pid ${pid}` : 'has ended and was not reaped yet';
  return refuse('machine-running', `machine "${machine}" ${how}`, 'stop it first');
}

/** Processes of the machine outlive SIGKILL. */
export function stuck(machine: string, code = 'timed-out'): HandlerOutcome {
  const hint = 'look for processes in state D: a device or file system hangs';
  return refuse(code, `processes of "${machine}" do not end`, hint);
}
