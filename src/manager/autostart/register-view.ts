/**
 * Which machines start with the host, as far as the manager has heard. The register is root's: it is the broker that reads
 * it, and administrators enable machines past the manager. So this is what the broker said last; a start of the host asks anew.
 */
import type { Autostart, BrokerCall, BrokerStatus } from '../../protocol/broker.ts';
import type { BrokerPort, RequestOf } from '../broker-port.ts';

export interface RegisterView {
  /** The broker as it is; what it says of the register on the way is remembered. */
  readonly broker: BrokerPort;
  readonly get: (machine: string) => Autostart | undefined;
}

/** `onChange`: a machine came in or went out. */
export function viewRegister(broker: BrokerPort, onChange: (machine: string) => void): RegisterView {
  let known: ReadonlyMap<string, Autostart> = new Map();
  const become = (next: ReadonlyMap<string, Autostart>): void => {
    const before = known;
    known = next;
    for (const name of new Set([...before.keys(), ...next.keys()]))
      if (before.has(name) !== next.has(name)) onChange(name);
  };
  const call = async <Call extends BrokerCall>(name: Call, request: RequestOf<Call>) => {
    const outcome = await broker.call(name, request);
    if (outcome.ok) become(after(known, name, { request, value: outcome.value }));
    return outcome;
  };
  return { broker: { ...broker, call }, get: (machine) => known.get(machine) };
}

interface Answered {
  readonly request: object;
  readonly value: unknown;
}

function after(
  known: ReadonlyMap<string, Autostart>,
  call: BrokerCall,
  { request, value }: Answered,
): ReadonlyMap<string, Autostart> {
  if (call === 'status') {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the broker's answer to status
    const { autostart } = value as BrokerStatus;
    return new Map(autostart.map((entry) => [entry.machine, entry]));
  }
  const machine = String(Reflect.get(request, 'machine'));
  const entry = known.get(machine);
  if (entry === undefined || !['autostart-off', 'forget', 'rename'].includes(call)) return known;
  const next = new Map(known);
  next.delete(machine);
  const to: unknown = Reflect.get(request, 'to');
  if (call === 'rename' && typeof to === 'string') next.set(to, { ...entry, machine: to });
  return next;
}
