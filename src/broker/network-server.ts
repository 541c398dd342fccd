/** The server of a managed network: what it is told, made of the register. */
import {
  planNetwork,
  servedNetwork,
  serverArguments,
  serverName,
  type ManagedNetwork,
  type NetworkState,
} from '../protocol/networks.ts';
import type { LaunchRequest } from '../protocol/launch.ts';
import { isAlive } from '../linux/process.ts';
import { refuse, type BrokerContext } from './context.ts';

/** SECURITY: promise 1. Which addresses and names it gives is the broker's alone to say; `argv` was but whom to ask for others. */
export function withServer(
  context: BrokerContext,
  launch: LaunchRequest,
): { readonly ok: true; readonly launch: LaunchRequest } | ReturnType<typeof refuse> {
  if (launch.program !== 'dnsmasq') return { ok: true, launch };
  const name = servedNetwork(launch.machine) ?? '';
  const network = context.networks.find(name);
  // Its end takes the server along.
  if (network === undefined || !context.means.networksUp().includes(name))
    return refuse(
      'network-missing',
      `network "${name}" is not there: no machine has a card in it`,
      'start a machine that has',
    );
  const argv = serverArguments(planNetwork(network), context.networks.leasesOf(name), launch.argv);
  return { ok: true, launch: { ...launch, argv } };
}

/** For the status. */
export function networkStates(context: BrokerContext): readonly NetworkState[] {
  const up = context.means.networksUp();
  return context.networks.list().map((network) => {
    const leases = context.networks.leasesOf(network.name);
    return { ...network, up: up.includes(network.name), leases, server: serverOf(context, network, leases) };
  });
}

function serverOf(
  { records }: BrokerContext,
  network: ManagedNetwork,
  leases: NetworkState['leases'],
): number | null {
  const record = records.read(serverName(network.name));
  if (record === undefined || !isAlive(record.pid, record.startTime)) return null;
  const { argv } = record.launch;
  const upstream = argv.flatMap((word) => /^--server=(.*)$/.exec(word)?.[1] ?? []);
  const now = serverArguments(planNetwork(network), leases, upstream);
  return now.join('\n') === argv.join('\n') ? record.pid : null;
}
