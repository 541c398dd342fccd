/** Which instance a command works on: what the caller says, else what is configured; never what happens to answer. */
import { existsSync } from 'node:fs';
import { instancesFile } from '../protocol/paths.ts';
import { defaultSocketPath as systemSocket } from '../api/client.ts';
import type { Io } from './io.ts';

export interface ChosenSocket {
  /** Undefined: QWARD_SOCKET, else the system's. */
  readonly socket?: string;
  /** What is wrong with the choice, or with the session. */
  readonly fault?: string;
}

/** Commands that ask no manager, or bring it up themselves; whoever presses Tab starts nothing. */
const startNothing: ReadonlySet<string> = new Set(['help', 'version', 'completion', 'host', '__complete']);

export async function chooseSocket(
  command: string,
  { session, system, socket }: Readonly<Record<string, unknown>>,
  io: Io,
): Promise<ChosenSocket> {
  const given = [session === true, system === true, typeof socket === 'string'].filter(Boolean).length;
  if (given > 1) return { fault: '--session, --system and --socket: give one of them' };
  if (typeof socket === 'string') return { socket };
  if (system === true) return { socket: systemSocket };
  try {
    if (session !== true && !(await meansSession(io))) return {};
    const { bringUpSession, sessionSocket } = await import('../host/session-reach.ts');
    const user = { uid: process.getuid?.() ?? -1, environment: io.env };
    return { socket: startNothing.has(command) ? sessionSocket(user) : await bringUpSession(user) };
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return { fault: 'hint' in error ? `${error.message}\n  ${String(error.hint)}` : error.message };
  }
}

/** The file is looked at only where nothing else decides. */
async function meansSession({ env }: Io): Promise<boolean> {
  if ((env['QWARD_SOCKET'] ?? '') !== '' || !existsSync(instancesFile)) return false;
  const { readDefaultInstance } = await import('../host/default-instance.ts');
  return readDefaultInstance() === 'session';
}
