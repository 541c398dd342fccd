/** network-create, network-remove: what administrators say of managed networks. */
import {
  maxNetworks,
  overlap,
  parseSubnet,
  planNetwork,
  type NetworkDefinition,
} from '../../protocol/networks.ts';
import { refuseOthers } from '../administrators.ts';
import { refuse, type BrokerContext, type HandlerOutcome } from '../context.ts';
import { routeConflict, usersOf } from '../network-links.ts';

/**
 * SECURITY: promise 4. What the host becomes a router for is root's to say: what the host itself sends to such addresses goes to the guests that
 * have them, a name server's and a directory's too.
 */
export function createNetwork(
  context: BrokerContext,
  { name, subnet, mode, who }: NetworkDefinition,
  uid: number,
): HandlerOutcome {
  if (uid !== 0)
    return refuse(
      'not-allowed',
      "only root makes networks: the host's own packets to their addresses go to guests",
      `as root: qward network create ${name} --subnet ${subnet} --${mode}`,
    );
  if (context.means.isSession)
    return refuse(
      'not-allowed',
      'a session has no managed networks: no user can make a bridge',
      'use kind: user, or the system instance (--system)',
    );
  const parsed = parseSubnet(subnet);
  if (typeof parsed === 'string')
    return refuse(
      'request-invalid',
      `network "${name}": subnet ${subnet}: ${parsed}`,
      'for instance 10.77.0.0/24',
    );
  const known = context.networks.list();
  if (known.some((one) => one.name === name))
    return refuse('network-exists', `there is a network "${name}" already`, `\`qward network show ${name}\``);
  if (known.length >= maxNetworks)
    return refuse('resources-short', `there are ${maxNetworks} networks already`, 'remove some');
  const other = known.find((one) => overlap(parsed, planNetwork(one).subnet));
  if (other !== undefined)
    return refuse(
      'network-conflict',
      `network "${name}": ${subnet} meets ${other.subnet} of network "${other.name}"`,
      'choose another subnet',
    );
  const conflict = routeConflict(planNetwork({ name, subnet, mode, who }), subnet);
  if (conflict !== undefined) return { ok: false, refusals: [conflict] };
  context.networks.add({ name, subnet, mode, who, by: uid, at: new Date().toISOString() });
  return { ok: true, result: { name, subnet, mode, who } };
}

export function removeNetwork(context: BrokerContext, name: string, uid: number): HandlerOutcome {
  const barred = refuseOthers(context, uid, 'remove networks');
  if (barred !== undefined) return barred;
  const network = context.networks.find(name);
  if (network === undefined)
    return refuse('network-missing', `there is no network "${name}"`, 'see `qward network list`');
  const users = usersOf(context, name);
  if (users.length > 0)
    return refuse(
      'network-in-use',
      `network "${name}" is in use by ${users.map((machine) => `"${machine}"`).join(', ')}`,
      'stop them first',
    );
  context.networks.remove(name);
  return { ok: true, result: network };
}
