/**
 * passt(1), the user network of one network card: how its runs are named, its arguments, and the packet filter that closes the
 * host to it. The manager makes the arguments; the broker takes them apart again and looks at each.
 */

import { sameWords } from './same-words.ts';
import { sentinelAddress, sentinelRule } from './sentinel.ts';

/** No machine has a name that begins so. */
export const passtJobPrefix = 'qward-net-';
export const passtJobPattern = /^qward-net-[a-z0-9]{12,32}$/;

/** A port of the host that leads to one of the guest. */
export interface Forward {
  readonly protocol: 'tcp' | 'udp';
  /** Address of the host, IPv4 or IPv6. */
  readonly address: string;
  readonly port: number;
  /** The guest's. */
  readonly to: number;
}

export interface PasstSettings {
  readonly forwards: readonly Forward[];
  /** Name servers that the guest is told. */
  readonly dns: readonly string[];
}

/** What the guest is given by DHCP, router advertisements and DHCPv6; the same in every machine, as nobody else sees it. */
export const guestNetwork = {
  address: '10.0.2.15',
  gateway: '10.0.2.2',
  address6: 'fd71:7761:7264::15',
} as const;

/**
 * SECURITY: promise 2. In the foreground: no further process; no address of the host's mapped into the guest's network
 * (--no-map-gw), and nothing of the host told to the guest but the name servers given.
 */
const fixed: readonly string[] = [
  `--foreground --stderr --quiet --fd 3 --no-map-gw --mac-addr 52:55:0a:00:02:02 --address ${guestNetwork.address}`,
  `--netmask 255.255.255.0 --gateway ${guestNetwork.gateway} --address ${guestNetwork.address6} --search none`,
].flatMap((line) => line.split(' '));

/** Without a word about forwards passt takes UDP ports along with those of TCP. */
const noForwards = ['--tcp-ports', 'none', '--udp-ports', 'none'] as const;

export function passtArguments({ forwards, dns }: PasstSettings): readonly string[] {
  const ports = (['tcp', 'udp'] as const).flatMap((protocol, index) => {
    const own = forwards.filter((forward) => forward.protocol === protocol);
    if (own.length === 0) return noForwards.slice(2 * index, 2 * index + 2);
    return own.flatMap(({ address, port, to }) => [`--${protocol}-ports`, `${address}/${port}:${to}`]);
  });
  const servers = (dns.length === 0 ? ['none'] : dns).flatMap((address) => ['--dns', address]);
  return [...fixed, ...servers, ...ports];
}

/** An address as the kernel reads it, without a zone; whether it is one passt sees. */
const address = '[0-9a-f.:]{2,45}';
const forwardValue = new RegExp(`^(${address})/([1-9]\\d{0,4}):([1-9]\\d{0,4})$`);

/** What arguments of `passtArguments` say; undefined where they are no such arguments, in every word and in their order. */
export function readPasstArguments(argv: readonly string[]): PasstSettings | undefined {
  const forwards: Forward[] = [];
  const dns: string[] = [];
  for (let index = fixed.length; index < argv.length; index += 2) {
    const [option = '', value = ''] = argv.slice(index, index + 2);
    const [, host = '', port, to] = forwardValue.exec(value) ?? [];
    if (option === '--dns' && new RegExp(`^${address}$`).test(value)) dns.push(value);
    else if (option === '--tcp-ports' || option === '--udp-ports') {
      if (value !== 'none')
        forwards.push({
          protocol: option === '--tcp-ports' ? 'tcp' : 'udp',
          address: host,
          port: Number(port),
          to: Number(to),
        });
    }
  }
  const settings = { forwards, dns };
  return sameWords(passtArguments(settings), argv) ? settings : undefined;
}

interface UidRange {
  readonly base: number;
  readonly count: number;
}

/** Metadata services of clouds: the link-local network, and those that lie elsewhere (Alibaba, AWS, Azure, Google, Oracle). */
const metadata = [
  'ip daddr 169.254.0.0/16',
  'ip daddr 100.100.100.200',
  'ip daddr 168.63.129.16',
  'ip daddr 192.0.0.192',
  'ip6 daddr fe80::/10',
  'ip6 daddr fd00:ec2::254',
  'ip6 daddr fd20:ce::254',
  'ip6 daddr fd00:c1::a9fe:a9fe',
];

const last = ({ base, count }: UidRange): number => base + count - 1;

/**
 * The packet filter of the host, in the words in which nft(8) lists it with `-p`: names of protocols are those of /etc/protocols, which small hosts have not.
 * SECURITY: promise 2. What a process with one of these uids sends of its own accord to the host, to many on a network, or to a
 * metadata service goes nowhere; what it answers to who asked, by a forwarded port, does. `helpers` are the uids that have a sentinel.
 */
export const filterRules = (
  ranges: readonly UidRange[],
  helpers: readonly number[] = [],
): readonly string[] => [
  'chain output {',
  'type filter hook output priority filter; policy accept;',
  ...helpers.map((uid) => sentinelRule(helperSentinel(uid))),
  ...ranges.map((range) => `meta skuid ${range.base}-${last(range)} jump machines`),
  '}',
  'chain machines {',
  'ct direction reply accept',
  ...metadata.map((match) => `${match} jump refuse`),
  'fib daddr type != unicast jump refuse',
  '}',
  'chain refuse {',
  'meta l4proto 6 reject with tcp reset',
  'drop',
  '}',
];

/** Shows without rights whether the filter is in force that was loaded for the passt with this uid. */
export const helperSentinel = (uid: number): string => sentinelAddress(`passt ${uid}`);
const anySentinel = new RegExp(
  `^${sentinelRule('127.113.0.0')
    .replace('0.0', String.raw`\d+.\d+`)
    .replaceAll('.', String.raw`\.`)}$`,
);
const uidRule = /^meta skuid (\d+)(?:-(\d+))? jump machines$/;

/** Whether a filter as nft lists it closes the host to the uid. */
export function isClosedTo(uid: number, listing: string): boolean {
  const lines = listing.split('\n').map((line) => line.trim());
  // Around the chains: the table's own lines.
  const rules = lines.filter((line) => line !== '').slice(1, -1);
  const covers = rules.some((rule) => {
    const [, from, to = from] = uidRule.exec(rule) ?? [];
    return from !== undefined && Number(from) <= uid && uid <= Number(to);
  });
  const others = rules.filter((rule) => !uidRule.test(rule) && !anySentinel.test(rule));
  return covers && others.join('\n') === filterRules([]).join('\n');
}
