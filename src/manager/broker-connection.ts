/** How a broker is reached, whoever holds the connection, and how its answers are read. */
import { setTimeout as wait } from 'node:timers/promises';
import type { Fault } from '../definition/fault.ts';
import type { BrokerCall } from '../protocol/broker.ts';
import { failure, success, type Outcome } from './outcome.ts';

export interface BrokerClientOptions {
  readonly socketPath: string;
  /** For how long a broker that does not listen is tried again: it may be starting. */
  readonly connectForMs: number;
  readonly deadlineMs: Readonly<Record<BrokerCall, number>>;
  /** Called when nobody listens: of a session, whose manager starts the broker. */
  readonly onAbsent?: () => Promise<void>;
}

const retryEveryMs = 25;
export const hint = 'see `qward doctor`, and the log of the service qward-broker';

/** `attempt` gives a connection, or in words why there is none. */
export async function connectBroker<Connection>(
  { socketPath: path, connectForMs, onAbsent }: BrokerClientOptions,
  attempt: (path: string) => Promise<Connection | string> | Connection | string,
): Promise<Outcome<Connection>> {
  const giveUpAt = performance.now() + connectForMs;
  for (;;) {
    const connected = await attempt(path);
    if (typeof connected !== 'string') return success(connected);
    if (performance.now() >= giveUpAt)
      return failure('broker-unreachable', `the broker does not answer on ${path}: ${connected}`, hint);
    await onAbsent?.();
    // Nothing tells when another process begins to listen.
    await wait(retryEveryMs);
  }
}

/** The broker is trusted to answer in the form of its protocol; what is not even that is a broken transport. */
export function parseReply<Result>(call: BrokerCall, body: Buffer): Outcome<Result> {
  let reply: unknown;
  try {
    reply = JSON.parse(body.toString('utf8'));
  } catch {
    return failure('broker-unreachable', `the broker's answer to ${call} is not JSON`, hint);
  }
  if (typeof reply !== 'object' || reply === null)
    return failure('broker-unreachable', `the broker's answer to ${call} is not an object`, hint);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the trusted side of the protocol
  if (Reflect.get(reply, 'ok') === true) return success(Reflect.get(reply, 'result') as Result);
  const refusals: unknown = Reflect.get(reply, 'refusals');
  return { ok: false, faults: Array.isArray(refusals) ? refusals.map(parseRefusal) : [] };
}

function parseRefusal(refusal: unknown): Fault {
  const field = (name: string): string => {
    const value: unknown = typeof refusal === 'object' && refusal !== null ? Reflect.get(refusal, name) : '';
    return typeof value === 'string' ? value : '';
  };
  const rule = field('rule');
  return {
    code: field('code'),
    message: field('message'),
    hint: field('hint'),
    ...(rule === '' ? {} : { rule }),
  };
}
