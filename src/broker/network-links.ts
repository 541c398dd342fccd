/**
 * Managed networks as they are on the host: a bridge, its tables of nftables, and a link to the server's own network namespace. There
 * as long as a machine with a card in the network runs.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { errorCode, unlessMissing } from '../linux/errno.ts';
import { isAlive } from '../linux/process.ts';
import { keepHostOut, openTap } from '../linux/tap.ts';
import type { Refusal } from '../protocol/broker.ts';
import {
  cardRules,
  conflictingRoutes,
  networkNamePattern,
  networkTables,
  networksOf,
  noTables,
  planNetwork,
  type Lease,
  type ManagedNetwork,
  type NetworkPlan,
} from '../protocol/networks.ts';
import type { BrokerContext } from './context.ts';
import type { CardDescriptor } from './means.ts';
import { readJson, writeWhole } from './files.ts';
import type { LaunchRecord } from './records.ts';
import { Failed, listTables, nft, runProgram } from './run-program.ts';

const joinDeadlineMs = 5_000;
const pollMs = 2;

type LinksContext = Pick<BrokerContext, 'paths' | 'records' | 'networks'>;

const refusal = (code: string, message: string, hint: string): Refusal => ({ code, message, hint });

const ip = (...lines: readonly string[]): string =>
  runProgram('/usr/sbin/ip', ['-batch', '-'], `${lines.join('\n')}\n`);

/**
 * Its tables as they are in force.
 * SECURITY: promise 2. What took them away (a reload of a firewall) has opened the network: as long as it is up, they are loaded again.
 */
export function listNetwork(context: LinksContext, network: ManagedNetwork): string {
  const [plan, cards] = [planNetwork(network), cardsOf(context, network.name)];
  const listed = tablesOf(network.name);
  if (listed.includes(plan.sentinel) || cards === undefined) return listed;
  try {
    load(context, plan, cards);
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
  }
  return tablesOf(network.name);
}

const tablesOf = (name: string): string =>
  listTables(['bridge', 'inet'].map((family) => [family, `qw-${name}`] as const));

/** In the host's network namespace: /sys shows the one in which it was mounted. */
const deviceExists = (name: string): boolean =>
  readFileSync('/proc/net/dev', 'latin1')
    .split('\n')
    .some((line) => line.trim().startsWith(`${name}:`));

/** What says that a network is there and this broker's, with what it found of the host's forwarding. */
const noteOf = ({ paths }: LinksContext, name: string): string => `${paths.brokerRun}/networks/${name}`;
export const isUp = (context: LinksContext, name: string): boolean => existsSync(noteOf(context, name));

type Cards = Readonly<Record<string, Pick<Lease, 'mac' | 'address'>>>;
/** Its cards by their devices; undefined: it is not up, or an earlier qward brought it up. */
const cardsOf = (context: LinksContext, name: string): Cards | undefined =>
  // SECURITY: promise 1. Of root's own file, which holds what was parsed.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  readJson(noteOf(context, name)) as Cards | undefined;

/** All of its rules, in one step. */
function load(context: LinksContext, plan: NetworkPlan, cards: Cards): void {
  const rules = Object.entries(cards).map(([device, lease]) => cardRules(plan, device, lease));
  const router = isUp(context, forwardingNote) ? forwardTable : '';
  nft([networkTables(plan), ...rules, router].join(''));
}

/** Names of networks that are there. */
export const networksUp = ({ paths }: LinksContext): readonly string[] =>
  (unlessMissing(() => readdirSync(`${paths.brokerRun}/networks`)) ?? []).filter((name) =>
    networkNamePattern.test(name),
  );

/** Machines of these records that have a card in the network. */
export const usersOf = ({ records }: LinksContext, name: string): readonly string[] =>
  records
    .list()
    .filter((record) => networksOf(record).includes(name))
    .map(({ machine }) => machine);

