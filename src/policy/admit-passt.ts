/** Admission of a user network: passt with arguments of ours alone, for one card of a machine, and ports that the policy gives. */
import type { Refusal } from '../protocol/broker.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import { passtJobPattern, readPasstArguments, type Forward } from '../protocol/passt.ts';
import type { Policy } from './policy.ts';
import { policyRefusal } from './refusals.ts';

export function admitPasst(launch: LaunchRequest, { forwards }: Pick<Policy, 'forwards'>): Refusal[] {
  if (launch.program !== 'passt') {
    const joined = launch.descriptors.some((one) => one.kind === 'netdev' && one.socket.startsWith('net'));
    return joined
      ? [policyRefusal(`"${launch.machine}" is no user network`, 'only passt is joined to a card')]
      : [];
  }
  const { machine, argv, env, descriptors, devices } = launch;
  const settings = readPasstArguments(argv);
  const alone = Object.keys(env).length === 0 && devices.length === 0 && passtJobPattern.test(machine);
  // SECURITY: promise 2. No word of its own reaches passt, and nothing of the host but its network.
  if (settings === undefined || !alone || descriptors.map(({ kind }) => kind).join() !== 'netdev')
    return [
      policyRefusal(
        `"${machine}" asks for more than a user network gets`,
        'it gets one card, its forwards and name servers',
      ),
    ];
  return settings.forwards.flatMap((forward) => {
    const index = forwardRuleOf(forward, forwards);
    return index < 0 ? [unlistedForward(forward)] : [];
  });
}

/** Index of the first rule that gives the port; -1: none does. Whose machine it is, is the manager's to look at. */
export function forwardRuleOf(
  { address, port, to }: Forward,
  rules: Policy['forwards'],
  mayUse: (rule: Policy['forwards'][number]) => boolean = () => true,
): number {
  if (port > 65_535 || to > 65_535) return -1;
  return rules.findIndex(
    (rule) => rule.addresses.includes(address) && rule.from <= port && port <= rule.to && mayUse(rule),
  );
}

export function unlistedForward({ protocol, address, port }: Forward): Refusal {
  return policyRefusal(
    `${protocol} port ${port} of ${address} is not one that the policy lets lead to guests`,
    'take another port, or add a rule to forwards in /etc/qward/policy.json',
    'forwards',
  );
}
