/** `qward host` where the package's units are: systemd starts and stops them, in their order. For the system instance alone. */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { systemRoots } from '../protocol/paths.ts';
import { failed, type HostOutcome } from './outcome.ts';
import type { HostSite } from './site.ts';

const sockets = ['qward-broker.socket', 'qward-claims.socket', 'qward-manager.socket'];
const manager = 'qward-manager.service';
const machines = 'qward-machines.service';
const broker = 'qward-broker.service';

export interface UnitState {
  readonly unit: string;
  /** ActiveState and SubState of systemctl(1), as in `active (running)`. */
  readonly state: string;
}

/** systemd runs here, and has the units of this instance. */
export function hasUnits({ roots }: Pick<HostSite, 'roots'>): boolean {
  const own = Object.entries(systemRoots).every(([name, path]) => Reflect.get(roots, name) === path);
  return own && existsSync('/run/systemd/system') && existsSync(`/usr/lib/systemd/system/${manager}`);
}

/** Machines that start with the host are started too, unless `autostart` is false or that was done already. */
export async function startUnits({ autostart }: { readonly autostart: boolean }): Promise<HostOutcome> {
  const units = [...sockets, manager, ...(autostart ? [machines] : [])];
  return outcomeOf(await systemctl('start', ...units), 'qward is up');
}

/** The machines have been stopped, or are to go on: then the unit that would stop them stays as it is. */
export async function stopUnits({
  leaveMachines,
}: {
  readonly leaveMachines: boolean;
}): Promise<HostOutcome> {
  const stopped = leaveMachines ? undefined : await systemctl('stop', machines);
  if (stopped !== undefined && stopped.status !== 0) return outcomeOf(stopped, '');
  return outcomeOf(await systemctl('stop', manager, broker, ...sockets), 'qward is down');
}

export async function unitStates(): Promise<readonly UnitState[]> {
  const units = [...sockets, broker, manager, machines];
  const { output } = await systemctl('show', '--property=Id,ActiveState,SubState', ...units);
  return output
    .trim()
    .split('\n\n')
    .map((block) => {
      const value = (name: string): string => new RegExp(`^${name}=(.*)$`, 'm').exec(block)?.[1] ?? '';
      return { unit: value('Id'), state: `${value('ActiveState')} (${value('SubState')})` };
    });
}

/** The broker is there when it is needed, and gone when it is not. */
export function areUp(states: readonly UnitState[]): boolean {
  return [...sockets, manager].every((unit) =>
    states.some((one) => one.unit === unit && one.state.startsWith('active ')),
  );
}

interface Ended {
  readonly status: number;
  readonly output: string;
}

/** Without a deadline: a stop waits for guests, each of which has its own. */
function systemctl(...words: readonly string[]): Promise<Ended> {
  return new Promise((resolve) => {
    execFile('systemctl', [...words], { encoding: 'utf8' }, (error, stdout, stderr) => {
      const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1;
      resolve({ status, output: status === 0 ? stdout : stderr.trim() || String(error?.message) });
    });
  });
}

function outcomeOf({ status, output }: Ended, message: string): HostOutcome {
  if (status === 0) return { ok: true, daemons: [], message, hint: '' };
  return failed([], `systemctl: ${output}`, 'see: journalctl --unit=qward-manager --unit=qward-machines');
}
