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
import { lost, networkAttacks, type NetworkSite } from '../support/network-attacks.ts';
import { createUplink } from '../support/uplink.ts';

const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());
const { host, world } = uplink;
const instance = await startInstance({ network: host.path });
after(() => instance[Symbol.asyncDispose]());

const inGuest = (machine: string, command: string): Promise<string> => guestRuns(instance, machine, command);
const evil = (command: string): Promise<string> => inGuest('evil', command);
const web = '10.77.0.3';
const site: NetworkSite = {
  inGuest,
  onHost: host.run,
  signalServer: async (signal) => void process.kill(await serverPid(), signal),
};
const { attacks, honest, goesOn } = networkAttacks(site);

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
});

test('what an honest guest does works', honest);

for (const [what, attack] of Object.entries(attacks))
  test(`closed: ${what}`, async () => {
    assert.equal(await attack(), false);
    await goesOn();
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