/** Undefined where no route of the host leads into the subnet, by another device than the network's own. */
export function routeConflict(plan: NetworkPlan, subnet: string): Refusal | undefined {
  const routes = readFileSync('/proc/net/route', 'latin1');
  const [route] = conflictingRoutes(routes, plan.subnet, [plan.bridge]);
  if (route === undefined) return undefined;
  return refusal(
    'network-conflict',
    `network "${plan.name}": ${subnet} meets the route ${route} of this host`,
    'choose another subnet; `ip route` shows those that are taken',
  );
}

const forwarding = '/proc/sys/net/ipv4/ip_forward';

function bringUp(context: LinksContext, network: ManagedNetwork): Refusal | undefined {
  const plan = planNetwork(network);
  const { name, bridge, mac, mode, gateway, subnet } = plan;
  if (isUp(context, name) && deviceExists(bridge)) return undefined;
  const conflict = routeConflict(plan, network.subnet);
  if (conflict !== undefined) return conflict;
  if (!isUp(context, name) && deviceExists(bridge))
    return refusal(
      'network-conflict',
      `network "${name}": there is a device ${bridge} on this host that is not qward's`,
      `\`ip link show ${bridge}\`; remove it, or make the network under another name`,
    );
  mkdirSync(`${context.paths.brokerRun}/networks`, { recursive: true, mode: 0o700 });
  writeWhole(noteOf(context, name), '{}', false);
  try {
    // SECURITY: promise 2. The filter is there before the bridge is, and before anything is joined to it.
    nft(networkTables(plan));
    ip(`link add name ${bridge} address ${mac.bridge} type bridge stp_state 0 forward_delay 0`);
    keepHostOut(bridge);
    ip(
      ...(mode === 'nat' ? [`address add ${gateway}/${subnet.bits} dev ${bridge}`] : []),
      `link set dev ${bridge} up`,
    );
    if (mode === 'nat') forward(context);
    return undefined;
  } catch (error) {
    takeDown(context, name);
    if (!(error instanceof Failed)) throw error;
    return refusal(
      'network-failed',
      `network "${name}" cannot be brought up: ${error.message}`,
      'apt-get install nftables iproute2; the kernel must have bridge, veth and nf_tables with its bridge and inet families',
    );
  }
}

/**
 * A host that forwards nothing begins to, as long as such a network is there.
 * SECURITY: promise 2. It becomes no router between its other networks by that: what neither comes from nor goes to a network of
 * qward's is dropped, as it was before.
 */
function forward(context: LinksContext): void {
  if (readFileSync(forwarding, 'latin1').trim() !== '0') return;
  writeFileSync(noteOf(context, forwardingNote), '');
  nft(forwardTable);
  writeFileSync(forwarding, '1');
}
const forwardTable = [
  'table inet qw-forward',
  'delete table inet qw-forward',
  'table inet qw-forward {',
  'chain forwarded {',
  'type filter hook forward priority filter; policy accept;',
  'iifname "qw-*" accept',
  'oifname "qw-*" accept',
  'drop',
  '}',
  '}',
  '',
].join('\n');
/** No network has this name. */
const forwardingNote = '.forwarding';

/** Nothing is left of it; safe to repeat. */
export function takeDown(context: LinksContext, name: string): void {
  const plan = planNetwork({ name, subnet: '10.0.0.0/24', mode: 'nat', who: null });
  for (const device of [plan.serverLink, plan.bridge])
    if (deviceExists(device)) ip(`link delete dev ${device}`);
  nft(noTables(plan));
  rmSync(noteOf(context, name), { force: true });
  if (networksUp(context).length > 0 || !isUp(context, forwardingNote)) return;
  writeFileSync(forwarding, '0');
  nft('table inet qw-forward\ndelete table inet qw-forward\n');
  rmSync(noteOf(context, forwardingNote), { force: true });
}

