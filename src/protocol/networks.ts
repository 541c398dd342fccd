/**
 * Managed networks as data: what an administrator defines, which addresses machines have in it, and what a NAT, a packet filter
 * and a server make of that. All that reaches nft, ip and dnsmasq is made here of values that were parsed.
 */
import { createHash } from 'node:crypto';
import type { LaunchRequest } from './launch.ts';
import { sentinelAddress, sentinelRule } from './sentinel.ts';

/** As part of the names of its devices, of 15 characters at most: `qw-NAME` and `qNAME.123`. */
export const networkNamePattern = /^[a-z][a-z0-9-]{0,9}$/;

export const networkNameExpected =
  'lower-case letters, digits and "-", a letter first, 10 characters at most';

/** nat: guests reach what the host reaches, and not the host. isolated: only one another. */
export type NetworkMode = 'nat' | 'isolated';
export const networkModes: readonly NetworkMode[] = ['nat', 'isolated'];

/** Users and groups by name; null: all who may have machines. */
export interface NetworkUsers {
  readonly users: readonly string[];
  readonly groups: readonly string[];
}

export interface NetworkDefinition {
  readonly name: string;
  /** IPv4, as `10.77.0.0/24`. */
  readonly subnet: string;
  readonly mode: NetworkMode;
  readonly who: NetworkUsers | null;
}

export interface ManagedNetwork extends NetworkDefinition {
  /** Uid of the administrator who made it. */
  readonly by: number;
  /** ISO 8601. */
  readonly at: string;
}

/** The address of one network card, the same as long as the machine is there. */
export interface Lease {
  readonly network: string;
  readonly machine: string;
  /** Id of the card. */
  readonly nic: string;
  readonly mac: string;
  readonly address: string;
}

export interface NetworkState extends ManagedNetwork {
  /** Its bridge is there. */
  readonly up: boolean;
  readonly leases: readonly Lease[];
  /** Pid of the server that gives these addresses and names; null: none runs, or it does not know all of them yet. */
  readonly server: number | null;
}

export const macPattern = /^[0-9a-f][02468ace](?::[0-9a-f]{2}){5}$/;
/** Ids of network cards. */
export const nicPattern = /^[a-z][a-z0-9-]{0,30}$/;
export const addressPattern = /^\d{1,3}(?:\.\d{1,3}){3}$/;
export const maxNetworks = 64;
/** Of one network: each is a word of its server's arguments. */
export const maxLeases = 1000;

/** An IPv4 network; addresses as numbers. */
export interface Subnet {
  readonly first: number;
  readonly bits: number;
  readonly last: number;
}

