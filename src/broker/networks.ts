/** The register of managed networks: root's own file. Only administrators add to it, over connections of their own. */
import { isObject } from '../protocol/values.ts';
import { machineNamePattern } from '../protocol/launch.ts';
import {
  addressPattern,
  freeAddress,
  macPattern,
  networkModes,
  networkNamePattern,
  nicPattern,
  parseSubnet,
  planNetwork,
  type Lease,
  type ManagedNetwork,
} from '../protocol/networks.ts';
import { openRegisterFile, renamed, type UnusableState } from './state.ts';

interface Content {
  readonly networks: readonly ManagedNetwork[];
  readonly leases: readonly Lease[];
}

export interface NetworkRegister {
  readonly list: () => readonly ManagedNetwork[];
  readonly find: (name: string) => ManagedNetwork | undefined;
  readonly add: (network: ManagedNetwork) => void;
  /** With its leases. */
  readonly remove: (name: string) => void;
  readonly leasesOf: (network: string) => readonly Lease[];
  /** The address of a card, a free one where it has none yet; `full`, or the machine that has the MAC address already. */
  readonly lease: (
    network: ManagedNetwork,
    card: Omit<Lease, 'network' | 'address'>,
  ) => Lease | 'full' | { readonly holder: string };
  /** Ends the leases of cards that the machine has no more: it has as many addresses as cards. */
  readonly keep: (machine: string, cards: readonly Pick<Lease, 'network' | 'nic'>[]) => void;
  /** What machines that no longer are had. */
  readonly forget: (machine: string) => void;
  readonly rename: (machine: string, to: string) => void;
  /** For the status: while there is one, no network is there. */
  readonly fault: () => UnusableState | undefined;
  /** Throws where nothing can be changed. */
  readonly check: () => void;
}

const nothing: Content = { networks: [], leases: [] };

export function openNetworks(path: string): NetworkRegister {
  const form = {
    key: 'networks',
    parse: (content: unknown) => (isContent(content) ? content : undefined),
    cure: 'then make the networks again (qward network create)',
  };
  const { look, change, fault, check } = openRegisterFile<Content>(path, form, nothing);
  const changeLeases = (work: (leases: Content['leases']) => Content['leases']): void =>
    void change((content) => ({ ...content, leases: work(content.leases) }));
  return {
    list: () => look().networks,
    find: (name) => look().networks.find((network) => network.name === name),
    add: (network) => void change((content) => ({ ...content, networks: [...content.networks, network] })),
    remove: (name) =>
      void change(({ networks, leases }) => ({
        networks: networks.filter((network) => network.name !== name),
        leases: leases.filter(({ network }) => network !== name),
      })),
    leasesOf: (network) => look().leases.filter((lease) => lease.network === network),
    lease: (network, card) => {
      // Throws where it cannot be changed.
      check();
      const own = look().leases.filter((lease) => lease.network === network.name);
      // SECURITY: promise 2. Two cards with one MAC address would get each other's packets.
      const holder = own.find(
        ({ mac, machine, nic }) => mac === card.mac && (machine !== card.machine || nic !== card.nic),
      );
      if (holder !== undefined) return { holder: holder.machine };
      const before = own.find(({ machine, nic }) => machine === card.machine && nic === card.nic);
      const address =
        before?.address ??
        freeAddress(planNetwork(network).subnet, new Set(own.map((lease) => lease.address)));
      if (address === undefined) return 'full';
      const lease = { network: network.name, ...card, address };
      changeLeases((leases) => [...leases.filter((one) => !isSame(one, lease)), lease]);
      return lease;
    },
    keep: (machine, cards) =>
      changeLeases((leases) =>
        leases.filter(
          (lease) =>
            lease.machine !== machine ||
            cards.some(({ network, nic }) => network === lease.network && nic === lease.nic),
        ),
      ),
    forget: (machine) => changeLeases((leases) => leases.filter((lease) => lease.machine !== machine)),
    rename: (machine, to) => changeLeases((leases) => renamed(leases, machine, to)),
    fault,
    check,
  };
}

const isSame = (one: Lease, other: Lease): boolean =>
  one.network === other.network && one.machine === other.machine && one.nic === other.nic;

const patterns: readonly (readonly [key: keyof Lease, pattern: RegExp])[] = [
  ['network', networkNamePattern],
  ['machine', machineNamePattern],
  ['nic', nicPattern],
  ['mac', macPattern],
  ['address', addressPattern],
];

/** SECURITY: promise 1. What reaches nft and ip was seen to be what it is meant to be, whoever wrote the file. */
function isContent(value: unknown): value is Content {
  if (!isObject(value)) return false;
  const { networks, leases } = value;
  if (!Array.isArray(networks) || !Array.isArray(leases)) return false;
  const isLease = (lease: unknown): boolean =>
    isObject(lease) &&
    patterns.every(([key, pattern]) => typeof lease[key] === 'string' && pattern.test(lease[key]));
  return networks.every(isNetwork) && leases.every(isLease);
}

function isNetwork(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { name, subnet, mode, who, by, at } = value;
  const names = (list: unknown): boolean =>
    Array.isArray(list) && list.every((one) => typeof one === 'string');
  return (
    networkNamePattern.test(String(name)) &&
    typeof parseSubnet(String(subnet)) !== 'string' &&
    networkModes.some((known) => known === mode) &&
    (who === null || (isObject(who) && names(who['users']) && names(who['groups']))) &&
    Number.isSafeInteger(by) &&
    typeof at === 'string'
  );
}
