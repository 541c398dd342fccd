/** Asks the manager to start what starts with the host, and says what becomes of it, also where the manager dies meanwhile. */
import { setTimeout as delay } from 'node:timers/promises';
import type { CallResult } from '../../api/calls.ts';
import type { QwardClient, Reply } from '../../api/client.ts';
import { TransportError } from '../../api/http.ts';
import type { Context } from '../context.ts';
import { bootLine } from '../render/autostart.ts';

type Booted = CallResult<'hostBoot'>['machines'][number];
/** What the command needs of its context. */
type Screen = Pick<Context, 'print' | 'style' | 'json' | 'quiet'>;

const lookEveryMs = 250;
const over: ReadonlySet<Booted['state']> = new Set(['ready', 'not-ready', 'failed', 'skipped']);

export interface StartOptions {
  /** For how long a manager or broker that does not answer is waited for. */
  readonly answerWithinMs: number;
}

/** The outcome of each machine, printed as it comes. Throws TransportError where the manager stays away. */
export async function startMachines(
  screen: Screen,
  client: QwardClient,
  { answerWithinMs }: StartOptions,
): Promise<Reply<readonly Booted[]>> {
  const told = new Map<string, string>();
  const tell = (machines: readonly Booted[]): void => {
    const ended = machines.filter(({ state }) => over.has(state));
    // As it went: what is looked at together was not over together.
    for (const machine of ended.sort((one, other) => (one.at ?? '').localeCompare(other.at ?? ''))) {
      const line = bootLine(machine, screen.style);
      // Asked again, it runs already: that it was started has been told.
      const again = machine.state === 'ready' && told.has(machine.name);
      if (!again && told.get(machine.name) !== line && !screen.json && !screen.quiet) screen.print(line);
      told.set(machine.name, line);
    }
  };
  let answeredAt = performance.now();
  for (;;) {
    const reply = await bootOnce(client, {
      tell,
      onAnswer: () => {
        answeredAt = performance.now();
      },
    });
    const tooLate = performance.now() - answeredAt > answerWithinMs;
    if (reply instanceof TransportError) {
      if (tooLate) throw reply;
    } else if (reply.ok) {
      tell(reply.result.machines);
      return { ok: true, result: reply.result.machines };
    } else if (tooLate || reply.faults[0]?.code !== 'broker-unreachable') return reply;
    await delay(lookEveryMs);
  }
}

interface Watching {
  readonly tell: (machines: readonly Booted[]) => void;
  readonly onAnswer: () => void;
}

/** One call, with looks at how far it is beside it. */
async function bootOnce(
  client: QwardClient,
  { tell, onAnswer }: Watching,
): Promise<Reply<CallResult<'hostBoot'>> | TransportError> {
  const ended = new AbortController();
  const look = async (): Promise<void> => {
    while (!ended.signal.aborted) {
      await delay(lookEveryMs, undefined, { signal: ended.signal }).catch(() => undefined);
      if (ended.signal.aborted) return;
      const reply = await client.call('autostart').catch(() => undefined);
      if (reply?.ok !== true) continue;
      onAnswer();
      if (reply.result.booting && !ended.signal.aborted) tell(reply.result.machines.map(({ boot }) => boot));
    }
  };
  const looking = look();
  try {
    const reply = await client.call('hostBoot', {});
    if (reply.ok) onAnswer();
    return reply;
  } catch (error) {
    if (error instanceof TransportError) return error;
    throw error;
  } finally {
    ended.abort();
    await looking;
  }
}

/** Whether each machine runs and is ready. */
export const allWell = (machines: readonly Booted[]): boolean =>
  machines.every(({ state }) => state === 'ready');
