/**
 * Promise 2 against guests in a managed network: forged MAC and IP addresses, ARP for others, DHCP and IPv6 of a guest's own, and the
 * host, its neighbours in other networks and metadata services stay without effect; each works where the rules are taken away. Needs root.
 */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import type { BrokerStatus } from '../../src/protocol/broker.ts';
import { askBroker } from '../support/broker.ts';
import { consoleShows, defineDemo, done } from '../support/driver.ts';
import { guestRuns } from '../support/guest-shell.ts';
import { startInstance } from '../support/instance.ts';
import { createUplink } from '../support/uplink.ts';

const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());
const { host, world } = uplink;
const instance = await startInstance({ network: host.path });
after(() => instance[Symbol.asyncDispose]());

const inGuest = (machine: string, command: string): Promise<string> => guestRuns(instance, machine, command);
const evil = (command: string): Promise<string> => inGuest('evil', command);
const [web, db, gateway] = ['10.77.0.3', '10.77.0.4', '10.77.0.1'];
const forgedMac = '52:54:00:66:66:66';
let ownMac = '';

const lost = /100% packet loss|bad address|unreachable/;
const arrives = / 0% packet loss| [1-9]\d?% packet loss/;

/** As a guest may do to its own card; everything is as it was afterwards. */
const withMac = async (mac: string, command: string): Promise<string> => {
  const change = (to: string): string =>
    `ip link set eth0 down; ip link set eth0 address ${to}; ip link set eth0 up; ip route add default via ${gateway} 2>/dev/null; sleep 1`;
  return await evil(`${change(mac)}; ${command}; ${change(ownMac)}`);
};

/** What a guest tries, and what shows that it came through. */
const attacks: Readonly<Record<string, () => Promise<boolean>>> = {
  'a frame from another MAC address': async () =>
    !lost.test(await withMac(forgedMac, `ping -c 3 -w 4 ${web}`)),
  'the MAC address of another card, to have its frames': async () => {
    const mac = await inGuest('web', 'cat /sys/class/net/eth0/address');
    await withMac(mac, `ping -c 3 -w 4 ${db}; arping -c 2 -w 3 -I eth0 ${db}`);
    const port = new RegExp(`^${mac} dev (\\S+)`, 'm').exec(
      host.run('bridge', 'fdb', 'show', 'br', 'qw-lan'),
    )?.[1];
    await inGuest('web', `ping -c 1 -w 3 ${db}`);
    const real = new RegExp(`^${mac} dev (\\S+)`, 'm').exec(
      host.run('bridge', 'fdb', 'show', 'br', 'qw-lan'),
    )?.[1];
    return port !== undefined && port !== real;
  },
  'a packet from the address of another': () => sendsFrom(web),
  'a packet from an address that nobody has': () => sendsFrom('10.77.0.99'),
  'ARP that says to be the gateway': async () => {
    await inGuest('web', `ping -c 1 -w 3 ${gateway}`);
    await evil(
      `ip address add ${gateway}/32 dev eth0; arping -U -c 3 -w 4 -I eth0 -s ${gateway} ${gateway}; ip address delete ${gateway}/32 dev eth0`,
    );
    return (await inGuest('web', `ip neigh show ${gateway}`)).includes(ownMac);
  },
  'an answer to ARP for another': async () => {
    await evil(`ip address add ${web}/32 dev eth0`);
    await inGuest('db', `ip neigh flush dev eth0; ip neigh flush dev eth0`);
    // The other is silent, so that nobody but the forger would answer.
    await inGuest('web', 'ip link set eth0 down');
    await inGuest('db', `ping -c 2 -w 3 ${web}`);
    const neighbours = await inGuest('db', `ip neigh show ${web}`);
    await evil(`ip address delete ${web}/32 dev eth0`);
    await inGuest('web', `ip link set eth0 up; ip route add default via ${gateway} 2>/dev/null; sleep 1`);
    return neighbours.includes(ownMac);
  },
  'a DHCP server of its own': async () => {
    await evil(
      'touch /tmp/leases; printf "start 10.77.0.200\\nend 10.77.0.210\\ninterface eth0\\nlease_file /tmp/leases\\npidfile /tmp/udhcpd.pid\\noption router 10.77.0.5\\n" >/tmp/udhcpd.conf; udhcpd /tmp/udhcpd.conf; sleep 1',
    );
    // The network's own is held, so that only the forger would answer.
    const pid = await serverPid();
    process.kill(pid, 'SIGSTOP');
    const got = await inGuest(
      'web',
      'printf "#!/bin/sh\\n[ \\$1 = bound ] && echo got \\$ip\\nexit 0\\n" >/tmp/show; chmod 755 /tmp/show; udhcpc -i eth0 -f -q -n -t 3 -T 1 -s /tmp/show 2>&1',
    );
    process.kill(pid, 'SIGCONT');
    await evil('killall udhcpd');
    return /got 10\.77\.0\.2\d\d/.test(got);
  },
  'IPv6, with all that it can announce': async () => {
    const address = /fe80::[0-9a-f:]+/.exec(await inGuest('web', 'ip -6 address show dev eth0'))?.[0] ?? '';
    assert.notEqual(address, '', 'the guest has no IPv6');
    return arrives.test(await evil(`ping -6 -c 3 -w 4 ${address}%eth0`));
  },
  "a service of the host's, by its address in the network": () => fetches(`${gateway}:8000`),
  "a service of the host's, by another address": () => fetches('192.0.2.2:8000'),
  'the metadata service of clouds': () => fetches('169.254.169.254'),
  'the metadata service of Alibaba': () => fetches('100.100.100.200'),
};