export const formatAddress = (address: number): string =>
  [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join('.');

export function parseAddress(text: string): number | undefined {
  const parts = addressPattern.test(text) ? text.split('.').map(Number) : [256];
  if (parts.some((part) => part > 255)) return undefined;
  return parts.reduce((sum, part) => sum * 256 + part, 0);
}

/** Networks that are no network of hosts: this one, loopback, link-local, multicast and what is above. */
const notForHosts = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3'];

const spanOf = (first: number, bits: number): Subnet => ({ first, bits, last: first + 2 ** (32 - bits) - 1 });

const readSubnet = (text: string): Subnet | undefined => {
  const [, base = '', bits = ''] = /^([\d.]+)\/(\d{1,2})$/.exec(text) ?? [];
  const first = parseAddress(base);
  return first === undefined || Number(bits) > 32 ? undefined : spanOf(first, Number(bits));
};

export const overlap = (one: Subnet, other: Subnet): boolean =>
  one.first <= other.last && other.first <= one.last;

/** The network, or what is wrong with the text. */
export function parseSubnet(text: string): Subnet | string {
  const subnet = readSubnet(text);
  if (subnet === undefined) return 'an IPv4 network such as 10.77.0.0/24 expected';
  if (subnet.bits < 16 || subnet.bits > 29) return 'a prefix from /16 to /29 expected';
  if (subnet.first % 2 ** (32 - subnet.bits) !== 0)
    return `its first address expected: ${formatAddress(subnet.first - (subnet.first % 2 ** (32 - subnet.bits)))}/${subnet.bits}`;
  const special = notForHosts.find((one) => overlap(subnet, readSubnet(one) ?? subnet));
  return special === undefined ? subnet : `addresses of ${special} are none of hosts`;
}

/** Who has which address, and under which names it is on the host. */
export interface NetworkPlan {
  readonly name: string;
  readonly mode: NetworkMode;
  readonly subnet: Subnet;
  readonly bridge: string;
  /** Of the devices of machines; the kernel puts a number behind it. */
  readonly cards: string;
  /** The host's end of the link to the server. */
  readonly serverLink: string;
  /** The host's, where it is a router for guests. */
  readonly gateway: string;
  readonly server: string;
  readonly mac: { readonly bridge: string; readonly link: string; readonly server: string };
  readonly domain: string;
  /** Shows without rights whether its tables are in force. */
  readonly sentinel: string;
}

/** Locally administered; the same for the same network on every host. */
const ownMac = (words: string): string =>
  `02${createHash('sha256').update(words).digest('hex').slice(0, 10).replaceAll(/../g, ':$&')}`;

export function planNetwork({ name, subnet, mode }: NetworkDefinition): NetworkPlan {
  const parsed = parseSubnet(subnet);
  if (typeof parsed === 'string') throw new TypeError(`network ${name}: ${subnet}: ${parsed}`);
  return {
    name,
    mode,
    subnet: parsed,
    bridge: `qw-${name}`,
    cards: `q${name}.`,
    serverLink: `qd-${name}`,
    gateway: formatAddress(parsed.first + 1),
    server: formatAddress(parsed.first + 2),
    mac: {
      bridge: ownMac(`bridge ${name}`),
      link: ownMac(`link ${name}`),
      server: ownMac(`server ${name}`),
    },
    domain: `${name}.internal`,
    sentinel: sentinelAddress(`network ${name}`),
  };
}

/** The first address that no card has; undefined: none is left. */
export function freeAddress({ first, last }: Subnet, taken: ReadonlySet<string>): string | undefined {
  if (taken.size >= maxLeases) return undefined;
  for (let address = first + 3; address < last; address += 1)
    if (!taken.has(formatAddress(address))) return formatAddress(address);
  return undefined;
}

/** Routes of the host, as /proc/net/route has them, that lead into the subnet; those by these devices are left out. */
export function conflictingRoutes(table: string, subnet: Subnet, own: readonly string[]): readonly string[] {
  return table
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [device = '', destination = '', , , , , , mask = ''] = line.split('\t');
      const words = [destination, mask].map((word) => Buffer.from(word, 'hex'));
      if (words.some((word) => word.length !== 4) || own.includes(device)) return [];
      const [first = 0, ones = 0] = words.map((word) => word.readUInt32LE());
      const bits = ones.toString(2).replaceAll('0', '').length;
      if (bits === 0 || !overlap(subnet, spanOf(first, bits))) return [];
      return [`${formatAddress(first)}/${bits} by ${device}`];
    });
}

/** Metadata services of clouds: those of passt's filter that are IPv4. */
const metadata = '{ 100.100.100.200, 169.254.0.0/16 }';

/** In the words in which nft(8) lists them. One port of the bridge: what comes in by it has its own addresses, and is IPv4 or ARP. */
const portRules = (mac: string, address: string, more: readonly string[]): readonly string[] => [
  `ether saddr != ${mac} drop`,
  // A sender of 0.0.0.0: it asks whether somebody has its address (RFC 5227).
  `arp htype 1 arp ptype ip arp hlen 6 arp plen 4 arp saddr ether ${mac} arp saddr ip { 0.0.0.0, ${address} } accept`,
  ...more,
  `ip saddr ${address} accept`,
  'drop',
];

/**
 * What a port takes to the host past the bridge: frames to 01:80:c2:00:00:0x (IEEE 802.1Q, 8.6.3) meet few hooks of a bridge or none, and
 * IP takes them as of the port itself.
 */
const pastTheBridge = ({ cards, serverLink }: NetworkPlan): readonly string[] => [
  'chain past_the_bridge {',
  'type filter hook prerouting priority raw; policy accept;',
  ...[`${cards}*`, serverLink].map((port) => `iifname "${port}" drop`),
  '}',
];

/** New connections that one guest may have through the host: those of all share the host's own table of them. */
const maxConnections = 4096;

/**
 * The tables of a network in nft's own words (nft(8)); anew in one step.
 * SECURITY: promise 2. A port that was not given an address yet lets nothing in. What a guest sends has its own MAC and IPv4
 * address, and is no answer of a DHCP server. To the host itself nothing comes but an answer, and an echo request for the gateway.
 */
