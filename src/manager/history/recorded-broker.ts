/** The broker as it is, with every request that changes something written down as it is sent and as it is answered. */
import type { BrokerCall } from '../../protocol/broker.ts';
import { gaveNoAnswer, type BrokerPort, type RequestOf } from '../broker-port.ts';
import type { Outcome } from '../outcome.ts';
import type { History } from './history.ts';

/** Calls that the broker writes down as well, whatever comes of them. */
export const recordedCalls: readonly BrokerCall[] = [
  'launch',
  'kill',
  'reap',
  'open',
  'forget',
  'rename',
  'part',
];

export function recordBroker(broker: BrokerPort, history: Pick<History, 'recordAction'>): BrokerPort {
  const recorded = async <Value>(
    call: BrokerCall,
    machine: string,
    ask: () => Promise<Outcome<Value>>,
  ): Promise<Outcome<Value>> => {
    history.recordAction({ call, machine, phase: 'asked' });
    const outcome = await ask();
    if (outcome.ok) history.recordAction({ call, machine, phase: 'answered' });
    else if (!gaveNoAnswer(outcome.faults)) history.recordAction({ call, machine, phase: 'refused' });
    return outcome;
  };
  return {
    open: (request) => recorded('open', request.machine, () => broker.open(request)),
    call: async <Call extends BrokerCall>(call: Call, request: RequestOf<Call>) =>
      recordedCalls.includes(call)
        ? await recorded(call, machineOf(request), () => broker.call(call, request))
        : await broker.call(call, request),
  };
}

function machineOf(request: object): string {
  const launch: unknown = Reflect.get(request, 'launch');
  const holder = typeof launch === 'object' && launch !== null ? launch : request;
  const machine: unknown = Reflect.get(holder, 'machine');
  return typeof machine === 'string' ? machine : '';
}
