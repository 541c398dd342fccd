/** Where a throwaway machine may connect to: hosts and TCP ports that its user named, and no other. */
import { lookup as lookUp, type LookupAddress } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';

export interface Place {
  /** A name, or an IP address without brackets. */
  readonly host: string;
  readonly port: number;
}

/** As many as the guest has addresses for. */
const maxPlaces = 200;
const hostName = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;
const written = /^(?:\[([0-9a-f:.]+)\]|([^:\s]+)):([1-9][0-9]{0,4})$/;

/** `HOST:PORT`, a word each; what is wrong with them is a string. */
export function parsePlaces(words: readonly string[]): readonly Place[] | string {
  const places: Place[] = [];
  for (const word of words) {
    const [, address = '', name = '', port = ''] = written.exec(word.toLowerCase()) ?? [];
    const right = address === '' ? hostName.test(name) && !isStrange(name) : isIP(address) === 6;
    if (!right || Number(port) > 65_535)
      return `HOST:PORT expected, as in example.org:443, 192.0.2.1:80 or [2001:db8::1]:80, not "${word}"`;
    places.push({ host: address === '' ? name : address, port: Number(port) });
  }
  if (places.length === 0) return 'no HOST:PORT is named';
  return places.length > maxPlaces ? `${places.length} places are more than ${maxPlaces}` : places;
}

/** What a resolver takes for an IPv4 address without it being written as one: `2130706433`, `0x7f.1`. */
const isStrange = (name: string): boolean =>
  isIP(name) !== 4 && /^[0-9a-fx.]*$/.test(name) && /^\d/.test(name);

/** What no name leads to: this host, many at once, neighbours by link, metadata services of clouds (protocol/passt.ts has the same). */
const closed = new BlockList();
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['224.0.0.0', 3],
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
  ['192.0.0.192', 32],
] as const)
  closed.addSubnet(network, bits);
for (const [network, bits] of [
  ['::', 128],
  ['::1', 128],
  ['fe80::', 10],
  ['ff00::', 8],
  ['fd00:ec2::254', 128],
  ['fd20:ce::254', 128],
  ['fd00:c1::a9fe:a9fe', 128],
] as const)
  closed.addSubnet(network, bits, 'ipv6');

/** Mapped IPv4 addresses count as what they are: BlockList sees to it. */
export function isClosed({ address, family }: LookupAddress, own: readonly string[]): boolean {
  const mine = new BlockList();
  for (const one of own) mine.addAddress(one, isIP(one) === 6 ? 'ipv6' : 'ipv4');
  const kind = family === 6 ? 'ipv6' : 'ipv4';
  return closed.check(address, kind) || mine.check(address, kind);
}

const ownAddresses = (): readonly string[] =>
  Object.values(networkInterfaces()).flatMap((all = []) => all.map(({ address }) => address));

/**
 * SECURITY: rule guest. Whoever has the name server of a place that was named could lead it to this host, or to what answers this host
 * alone: a name leads to neither. An address that was named is that address.
 */
export const lookUpPlace: LookupFunction = (host, options, callback) => {
  lookUp(host, { ...options, all: true }, (error, addresses) => {
    const own = ownAddresses();
    const open = error === null ? addresses.filter((one) => !isClosed(one, own)) : [];
    const [first] = open;
    if (error !== null || first === undefined) {
      const none = Object.assign(new Error(`${host} leads to no host that may be reached`), {
        code: 'EACCES',
      });
      callback(error ?? none, '', 0);
    } else if (options.all === true) callback(null, open);
    else callback(null, first.address, first.family);
  });
};
