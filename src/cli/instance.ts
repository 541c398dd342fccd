/** Which instance a command works on: what the caller says, else what is configured; never what happens to answer. */
import { existsSync } from 'node:fs';
import { defaultSocketPath as systemSocket } from '../api/client.ts';
import { instancesFile } from '../protocol/paths.ts';
import type { CommandFault } from './command.ts';
import type { Io } from './io.ts';

export type InstanceName = 'system' | 'session';

export type ChosenSocket =
  /** Undefined: QWARD_SOCKET, else the system's. */
  { readonly socket: string | undefined } | { readonly fault: CommandFault; readonly exit?: 2 };

/** Commands that ask no manager, or bring it up themselves; whoever presses Tab starts nothing. */
const startNothing: ReadonlySet<string> = new Set(['help', 'version', 'completion', 'host', '__complete']);

export async function chooseSocket(
  command: string,
  { session, system, socket }: Readonly<Record<string, unknown>>,
  io: Io,
): Promise<ChosenSocket> {
  const given = [session === true, system === true, typeof socket === 'string'].filter(Boolean).length;
  if (given > 1)
    return { fault: { message: '--session, --system and --socket: give one of them', hint: '' }, exit: 2 };
  if (typeof socket === 'string') return { socket };
  if (system === true) return { socket: systemSocket };
  if ((io.env['QWARD_SOCKET'] ?? '') !== '' && session !== true) return { socket: undefined };
  const meant = session === true ? 'session' : await defaultInstance();
  if (typeof meant !== 'string') return meant;
  return meant === 'system' ? { socket: undefined } : await socketOfSession(io, !startNothing.has(command));
}

/** What a command means that does not say. The file is looked at only where nothing else decides. */
export async function defaultInstance(): Promise<InstanceName | { readonly fault: CommandFault }> {
  if (!existsSync(instancesFile)) return 'system';
  const { readDefaultInstance } = await import('../host/default-instance.ts');
  try {
    return readDefaultInstance();
  } catch (error) {
    return { fault: faultOf(error) };
  }
}

export async function socketOfSession(io: Io, start: boolean): Promise<ChosenSocket> {
  const { bringUpSession, sessionSocket } = await import('../host/session-reach.ts');
  const user = { uid: process.getuid?.() ?? -1, environment: io.env };
  try {
    return { socket: start ? await bringUpSession(user) : sessionSocket(user) };
  } catch (error) {
    return { fault: faultOf(error) };
  }
}

function faultOf(error: unknown): CommandFault {
  if (!(error instanceof Error)) throw error;
  const hint: unknown = Reflect.get(error, 'hint');
  return { code: 'manager-unreachable', message: error.message, hint: typeof hint === 'string' ? hint : '' };
}
