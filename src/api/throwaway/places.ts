/** Where a throwaway machine may connect to: hosts and TCP ports that its user named, and no other. */
import { lookup as lookUp, type LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';

export interface Place {
  /** A name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
  /** A name that may lead into private networks. */
  readonly isPrivate: boolean;
}

/** As many as the guest has addresses for. */
const maxPlaces = 200;
const hostName = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;
const written = /^(?:\[([0-9a-f:.]+)\]|([^:\s]+)):([1-9][0-9]{0,4})(\/private)?$/;

/** `HOST:PORT`, a word each, `NAME:PORT/private` for a name of a private network; what is wrong with them is a string. */
export function parsePlaces(words: readonly string[]): readonly Place[] | string {
  const places: Place[] = [];
  for (const word of words) {
    const [, address = '', name = '', port = '', mark] = written.exec(word.toLowerCase()) ?? [];
    const host = address === '' ? name : address;
    const right = address === '' ? hostName.test(name) && !isStrange(name) : isIP(address) === 6;
    if (mark !== undefined && isIP(host) !== 0) return `"${word}" is an address: /private is for names`;
    if (!right || Number(port) > 65_535)
      return `HOST:PORT expected, as in example.org:443, 192.0.2.1:80 or [2001:db8::1]:80, not "${word}"`;
    places.push({ host, port: Number(port), isPrivate: mark !== undefined });
  }
  if (places.length === 0) return 'no HOST:PORT is named';
  return places.length > maxPlaces ? `${places.length} places are more than ${maxPlaces}` : places;
}

/** What a resolver takes for an IPv4 address without it being written as one: `2130706433`, `0x7f.1`. */
const isStrange = (name: string): boolean =>
  isIP(name) !== 4 && /^[0-9a-fx.]*$/.test(name) && /^\d/.test(name);

/** Each also as translators of IPv6 networks write it (RFC 6052, RFC 7915); mapped addresses BlockList knows itself. */
function networks(
  four: readonly (readonly [string, number])[],
  six: readonly (readonly [string, number])[],
): BlockList {
  const list = new BlockList();
  for (const [network, bits] of four) {
    list.addSubnet(network, bits);
    for (const prefix of ['64:ff9b::', '::ffff:0:']) list.addSubnet(`${prefix}${network}`, 96 + bits, 'ipv6');
  }
  for (const [network, bits] of six) list.addSubnet(network, bits, 'ipv6');
  return list;
}

/** What no name leads to: this host, many at once, neighbours by link, metadata services of clouds (protocol/passt.ts has the same). */
const closed = networks(
  [
    ['0.0.0.0', 8],
    ['127.0.0.0', 8],
    ['169.254.0.0', 16],
    ['224.0.0.0', 3],
    ['100.100.100.200', 32],
    ['168.63.129.16', 32],
    ['192.0.0.192', 32],
  ],
  [
    ['::', 96],
    ['fe80::', 10],
    ['ff00::', 8],
    ['fd00:ec2::254', 128],
    ['fd20:ce::254', 128],
    ['fd00:c1::a9fe:a9fe', 128],
  ],
);

/** What a name leads to only where its user said so: networks that are not the Internet (RFC 6890, RFC 8215), and IPv4 in old tunnels. */
const inner = networks(
  [
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.168.0.0', 16],
    ['198.18.0.0', 15],
  ],
  [
    ['64:ff9b:1::', 48],
    ['2001::', 32],
    ['2002::', 16],
    ['fc00::', 7],
    ['fec0::', 10],
  ],
);

export function isClosed(
  { address, family }: LookupAddress,
  own: readonly string[],
  { isPrivate }: Pick<Place, 'isPrivate'>,
): boolean {
  const mine = new BlockList();
  for (const one of own) mine.addAddress(one, isIP(one) === 6 ? 'ipv6' : 'ipv4');
  const lists = isPrivate ? [closed, mine] : [closed, mine, inner];
  return lists.some((list) => list.check(address, family === 6 ? 'ipv6' : 'ipv4'));
}

const ownAddresses = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));

export class ClosedPlace extends Error {
  constructor(host: string, addresses: readonly LookupAddress[]) {
    const where = addresses.map(({ address }) => address).join(', ') || 'nothing';
    super(
      `${host} leads to ${where}, which no name may lead to; one that is to lead into a private network is written NAME:PORT/private`,
    );
  }
}

/**
 * SECURITY: rule guest. Whoever has the name server of a place that was named could lead it to this host, to what answers this host
 * alone, or into the networks that it stands in: a name leads to none of them. An address that was named is that address.
 */
export const lookUpPlace =
  (place: Pick<Place, 'isPrivate'>): LookupFunction =>
  (host, options, callback) => {
    lookUp(host, { ...options, all: true }, (error, addresses) => {
      const own = ownAddresses();
      const open = error === null ? addresses.filter((one) => !isClosed(one, own, place)) : [];
      const [first] = open;
      if (error !== null || first === undefined) {
        callback(error ?? new ClosedPlace(host, addresses), '', 0);
      } else if (options.all === true) callback(null, open);
      else callback(null, first.address, first.family);
    });
  };
