/** Managed networks: what the host must have for them, and the server of each, as data. Pure. */
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { ManagedNetworkFacts } from './launch-plan.ts';
import type { LaunchRequest, SystemPath } from '../protocol/launch.ts';
import { serverName } from '../protocol/networks.ts';

const mib = 1024 ** 2;

/** `upstream`: who is asked for names that are not the network's own. What else it is told the broker adds. */
export function planServer(
  network: string,
  { binary, closure }: { readonly binary: string; readonly closure: readonly SystemPath[] },
  upstream: readonly string[],
): LaunchRequest {
  return {
    machine: serverName(network),
    program: 'dnsmasq',
    binary,
    argv: upstream,
    env: {},
    descriptors: [],
    devices: [],
    root: closure,
    limits: {
      // 8 MiB measured at rest.
      memory: 64 * mib,
      // One, and one for each question by TCP; the OCI runtime has some before it becomes dnsmasq.
      pids: 64,
      cpuWeight: 100,
      cpuQuota: null,
      ioWeight: 100,
      openFiles: 1024,
      fileSize: mib,
    },
  };
}

/** Of a host that was not looked at for them. */
export const noManagedNetworks: ManagedNetworkFacts = { known: [], server: null };

/** Names of the managed networks in which a machine has cards. */
export const networksNamedBy = ({ nics }: MachineDefinition): readonly string[] => [
  ...new Set(nics.flatMap((nic) => (nic.kind === 'network' ? [nic.network] : []))),
];

/** What the host cannot give to the cards of a definition. */
export function managedNetworkFaults(
  { nics }: MachineDefinition,
  { known, server }: ManagedNetworkFacts,
): readonly Fault[] {
  return nics.flatMap((nic, index): readonly Fault[] => {
    if (nic.kind !== 'network') return [];
    const names = known.map(({ name }) => name);
    if (!names.includes(nic.network))
      return [
        {
          code: 'network-missing',
          message: `network card "${nic.id}": there is no network "${nic.network}"${names.length === 0 ? '' : `; there are ${names.join(', ')}`}`,
          hint: `Root makes it: \`qward network create ${nic.network} --subnet 10.77.0.0/24 --nat\`.`,
          path: ['nics', index, 'network'],
        },
      ];
    if (server !== null) return [];
    return [
      {
        code: 'helper-missing',
        message: `network card "${nic.id}" needs dnsmasq for its network, which is not on this host, or not in the policy`,
        hint: 'Install it: `apt install dnsmasq-base`; one elsewhere than /usr/sbin must be listed in networkServers of the policy.',
        path: ['nics', index, 'network'],
      },
    ];
  });
}

const reach = {
  nat: 'the guest reaches what this host reaches, by its address, and other machines of the network; closed are the host itself and metadata services of clouds',
  isolated: 'the guest reaches other machines of the network, and nothing else',
} as const;

/** For people. */
export function managedNetworkNotes(
  { nics }: MachineDefinition,
  { known }: ManagedNetworkFacts,
): readonly string[] {
  return nics.flatMap((nic) => {
    const network = nic.kind === 'network' ? known.find(({ name }) => name === nic.network) : undefined;
    if (network === undefined) return [];
    return [
      `network card "${nic.id}": ${reach[network.mode]}; what it sends bears its own addresses, of ${network.subnet}`,
    ];
  });
}
