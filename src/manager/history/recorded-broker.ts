/** The broker as it is, with every request that changes something written down as it is sent and as it is answered. */
import type { BrokerCall } from '../../protocol/broker.ts';
import type { BrokerPort, RequestOf } from '../broker-port.ts';
import type { History } from './history.ts';

/** Calls that the broker writes down as well, whatever comes of them. */
export const recordedCalls: readonly BrokerCall[] = ['launch', 'kill', 'reap', 'forget', 'rename', 'part'];

export function recordBroker(broker: BrokerPort, history: Pick<History, 'recordAction'>): BrokerPort {
  return {
    call: async <Call extends BrokerCall>(call: Call, request: RequestOf<Call>) => {
      if (!recordedCalls.includes(call)) return await broker.call(call, request);
      const machine = machineOf(request);
      history.recordAction({ call, machine, phase: 'asked' });
      const outcome = await broker.call(call, request);
      const answered = outcome.ok || !outcome.faults.some(({ code }) => noAnswer.includes(code));
      if (answered) history.recordAction({ call, machine, phase: 'answered' });
      return outcome;
    },
  };
}

/** The broker may never have seen it. */
const noAnswer: readonly string[] = ['broker-unreachable', 'timed-out'];

function machineOf(request: object): string {
  const launch: unknown = Reflect.get(request, 'launch');
  const holder = typeof launch === 'object' && launch !== null ? launch : request;
  const machine: unknown = Reflect.get(holder, 'machine');
  return typeof machine === 'string' ? machine : '';
}
