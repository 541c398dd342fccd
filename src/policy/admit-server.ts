/** Admission of the server of a managed network: what it is told and by what it is joined, the broker alone says. */
import type { Refusal } from '../protocol/broker.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import { maxUpstream, parseAddress, servedNetwork } from '../protocol/networks.ts';
import { policyRefusal } from './refusals.ts';

/** SECURITY: promise 1. `argv` is nothing but name servers to ask: no word of the manager's is an option of a program. */
export function admitServer(launch: LaunchRequest): Refusal[] {
  const network = servedNetwork(launch.machine);
  if (launch.program !== 'dnsmasq')
    return network === undefined
      ? []
      : [policyRefusal(`"${launch.machine}" is the name of a network's server`, 'choose another name')];
  const { argv, env, descriptors, devices, relaxed = [], shown = [], pins = [] } = launch;
  const given = [...Object.keys(env), ...descriptors, ...devices, ...relaxed, ...shown, ...pins].length;
  const plain = argv.length <= maxUpstream && argv.every((word) => parseAddress(word) !== undefined);
  if (network !== undefined && given === 0 && plain) return [];
  return [
    policyRefusal(
      `"${launch.machine}" asks for more than the server of a network gets`,
      `it gets ${maxUpstream} name servers to ask at most`,
    ),
  ];
}