async function fetches(target: string): Promise<boolean> {
  return /a page of/.test(await evil(`timeout 3 wget -q -O - http://${target}/ 2>&1`));
}

/** Whether it is answered, as whoever has the address. */
async function sendsFrom(source: string): Promise<boolean> {
  const [add, remove] = ['add', 'delete'].map((what) => `ip address ${what} ${source}/32 dev eth0`);
  return arrives.test(await evil(`${add}; sleep 1; ping -I ${source} -c 3 -w 4 ${db}; ${remove}`));
}

async function serverPid(): Promise<number> {
  const status = await askBroker<BrokerStatus>(instance.paths.brokerSocket, { v: 1, call: 'status' });
  const pid = status.ok ? status.result.networks.find(({ name }) => name === 'lan')?.server : undefined;
  assert.ok(pid);
  return pid;
}

before(async () => {
  world.run('ip', 'address', 'add', '100.100.100.200/32', 'dev', 'up1');
  uplink.serve(world, 80, 'a page of the world');
  uplink.serve(host, 8000, 'a page of the host');
  await done(instance, 'network create lan --subnet 10.77.0.0/24 --nat');
  await done(instance, 'network create lab --subnet 10.78.0.0/24 --isolated');
  for (const [name, network] of [
    ['web', 'lan'],
    ['db', 'lan'],
    ['evil', 'lan'],
    ['cage', 'lab'],
  ] as const) {
    await defineDemo(instance, {
      name,
      switches: 'qward.net',
      more: `nics: [{ id: net, kind: network, network: ${network} }]`,
    });
    await done(instance, `start ${name}`);
  }
  for (const name of ['web', 'db', 'evil', 'cage'])
    await consoleShows(instance, name, /network 10\.7\d\.0\.\d/);
  ownMac = await evil('cat /sys/class/net/eth0/address');
});

test('what an honest guest does works', async () => {
  assert.match(await evil(`ping -c 2 -w 5 ${web}`), / 0% packet loss/);
  assert.match(await evil('timeout 5 wget -q -O - http://192.0.2.1/'), /a page of the world/);
  assert.match(await evil(`ping -c 1 -w 5 ${gateway}`), / 0% packet loss/);
});

for (const [what, attack] of Object.entries(attacks))
  test(`closed: ${what}`, async () => {
    assert.equal(await attack(), false);
    assert.match(await evil(`ping -c 2 -w 5 ${web}`), arrives, 'the network goes on');
  });

test('a guest of an isolated network reaches nothing of the host, whatever it tells its own kernel, nor the other network', async () => {
  const mac = /link\/ether (\S+)/.exec(host.run('ip', 'link', 'show', 'qw-lab'))?.[1] ?? '';
  await inGuest(
    'cage',
    `ip neigh add 10.78.0.1 lladdr ${mac} dev eth0; ip route add default via 10.78.0.1; ip neigh show`,
  );
  for (const target of ['192.0.2.2:8000', '10.77.0.1:8000', '192.0.2.1', web, '169.254.169.254'])
    assert.doesNotMatch(
      await inGuest('cage', `timeout 3 wget -q -O - http://${target}/ 2>&1`),
      /a page|hello/,
      target,
    );
  assert.match(await inGuest('cage', 'arping -c 2 -w 3 -I eth0 192.0.2.2'), /Received 0 response/);
  assert.match(await evil('ping -c 2 -w 3 10.78.0.3'), lost);
});

// The control: each was closed by these rules, and by nothing else that this test would not see.
test('without the rules each of them works', async () => {
  assert.equal((await instance.qward(['audit', 'evil'])).status, 0);
  // The manager, which would have them loaded again, is shown that they are there.
  const sentinel = 'ip daddr 127.0.0.0/8 udp dport 9 drop';
  host.run('nft', 'add', 'table', 'inet', 'control');
  host.run('nft', 'add chain inet control output { type filter hook output priority 0; }');
  host.run('nft', `add rule inet control output ${sentinel}`);
  for (const family of ['bridge', 'inet']) host.run('nft', 'delete', 'table', family, 'qw-lan');
  host.run('nft', 'delete', 'table', 'inet', 'qw-forward');
  // Without a translation answers need a way back.
  world.run('ip', 'route', 'add', '10.77.0.0/24', 'via', '192.0.2.2');
  for (const [what, attack] of Object.entries(attacks)) assert.equal(await attack(), true, what);
  host.run('nft', 'delete', 'table', 'inet', 'control');
});

test('rules that are gone are loaded again, and one that is other than planned is told by the audit', async () => {
  for (let tries = 0; tries < 100 && !/qw-forward/.test(host.run('nft', 'list', 'tables')); tries += 1)
    await delay(100);
  assert.equal((await instance.qward(['audit', 'evil'])).status, 0);
  const again = ['a packet from the address of another', "a service of the host's, by another address"];
  for (const what of again) assert.equal(await attacks[what]?.(), false, what);
  host.run('nft', 'flush', 'chain', 'bridge', 'qw-lan', 'server');
  const { status, stdout } = await instance.qward(['audit', 'evil']);
  assert.equal(status, 1);
  assert.match(stdout.replaceAll(/\s+/g, ' '), /network lan: chain bridge server other than planned/);
});