export function networkTables(plan: NetworkPlan): string {
  const { bridge, cards, serverLink, server, gateway, mac, mode, subnet } = plan;
  const net = `${formatAddress(subnet.first)}/${subnet.bits}`;
  const lines = [
    ...anew('bridge', bridge),
    `table bridge ${bridge} {`,
    'map ports { type ifname : verdict; }',
    'chain server {',
    ...portRules(mac.server, server, []),
    '}',
    'chain cards {',
    'iifname vmap @ports',
    'drop',
    '}',
    'chain prerouting {',
    'type filter hook prerouting priority dstnat; policy accept;',
    `iifname "${cards}*" jump cards`,
    `iifname "${serverLink}" jump server`,
    '}',
    'chain to_host {',
    'type filter hook input priority filter; policy accept;',
    'ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop',
    ...[`${cards}*`, serverLink].map(
      (port) => `iifname "${port}" ${mode === 'nat' ? 'ether type != { ip, arp } ' : ''}drop`,
    ),
    '}',
    '}',
    ...anew('inet', bridge),
  ];
  const inet = [
    `table inet ${bridge} {`,
    'chain sentinel {',
    'type filter hook output priority filter; policy accept;',
    sentinelRule(plan.sentinel),
    '}',
    ...pastTheBridge(plan),
  ];
  if (mode === 'isolated') return `${[...lines, ...inet, '}'].join('\n')}\n`;
  return `${[
    ...lines,
    ...inet,
    'set connected { type ipv4_addr; size 65536; flags dynamic; }',
    'chain to_host {',
    'type filter hook input priority filter; policy accept;',
    `iifname != "${bridge}" accept`,
    'ct state established,related accept',
    `ip daddr ${gateway} icmp type echo-request accept`,
    'drop',
    '}',
    'chain forwarded {',
    'type filter hook forward priority filter; policy accept;',
    `iifname "${bridge}" oifname "${bridge}" accept`,
    `iifname "${bridge}" ip saddr != ${net} drop`,
    `iifname "${bridge}" ip daddr ${metadata} drop`,
    `iifname "${bridge}" meta nfproto ipv6 drop`,
    `iifname "${bridge}" ct state new add @connected { ip saddr ct count over ${maxConnections} } drop`,
    `oifname "${bridge}" ct state established,related accept`,
    `oifname "${bridge}" drop`,
    '}',
    'chain translated {',
    'type nat hook postrouting priority srcnat; policy accept;',
    `ip saddr ${net} oifname != "${bridge}" masquerade`,
    '}',
    '}',
  ].join('\n')}\n`;
}

const anew = (family: string, name: string): readonly string[] => [
  `table ${family} ${name}`,
  `delete table ${family} ${name}`,
];

export const noTables = ({ bridge }: NetworkPlan): string =>
  `${['bridge', 'inet'].flatMap((family) => anew(family, bridge)).join('\n')}\n`;

/** With the client's hardware address (RFC 2131, chaddr, 28 bytes behind UDP's header): none declines or releases what another has. */
const dhcpOfClient = (mac: string, address: string): readonly string[] => [
  'udp sport 67 drop',
  `ip saddr { 0.0.0.0, ${address} } udp sport 68 udp dport 67 @th,288,48 0x${BigInt(`0x${mac.replaceAll(':', '')}`).toString(16)} accept`,
  'udp dport 67 drop',
];

const chainOf = (device: string): string => `card${device.slice(device.indexOf('.') + 1)}`;

