/** When a machine that runs is ready for those that come after it: as its definition says, within its time limit. */
import { connect, isIPv6 } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { MachineDefinition } from '../../definition/schema.ts';
import { AgentSession } from '../../qmp/agent-session.ts';
import { connectQemu } from '../lifecycle/connect-qemu.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';

type Autostart = MachineDefinition['autostart'];

const retryEveryMs = 250;
const connectTimeoutMs = 2_000;
const askTimeoutMs = 3_000;
/** What a timer of Node can wait. */
const longestMs = 2 ** 31 - 1;

/** What keeps it from being ready; undefined: it is ready. Ends soon after the signal fired. */
export async function untilReady(
  machine: Machine,
  autostart: Autostart,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { run } = machine;
  if (run === undefined) return endOf(machine);
  const tooLate = AbortSignal.timeout(Math.min(autostart.timeout, longestMs));
  const gone = new AbortController();
  void machine.life.ended(run).then(() => gone.abort());
  const missing = await become(run, autostart, AbortSignal.any([signal, tooLate, gone.signal]));
  if (missing === undefined) return undefined;
  if (gone.signal.aborted) return endOf(machine);
  if (signal.aborted) return 'the host went down meanwhile';
  return `${missing} within ${autostart.timeout / 1000} s`;
}

/** Pauses for this long, or until the signal fires. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await wait(Math.min(ms, longestMs), undefined, { signal }).catch(() => undefined);
}

const endOf = ({ life, state }: Machine): string => `it is ${state}: ${life.lastEnd?.message ?? 'it ended'}`;

/** What is missing when the signal fired. */
async function become(run: Run, autostart: Autostart, signal: AbortSignal): Promise<string | undefined> {
  switch (autostart.ready) {
    case 'qmp':
      return undefined;
    case 'delay': {
      const runsFor = Date.now() - Date.parse(run.launched.launchedAt);
      await pause(autostart.settle - runsFor, signal);
      return signal.aborted ? `it was not given its ${autostart.settle / 1000} s` : undefined;
    }
    case 'port':
      return await acceptsConnections(autostart, signal);
    case 'guest-agent':
      return await agentAnswers(run, signal);
  }
}

async function acceptsConnections(
  { address = '', port = 0 }: Autostart,
  signal: AbortSignal,
): Promise<string | undefined> {
  let last = 'no answer';
  for (;;) {
    const attempt = await connectOnce(address, port, signal);
    if (attempt === undefined) return undefined;
    if (!signal.aborted) last = attempt;
    if (signal.aborted) {
      const place = isIPv6(address) ? `[${address}]:${port}` : `${address}:${port}`;
      return `${place} accepted no connection (${last})`;
    }
    await pause(retryEveryMs, signal);
  }
}

/** Undefined: it was accepted. The connection is closed at once, nothing is sent or read. */
function connectOnce(host: string, port: number, signal: AbortSignal): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const settle = (outcome: string | undefined): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', giveUp);
      socket.destroy();
      resolve(outcome);
    };
    const giveUp = (): void => settle('given up');
    const timer = setTimeout(() => settle('no answer'), connectTimeoutMs);
    signal.addEventListener('abort', giveUp);
    socket.once('connect', () => settle(undefined));
    // It stays: an error behind the end must find a listener.
    socket.on('error', (error) => settle(String(Reflect.get(error, 'code') ?? error.message)));
    if (signal.aborted) giveUp();
  });
}

/** QEMU keeps what is asked until the guest opens its end: one connection is asked again and again. */
async function agentAnswers(run: Run, signal: AbortSignal): Promise<string | undefined> {
  const { uid, sockets } = run.launched;
  const alive = (): boolean => run.process.alive;
  let last = 'no answer';
  while (!signal.aborted) {
    const options = { path: sockets.agent ?? '', uid, timeoutMs: connectTimeoutMs, signal, alive };
    const connected = sockets.agent === undefined ? noChannel : await connectQemu(options);
    if (connected.ok) {
      using session = new AgentSession(connected.socket);
      const answer = await askUntilAnswered(session, signal);
      if (answer === undefined) return undefined;
      last = answer;
    } else last = connected.message;
    await pause(retryEveryMs, signal);
  }
  return `the guest agent did not answer (${last})`;
}

/** `agent` was set in the definition after the machine had been started. */
const noChannel = { ok: false, message: 'the machine was started without a channel for it' } as const;

async function askUntilAnswered(session: AgentSession, signal: AbortSignal): Promise<string | undefined> {
  const close = (): void => session[Symbol.dispose]();
  signal.addEventListener('abort', close);
  try {
    let last = 'no answer';
    while (session.open) {
      const reply = await session.execute('guest-ping', undefined, { timeoutMs: askTimeoutMs });
      if (reply.ok) return undefined;
      if (!signal.aborted) last = reply.message;
      // One that refuses at once is not asked without end.
      if (session.open && reply.code !== 'timed-out') await pause(retryEveryMs, signal);
    }
    return last;
  } finally {
    signal.removeEventListener('abort', close);
  }
}