function admitCard(context: LinksContext, plan: NetworkPlan, device: string, { mac, address }: Lease): void {
  const known = cardsOf(context, plan.name);
  const there = Object.entries(known ?? {}).filter(([one]) => deviceExists(one));
  const cards = { ...Object.fromEntries(there), [device]: { mac, address } };
  if (known !== undefined) writeWhole(noteOf(context, plan.name), JSON.stringify(cards), false);
  try {
    nft(cardRules(plan, device, { mac, address }));
  } catch (error) {
    // Its tables are gone.
    if (known === undefined) throw error;
    load(context, plan, cards);
  }
}

/** A TAP for a card of the machine, behind a filter of its own. */
export function openCard(
  context: LinksContext,
  machine: string,
  { network: name, nic, mac }: CardDescriptor,
  multiQueue: boolean,
): number | Refusal {
  const network = context.networks.find(name);
  if (network === undefined)
    return refusal(
      'network-missing',
      `there is no network "${name}"`,
      `root makes it: \`qward network create ${name} --subnet 10.77.0.0/24 --nat\``,
    );
  const plan = planNetwork(network);
  const lease = Object.values(plan.mac).includes(mac)
    ? { holder: 'the network itself' }
    : context.networks.lease(network, { machine, nic, mac });
  if (lease === 'full')
    return refusal(
      'resources-short',
      `network "${name}" has no address left for machine "${machine}"`,
      'remove machines, or make a larger network',
    );
  if ('holder' in lease)
    return refusal(
      'network-conflict',
      `network "${name}": ${mac} is the MAC address of ${lease.holder} already`,
      `leave nics.${nic}.mac out: qward then makes one of its own`,
    );
  const down = bringUp(context, network);
  if (down !== undefined) return down;
  try {
    const filter = (device: string): void => admitCard(context, plan, device, lease);
    return openTap(plan.bridge, `${plan.cards}%d`, filter, multiQueue).fd;
  } catch (error) {
    if (!(error instanceof Failed) && errorCode(error) === '') throw error;
    return refusal(
      'network-failed',
      `network "${name}": no card can be joined to it (${error instanceof Failed ? error.message : errorCode(error)})`,
      'see `ip link show type bridge`, and that /dev/net/tun exists',
    );
  }
}

/**
 * Joins the namespace of a server that has just begun to its network.
 * SECURITY: promise 1. What it is joined by is made before it is there, in a namespace that holds nothing of the host.
 */
export async function joinServer(
  network: ManagedNetwork,
  { pid, startTime }: Pick<LaunchRecord, 'pid' | 'startTime'>,
): Promise<readonly Refusal[]> {
  const { name, serverLink, bridge, mac, server, subnet, gateway, mode } = planNetwork(network);
  const host = readlinkSync('/proc/self/ns/user');
  const namespace = (): string =>
    unlessMissing(() => readlinkSync(`/proc/${pid}/ns/user`), ['ENOENT', 'ESRCH']) ?? host;
  for (const began = performance.now(); namespace() === host || !isAlive(pid, startTime); await delay(pollMs))
    if (!isAlive(pid, startTime) || performance.now() - began > joinDeadlineMs)
      return [
        refusal(
          'network-failed',
          `the server of network "${name}" made no namespaces of its own`,
          'sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone=1; see `qward doctor`',
        ),
      ];
  try {
    if (deviceExists(serverLink)) ip(`link delete dev ${serverLink}`);
    ip(
      `link add name ${serverLink} address ${mac.link} type veth peer name eth0 address ${mac.server} netns ${pid}`,
    );
    keepHostOut(serverLink);
    ip(`link set dev ${serverLink} master ${bridge}`, `link set dev ${serverLink} up`);
    const inside = [
      `address add ${server}/${subnet.bits} dev eth0`,
      'link set dev eth0 up',
      ...(mode === 'nat' ? [`route add default via ${gateway}`] : []),
    ];
    runProgram(
      '/usr/bin/nsenter',
      [`--net=/proc/${pid}/ns/net`, '/usr/sbin/ip', '-batch', '-'],
      `${inside.join('\n')}\n`,
    );
    return [];
  } catch (error) {
    if (!(error instanceof Failed)) throw error;
    return [refusal('network-failed', `network "${name}": ${error.message}`, 'see `qward doctor`')];
  }
}