/** Chains and maps of tables, each by `FAMILY NAME`, with its lines. */
function partsOf(tables: string): ReadonlyMap<string, string> {
  let family = '';
  let part = '';
  const parts = new Map<string, string>();
  for (const line of tables.split('\n').map((one) => one.trim())) {
    const [, table] = /^table (\w+) \S+ \{$/.exec(line) ?? [];
    const [, name] = /^(?:chain|map) (\S+) \{/.exec(line) ?? [];
    if (table !== undefined) family = table;
    else if (name !== undefined) parts.set((part = `${family} ${name}`), '');
    else if (line === '}') part = '';
    else if (part !== '' && line !== '') parts.set(part, `${parts.get(part)}${line}\n`);
  }
  return parts;
}

/** What is wrong with the tables of a network, as nft lists them, for the card with this device and MAC address. */
export function cardFaults(
  plan: NetworkPlan,
  listing: string,
  { device, mac }: { readonly device: string; readonly mac: string },
): readonly string[] {
  const [planned, found] = [partsOf(networkTables(plan)), partsOf(listing)];
  const chain = found.get(`bridge ${chainOf(device)}`) ?? '';
  const address = /^ip saddr (\S+) accept$/m.exec(chain)?.[1] ?? '';
  const leads = new RegExp(`"${device.replace('.', '\\.')}" : goto ${chainOf(device)}[ ,]`);
  return [
    ...[...planned].flatMap(([part, rules]) =>
      part === 'bridge ports' || found.get(part) === rules ? [] : [`chain ${part}`],
    ),
    ...(chain === `${portRules(mac, address, dhcpOfClient(mac, address)).join('\n')}\n`
      ? []
      : [`the rules of ${device}`]),
    ...(leads.test(found.get('bridge ports') ?? '') ? [] : [`the way to the rules of ${device}`]),
  ].map((part) => `network ${plan.name}: ${part} other than planned`);
}

/** What a device of a machine lets in from now on, whatever a device of this name did before. */
export function cardRules(
  { bridge }: NetworkPlan,
  device: string,
  { mac, address }: Pick<Lease, 'mac' | 'address'>,
): string {
  const chain = chainOf(device);
  return `${[
    `add chain bridge ${bridge} ${chain}`,
    `flush chain bridge ${bridge} ${chain}`,
    ...portRules(mac, address, dhcpOfClient(mac, address)).map(
      (rule) => `add rule bridge ${bridge} ${chain} ${rule}`,
    ),
    `add element bridge ${bridge} ports { "${device}" : goto ${chain} }`,
  ].join('\n')}\n`;
}

/** The managed networks in which a machine has cards. */
export const networksOf = ({
  launch: { descriptors },
  joined = [],
}: {
  readonly launch: Pick<LaunchRequest, 'descriptors'>;
  readonly joined?: readonly string[];
}): string[] => [
  ...descriptors.flatMap((descriptor) => (descriptor.kind === 'card' ? [descriptor.network] : [])),
  ...joined,
];

/** No machine has a name that begins so. */
export const serverPrefix = 'qward-dns-';
export const serverName = (network: string): string => serverPrefix + network;
/** The network whose server a launch is; undefined: it is no name of a server. */
export function servedNetwork(machine: string): string | undefined {
  const name = machine.startsWith(serverPrefix) ? machine.slice(serverPrefix.length) : '';
  return networkNamePattern.test(name) ? name : undefined;
}

export const maxUpstream = 3;

/** What dnsmasq needs to take DHCP requests; over its own network namespace, in a user namespace of its own. */
export const serverCapabilities = ['net_bind_service', 'net_admin'] as const;
const capabilityWords = `-all,${serverCapabilities.map((name) => `+${name}`).join(',')}`;
/**
 * SECURITY: promise 2. In the jail the server makes a user and a network namespace, and keeps two capabilities in there: they count for
 * that network namespace alone, and nowhere on the host (user_namespaces(7), unshare(1), setpriv(1)).
 */
export const serverBeginner: readonly string[] = [
  '/usr/bin/unshare --user --net --map-current-user --keep-caps -- /usr/bin/setpriv',
  `--ambient-caps ${capabilityWords} --inh-caps ${capabilityWords} --bounding-set ${capabilityWords} --`,
].flatMap((line) => line.split(' '));

/**
 * What dnsmasq is told (dnsmasq(8)): addresses for these cards and no others, their names, and whom to ask for all other names.
 * SECURITY: promise 2. In the foreground, without a file of the host's or one that it writes.
 */
export function serverArguments(
  plan: NetworkPlan,
  leases: readonly Lease[],
  upstream: readonly string[],
): readonly string[] {
  const { subnet, domain, gateway, mode } = plan;
  const mask = formatAddress(2 ** 32 - 2 ** (32 - subnet.bits));
  const router = mode === 'nat' ? `,${gateway}` : '';
  return [
    '--keep-in-foreground --user= --group= --conf-file=/dev/null --pid-file= --log-facility=- --no-resolv --no-hosts --leasefile-ro'.split(
      ' ',
    ),
    '--no-ping --dhcp-authoritative --interface=eth0 --except-interface=lo --bind-dynamic --cache-size=1000'.split(
      ' ',
    ),
    `--dhcp-range=${formatAddress(subnet.first)},static,${mask},12h --dhcp-option=3${router} --domain=${domain}`.split(
      ' ',
    ),
    ['--domain-needed', `--local=/${domain}/`],
    upstream.filter(() => mode === 'nat').map((address) => `--server=${address}`),
    leases.flatMap(({ machine, mac, address }) => [
      `--dhcp-host=${mac},${address},${machine}`,
      `--host-record=${machine}.${domain},${machine},${address}`,
    ]),
  ].flat();
}
