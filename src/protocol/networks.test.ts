import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  cardFaults,
  cardRules,
  conflictingRoutes,
  freeAddress,
  networkNamePattern,
  networkTables,
  parseSubnet,
  planNetwork,
  servedNetwork,
  serverArguments,
  type Subnet,
} from './networks.ts';

const lan = planNetwork({ name: 'lan', subnet: '10.77.0.0/24', mode: 'nat', who: null });
const card = { device: 'qlan.0', mac: '52:54:00:00:00:01', address: '10.77.0.3' };

/** As nft 1.0.6 lists a network of that name with one card, but for its white space. */
const listing = `${networkTables(lan)
  .split('\n')
  .filter((line) => !/^(?:table \w+ \S+|delete .*)$/.test(line))
  .join('\n')
  .replace(
    'map ports { type ifname : verdict; }',
    'map ports {\ntype ifname : verdict\nelements = { "qlan.0" : goto card0 }\n}',
  )}
table bridge qw-lan {
chain card0 {
${cardRules(lan, card.device, card)
  .split('\n')
  .flatMap((line) => /^add rule bridge qw-lan card0 (.*)$/.exec(line)?.[1] ?? [])
  .join('\n')}
}
}
`;

const subnetOf = (text: string): Subnet => {
  const parsed = parseSubnet(text);
  assert.ok(typeof parsed === 'object', text);
  return parsed;
};

test('a subnet is an IPv4 network of hosts, by its first address', () => {
  assert.deepEqual(subnetOf('10.77.0.0/24'), { first: 0x0a4d0000, bits: 24, last: 0x0a4d00ff });
  for (const [text, said] of [
    ['10.77.0.0', /IPv4 network/],
    ['10.77.0.0/33', /IPv4 network/],
    ['10.77.0.256/24', /IPv4 network/],
    ['10.77.0.0/24;', /IPv4 network/],
    ['10.77.0.0/15', /\/16 to \/29/],
    ['10.77.0.8/24', /its first address expected: 10\.77\.0\.0\/24/],
    ['127.0.0.0/24', /127\.0\.0\.0\/8/],
    ['240.0.0.0/24', /224\.0\.0\.0\/3/],
  ] as const)
    assert.match(JSON.stringify(parseSubnet(text)), said, text);
});

test('names are parts of names of devices, of 15 characters at most', () => {
  const { bridge, cards, serverLink } = planNetwork({
    name: 'abcdefghij',
    subnet: '10.0.0.0/24',
    mode: 'nat',
    who: null,
  });
  for (const device of [bridge, `${cards}999`, serverLink]) assert.ok(device.length <= 15, device);
  for (const name of ['', 'abcdefghijk', 'Lan', '1lan', 'a b', 'a;', 'a\n'])
    assert.equal(networkNamePattern.test(name), false, name);
  assert.equal(servedNetwork('qward-dns-lan'), 'lan');
  assert.equal(servedNetwork('qward-dns-../x'), undefined);
});

test('addresses begin after gateway and server, and end before broadcast', () => {
  const subnet = subnetOf('10.77.0.0/29');
  const taken = new Set<string>();
  for (const expected of ['10.77.0.3', '10.77.0.4', '10.77.0.5', '10.77.0.6', undefined]) {
    const address = freeAddress(subnet, taken);
    assert.equal(address, expected);
    if (address !== undefined) taken.add(address);
  }
});

test('routes of the host that meet a subnet are told, but for the default one and those by its own bridge', () => {
  const table = [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'up0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'up0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    'qw-lan\t00004D0A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    '',
  ].join('\n');
  assert.deepEqual(conflictingRoutes(table, subnetOf('10.77.0.0/24'), ['qw-lan']), []);
  assert.deepEqual(conflictingRoutes(table, subnetOf('10.77.0.0/24'), []), ['10.77.0.0/24 by qw-lan']);
  assert.deepEqual(conflictingRoutes(table, subnetOf('192.0.2.128/25'), []), ['192.0.2.0/24 by up0']);
});

test('the server is told the addresses of its network, and with NAT alone whom to ask for others', () => {
  const lease = { network: 'lan', machine: 'web', nic: 'net', mac: card.mac, address: card.address };
  const nat = serverArguments(lan, [lease], ['192.0.2.53']);
  assert.ok(nat.includes('--dhcp-host=52:54:00:00:00:01,10.77.0.3,web'));
  assert.ok(nat.includes('--host-record=web.lan.internal,web,10.77.0.3'));
  assert.ok(nat.includes('--server=192.0.2.53') && nat.includes('--dhcp-option=3,10.77.0.1'));
  const isolated = serverArguments({ ...lan, mode: 'isolated' }, [lease], ['192.0.2.53']);
  assert.equal(
    isolated.some((word) => word.startsWith('--server=')),
    false,
  );
  assert.ok(isolated.includes('--dhcp-option=3'));
});

test('every rule that is not as planned is seen', () => {
  assert.deepEqual(cardFaults(lan, listing, card), []);
  for (const [from, to] of [
    [/"qlan\.0" : goto card0/, '"qlan.0" : accept'],
    [/"qlan\.0" : goto card0/, '"qlan.0" : goto card00'],
    [/iifname vmap @ports\ndrop\n/, 'iifname vmap @ports\n'],
    [/iifname "qlan\.\*" jump cards\n/, ''],
    [/ether saddr != 52:54:00:00:00:01 drop\n/, ''],
    [/udp sport 67 drop\n/, ''],
    [/ip saddr 10\.77\.0\.3 accept\n/, 'ip saddr 10.77.0.3 accept\naccept\n'],
    [/priority dstnat; policy accept;/, 'priority dstnat; policy accept;\naccept'],
    [/\{ 0\.0\.0\.0, 10\.77\.0\.3 \}/, '{ 0.0.0.0, 10.77.0.1, 10.77.0.3 }'],
    [/100\.100\.100\.200, /, ''],
    [/icmp type echo-request accept\ndrop\n/, 'icmp type echo-request accept\n'],
  ] as const) {
    const changed = listing.replace(from, to);
    assert.notEqual(changed, listing, String(from));
    assert.notDeepEqual(cardFaults(lan, changed, card), [], String(from));
  }
  assert.notDeepEqual(cardFaults(lan, '', card), []);
  assert.notDeepEqual(cardFaults(lan, listing, { ...card, mac: '52:54:00:00:00:02' }), []);
  assert.notDeepEqual(cardFaults(lan, listing, { ...card, device: 'qlan.1' }), []);
});
