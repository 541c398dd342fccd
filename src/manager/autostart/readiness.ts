/** When a machine that runs is ready for those that come after it: as its definition says, within its time limit. */
import { connect, isIPv6 } from 'node:net';
import type { MachineDefinition } from '../../definition/schema.ts';
import { agentCommands } from '../../qmp/agent-commands.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { longestMs, pause } from '../pause.ts';

type Autostart = MachineDefinition['autostart'];

const retryEveryMs = 250;
const connectTimeoutMs = 2_000;
const askTimeoutMs = 3_000;

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

async function agentAnswers({ agent }: Run, signal: AbortSignal): Promise<string | undefined> {
  // `agent` was set in the definition after the machine had been started.
  let last = agent.there ? 'no answer' : 'the machine was started without a channel for it';
  while (!signal.aborted) {
    const over = new AbortController();
    const reply = await Promise.race([
      agentCommands.ping(agent, undefined, { timeoutMs: askTimeoutMs }),
      pause(longestMs, AbortSignal.any([signal, over.signal])),
    ]);
    over.abort();
    if (reply?.ok === true) return undefined;
    if (reply?.ok === false) last = reply.message;
    await pause(retryEveryMs, signal);
  }
  return `the guest agent did not answer (${last})`;
}
