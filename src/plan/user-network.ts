/** User networks: passt beside the machine, one for each such card, as data. Pure. */
import { createHash } from 'node:crypto';
import type { Fault } from '../definition/fault.ts';
import { formatForward } from '../definition/forward.ts';
import type { MachineDefinition, UserNic } from '../definition/schema.ts';
import { netSocketNames, type NetSocketName } from '../protocol/launch.ts';
import type { NetworkHelper, UserNetworkFacts } from './launch-plan.ts';
import { passtArguments, passtJobPrefix } from '../protocol/passt.ts';

/** Of a host that was not looked at for them. */
export const noUserNetwork: UserNetworkFacts = { passt: null, nameServers: [], firstPort: 1024 };

const mib = 1024 ** 2;

export const userNicsOf = ({ nics }: MachineDefinition): readonly { nic: UserNic; socket: NetSocketName }[] =>
  nics.flatMap((nic, index) => {
    const socket = netSocketNames[index];
    return nic.kind === 'user' && socket !== undefined ? [{ nic, socket }] : [];
  });

/** The broker's name for the helper: the same for the same card, so that a card has one at most. */
export function helperName(machine: string, socket: NetSocketName): string {
  return passtJobPrefix + createHash('sha256').update(`${machine}\n${socket}`).digest('hex').slice(0, 16);
}

/** `passt` was found. */
export function planHelper(
  definition: MachineDefinition,
  { nic, socket }: { readonly nic: UserNic; readonly socket: NetSocketName },
  {
    passt,
    nameServers,
  }: Omit<UserNetworkFacts, 'passt'> & { readonly passt: NonNullable<UserNetworkFacts['passt']> },
): NetworkHelper {
  const { cpuWeight, ioWeight } = definition.limits;
  return {
    nic: nic.id,
    launch: {
      machine: helperName(definition.name, socket),
      program: 'passt',
      binary: passt.binary,
      argv: passtArguments({ forwards: nic.forward, dns: nic.dns ?? nameServers }),
      env: {},
      descriptors: [{ kind: 'netdev', machine: definition.name, socket }],
      devices: [],
      root: passt.closure,
      limits: {
        // 31 MiB measured at rest; the rest is the kernel's for buffers of connections.
        memory: 256 * mib,
        // One; the OCI runtime has some before it becomes passt.
        pids: 32,
        cpuWeight,
        cpuQuota: null,
        ioWeight,
        openFiles: 4096,
        fileSize: mib,
      },
    },
  };
}

export function planHelpers(
  definition: MachineDefinition,
  facts: UserNetworkFacts,
): readonly NetworkHelper[] {
  const { passt } = facts;
  if (passt === null) return [];
  return userNicsOf(definition).map((card) => planHelper(definition, card, { ...facts, passt }));
}

/** What the host cannot give to the user networks of a definition. */
export function userNetworkFaults(definition: MachineDefinition, facts: UserNetworkFacts): readonly Fault[] {
  return definition.nics.flatMap((nic, index): readonly Fault[] => {
    if (nic.kind !== 'user') return [];
    if (facts.passt === null)
      return [
        {
          code: 'helper-missing',
          message: `network card "${nic.id}" of kind user needs passt, which is not on this host, or not in the policy`,
          hint: 'Install it: `apt install passt`; one elsewhere than /usr/bin must be listed in networkHelpers of the policy.',
          path: ['nics', index, 'kind'],
        },
      ];
    return nic.forward.flatMap((forward, place): readonly Fault[] => {
      if (forward.port >= facts.firstPort) return [];
      return [
        {
          code: 'port-unavailable',
          message: `"${formatForward(forward)}": ports below ${facts.firstPort} are root's alone on this host, and passt has none of root's rights`,
          hint: `Take another port, or let programs without rights have it: \`sysctl net.ipv4.ip_unprivileged_port_start=${forward.port}\`.`,
          path: ['nics', index, 'forward', place],
        },
      ];
    });
  });
}

/** A user has no packet filter. */
const reach = {
  system:
    'passt reaches for the guest what this host reaches, as a program without rights; closed are the host itself (all of its addresses, loopback too), broadcast, link-local addresses and metadata services of clouds',
  session:
    'passt reaches for the guest whatever a program of yours reaches: a guest that wants to comes to services of this host too, also to those on loopback, and to metadata services of clouds. The system instance closes them',
} as const;

/** For people. */
export function userNetworkNotes(
  definition: MachineDefinition,
  { nameServers }: UserNetworkFacts,
  session: boolean,
): readonly string[] {
  return userNicsOf(definition).flatMap(({ nic }) => {
    const to = nic.forward.map(formatForward).join(', ');
    const dns = nic.dns ?? nameServers;
    return [
      `network card "${nic.id}": ${session ? reach.session : reach.system}`,
      to === ''
        ? `network card "${nic.id}": nothing leads to the guest from outside; \`forward\` would`
        : `network card "${nic.id}": open to the guest: ${to}`,
      ...(dns.length > 0
        ? []
        : [
            `network card "${nic.id}": the guest is told no name server: those of the host are its own addresses, which are closed; name some in \`nics.${nic.id}.dns\``,
          ]),
    ];
  });
}
