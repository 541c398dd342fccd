import type { CallResult } from '../../api/calls.ts';
import {
  networkModes,
  networkNameExpected,
  networkNamePattern,
  parseSubnet,
} from '../../protocol/networks.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { renderNetwork, renderNetworks } from '../render/network.ts';
import { done, failed, fromReply, usage } from '../results.ts';

const actions = ['create', 'list', 'show', 'rm'];

export const network = defineCommand({
  name: 'network',
  summary: 'Make, list, show and remove managed networks.',
  details:
    'A managed network is a bridge of qward’s own with a server that gives addresses and names to its machines, and\n' +
    'a packet filter: what a machine sends has its own addresses, and the host itself is closed. It is on the host as\n' +
    'long as a machine in it runs. A machine is in it by a card with `kind: network`.\n' +
    '`create` is for root, `rm` for administrators too: they go to the broker itself, past the manager.\n' +
    '--nat: guests reach what the host reaches. --isolated: only one another.',
  arguments: {
    ACTION: { help: 'create, list, show or rm.', complete: actions },
    NAME: { help: `Of a network: ${networkNameExpected}.`, complete: 'none', optional: true },
  },
  options: {
    subnet: { kind: 'text', value: 'SUBNET', help: 'IPv4 network, as 10.77.0.0/24.' },
    nat: { kind: 'flag', help: 'Guests reach what the host reaches, by its address.' },
    isolated: { kind: 'flag', help: 'Guests reach one another, and nothing else.' },
    user: { kind: 'texts', value: 'USER', help: 'For machines of this user; else for everybody’s.' },
    group: { kind: 'texts', value: 'GROUP', help: 'For machines of members of this group.' },
  },
  examples: [
    { line: 'qward network create lan --subnet 10.77.0.0/24 --nat', meaning: 'a network with a way out' },
    {
      line: 'qward network create lab --subnet 10.78.0.0/24 --isolated --user alice',
      meaning: 'one of alice’s machines alone',
    },
    { line: 'qward network list', meaning: 'those that your machines may be in' },
    { line: 'qward network show lan', meaning: 'with the addresses of your machines' },
    { line: 'qward network rm lan', meaning: 'no machine is in it any more' },
  ],
  async run(context, { arguments: { ACTION: action, NAME: name }, options }) {
    if (action === 'list') {
      if (name !== undefined) return usage('network list takes no name; `qward network show NAME` does');
      return await list(context);
    }
    if (action !== 'create' && action !== 'show' && action !== 'rm')
      return usage(`network: "${action}" is not an action; create, list, show or rm expected`);
    if (name === undefined) return usage(`network ${action}: the name of a network is expected`);
    if (!networkNamePattern.test(name))
      return usage(`"${name}" is no name of a network: ${networkNameExpected}`);
    if (action === 'show') return await show(context, name);
    return action === 'rm' ? await remove(context, name) : await create(context, name, options);
  },
});

interface Options {
  readonly subnet: string | undefined;
  readonly nat: boolean;
  readonly isolated: boolean;
  readonly user: readonly string[];
  readonly group: readonly string[];
}

async function create(context: Context, name: string, options: Options): Promise<CommandResult> {
  const { subnet, user, group } = options;
  if (subnet === undefined)
    return usage('network create: its subnet is expected', 'for instance --subnet 10.77.0.0/24');
  const parsed = parseSubnet(subnet);
  if (typeof parsed === 'string') return usage(`--subnet ${subnet}: ${parsed}`);
  const modes = networkModes.filter((mode) => options[mode]);
  const [mode] = modes;
  if (mode === undefined || modes.length > 1)
    return usage('network create: one of --nat and --isolated is expected');
  const who = user.length + group.length === 0 ? null : { users: user, groups: group };
  const broker = await context.client.claims();
  const reply = await context.during('asking the broker', broker.createNetwork({ name, subnet, mode, who }));
  return fromReply(reply, () => (context.quiet ? '' : `${name}: made\n`));
}

async function remove(context: Context, name: string): Promise<CommandResult> {
  const known = await context.client.call('networks');
  if (!known.ok) return failed(known.faults);
  const users = known.result.networks.find((one) => one.name === name)?.machines ?? [];
  if (users.length > 0)
    return failed([
      {
        code: 'network-in-use',
        message: `network "${name}" is named by the definition of ${users.join(', ')}`,
        hint: 'remove these machines, or their cards in it (qward edit)',
      },
    ]);
  const broker = await context.client.claims();
  const reply = await context.during('asking the broker', broker.removeNetwork(name));
  return fromReply(reply, () => (context.quiet ? '' : `${name}: removed\n`));
}

type Entries = CallResult<'networks'>['networks'];

async function list(context: Context): Promise<CommandResult> {
  const reply = await context.during('asking for networks', context.client.call('networks'));
  if (!reply.ok) return failed(reply.faults);
  const { networks } = reply.result;
  return done(networks, (style) => {
    if (context.quiet) return networks.map((one) => `${one.name}\n`).join('');
    return networks.length > 0
      ? renderNetworks(networks, style)
      : 'There is no managed network: qward network create NAME --subnet 10.77.0.0/24 --nat\n';
  });
}

async function show(context: Context, name: string): Promise<CommandResult> {
  const reply = await context.during('asking for networks', context.client.call('networks'));
  if (!reply.ok) return failed(reply.faults);
  const found = reply.result.networks.find((one) => one.name === name);
  if (found !== undefined) return done(found, (style) => renderNetwork(found, style));
  return failed([missing(name, reply.result.networks)]);
}

const missing = (name: string, networks: Entries) => ({
  code: 'network-missing' as const,
  message: `there is no network "${name}" for your machines`,
  hint: networks.length === 0 ? '' : `there are ${networks.map((one) => one.name).join(', ')}`,
});
