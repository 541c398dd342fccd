/** Managed networks with real guests: addresses, names, ways out, daemons and servers that die, and no trace. The host is a namespace. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import type { AuditReport } from '../../src/audit/report.ts';
import type { BrokerStatus } from '../../src/protocol/broker.ts';
import type { NetworkState } from '../../src/protocol/networks.ts';
import { askBroker } from '../support/broker.ts';
import {
  bareMachine,
  consoleShows,
  defineDemo,
  done,
  refused,
  remains,
  statusOf,
} from '../support/driver.ts';
import { guestRuns } from '../support/guest-shell.ts';
import { startInstance } from '../support/instance.ts';
import { killProcess } from '../support/small-machine.ts';
import { createUplink } from '../support/uplink.ts';

const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());
const { host, world } = uplink;
const instance = await startInstance({ network: host.path });
after(() => instance[Symbol.asyncDispose]());

const nic = (network: string): string => `nics: [{ id: net, kind: network, network: ${network} }]`;
const inGuest = (machine: string, command: string): Promise<string> => guestRuns(instance, machine, command);
const fetchIn = (machine: string, target: string): Promise<string> =>
  inGuest(machine, `timeout 5 wget -q -O - "http://${target}/" 2>&1; echo "status $?"`);

/** What is on the host beside the test's own uplink. */
const onHost = (): readonly string[] => [
  ...[...host.run('ip', '-o', 'link').matchAll(/^\d+: ([^:@]+)/gm)]
    .map(([, device = '']) => device)
    .filter((device) => !['lo', 'up0'].includes(device)),
  ...host.run('nft', 'list', 'tables').split('\n').filter(Boolean),
];

async function stateOf(network: string): Promise<NetworkState> {
  const status = await askBroker<BrokerStatus>(instance.paths.brokerSocket, { v: 1, call: 'status' });
  assert.ok(status.ok);
  const state = status.result.networks.find(({ name }) => name === network);
  assert.ok(state !== undefined);
  return state;
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const giveUpAt = performance.now() + 30_000; !(await holds()); await delay(50))
    if (performance.now() > giveUpAt) throw new Error(what);
}

before(async () => {
  uplink.serve(world, 80, 'hello from the world');
  assert.match(await done(instance, 'network list'), /There is no managed network/);
  assert.match(await done(instance, 'network create lan --subnet 10.77.0.0/24 --nat'), /^lan: made$/);
  await done(instance, 'network create lab --subnet 10.78.0.0/24 --isolated');
  for (const [name, network] of [
    ['web', 'lan'],
    ['db', 'lan'],
    ['cage', 'lab'],
    ['cell', 'lab'],
  ] as const) {
    await defineDemo(instance, { name, switches: 'qward.net', more: nic(network) });
    await done(instance, `start ${name}`);
  }
});

test('each guest gets its address, router and server, and network show and status tell of it', async () => {
  await consoleShows(instance, 'web', /network 10\.77\.0\.3\/24 via 10\.77\.0\.1, servers 10\.77\.0\.2/);
  await consoleShows(instance, 'db', /network 10\.77\.0\.4\/24 via 10\.77\.0\.1, servers 10\.77\.0\.2/);
  await consoleShows(instance, 'cage', /network 10\.78\.0\.3\/24 via , servers 10\.78\.0\.2/);
  await consoleShows(instance, 'cell', /network 10\.78\.0\.4\/24 via , servers 10\.78\.0\.2/);
  const shown = await done(instance, 'network show lan');
  assert.match(shown, /state +up\n/);
  assert.match(shown, /10\.77\.0\.3 +web +net +[0-9a-f:]{17}/);
  assert.match(await done(instance, 'network list'), /lan +10\.77\.0\.0\/24 +nat +up +everybody +db,web/);
  assert.match(await done(instance, 'list'), /ADDRESS[\s\S]*\nweb .* 10\.77\.0\.3 /);
  assert.match(await done(instance, 'status web'), /address +10\.77\.0\.3\n/);
  const [network] = (await statusOf(instance, 'web')).networks;
  assert.deepEqual([network?.nic, network?.up, network?.fault], ['net', true, null]);
});

test('machines find one another by name, ping, and fetch both ways', async () => {
  assert.match(await inGuest('web', 'nslookup -type=a db.lan.internal'), /Address: 10\.77\.0\.4/);
  assert.match(await inGuest('db', 'ping -c 2 -w 10 web'), / 0% packet loss/);
  assert.match(await fetchIn('web', 'db'), /^hello from (?!.*status [1-9])/);
  assert.match(await fetchIn('db', 'web.lan.internal'), /^hello from /);
  assert.match(await fetchIn('cage', 'cell'), /^hello from /);
  assert.match(await inGuest('web', 'ping -c 1 -w 5 10.77.0.1'), / 0% packet loss/);
});

test('with NAT a guest reaches the world, by the address of the host; isolated it does not', async () => {
  assert.match(await fetchIn('web', '192.0.2.1'), /^hello from the world/);
  assert.match(await inGuest('web', 'ping -c 1 -w 5 192.0.2.1'), / 0% packet loss/);
  await inGuest('cage', 'ip route add default via 10.78.0.1; ip route add 192.0.2.0/24 via 10.78.0.2');
  assert.match(await fetchIn('cage', '192.0.2.1'), /status [1-9]/);
  assert.match(await inGuest('cage', 'ping -c 1 -w 3 10.77.0.3'), /100% packet loss|unreachable/);
});

test('the host reaches a guest behind NAT, and the world does not', async () => {
  assert.match(
    host.run('busybox', 'timeout', '5', 'busybox', 'wget', '-q', '-O', '-', 'http://10.77.0.3/'),
    /^hello from/,
  );
  world.run('ip', 'route', 'add', '10.77.0.0/24', 'via', '192.0.2.2');
  assert.throws(
    () => world.run('busybox', 'timeout', '3', 'busybox', 'wget', '-q', '-O', '-', 'http://10.77.0.3/'),
    /Command failed/,
  );
  world.run('ip', 'route', 'delete', '10.77.0.0/24');
});

test('a card with several queues has them in the guest and on the host, is audited, and leaves no device', async () => {
  const more = 'cpu: { count: 2 }\nnics: [{ id: net, kind: network, network: lan, queues: 2 }]';
  await defineDemo(instance, { name: 'wide', switches: 'qward.net', more });
  await done(instance, 'start wide');
  await consoleShows(instance, 'wide', /network 10\.77\.0\.5\/24/);
  assert.equal(await inGuest('wide', 'ls /sys/class/net/eth0/queues | tr "\\n" " "'), 'rx-0 rx-1 tx-0 tx-1');
  assert.match(
    host.run('ip', '-details', 'link', 'show', 'type', 'tun'),
    / multi_queue numqueues 2 numdisabled 0 /,
  );
  assert.match(await fetchIn('wide', 'db'), /^hello from /);
  assert.match(await fetchIn('db', 'wide'), /^hello from /);
  await inGuest('wide', 'ip link set eth0 address 52:54:00:00:00:99');
  assert.match(await fetchIn('wide', '10.77.0.4'), /status [1-9]/);
  const report = JSON.parse(await done(instance, 'audit wide --json')) as AuditReport;
  assert.ok(report.ok, JSON.stringify(report));
  assert.match((await done(instance, 'explain wide')).replaceAll(/\s+/g, ' '), /queue of TAP on network lan/);
  await done(instance, 'kill wide');
  assert.doesNotMatch(host.run('ip', '-details', 'link', 'show', 'type', 'tun'), /multi_queue/);
});

test('audit sees the walls of the server, and explain and policy explain say what a card reaches', async () => {
  const report = JSON.parse(await done(instance, 'audit web --json')) as AuditReport;
  assert.ok(report.ok, JSON.stringify(report));
  const [server] = report.helpers ?? [];
  assert.ok(server?.ok, JSON.stringify(server));
  const found = Object.fromEntries(server.rows.map(({ wall, found: seen }) => [wall, seen]));
  assert.match(found['network-namespace'] ?? '', /^its own, only lo and eth0/);
  assert.match(found['user-namespace'] ?? '', /^its own/);
  assert.match(found['capabilities'] ?? '', /^all five sets net_bind_service net_admin/);
  const explained = (await done(instance, 'explain web')).replaceAll(/\s+/g, ' ');
  assert.match(explained, /closed are the host itself and metadata services/);
  assert.match(explained, /TAP on network lan/);
  assert.match(await done(instance, 'policy explain web'), /network \(net\) +lan/);
});

test('a server that is killed is begun again, and the machines go on', async () => {
  const { server } = await stateOf('lan');
  assert.ok(server !== null);
  process.kill(server, 'SIGKILL');
  await until(async () => ![null, server].includes((await stateOf('lan')).server), 'no server came back');
  await until(
    async () => /10\.77\.0\.4/.test(await inGuest('web', 'nslookup -type=a db.lan.internal')),
    'no names',
  );
  assert.match(await done(instance, 'logs web'), /network "lan": its server runs again/);
});

test('rules that a reload of a firewall flushed are loaded again within moments, the forwarding of the host is bound again', async () => {
  const tables = (): string =>
    host.run('nft', 'list', 'ruleset').replaceAll(/ct count over 4096 \} .*|elements = .*/g, '');
  const before = tables();
  host.run('nft', 'flush', 'ruleset');
  await until(() => tables().split('table ').length === before.split('table ').length, tables());
  await until(
    async () => /its packet filter was gone/.test(await done(instance, 'logs cage')),
    'nothing is told',
  );
  for (const one of ['web', 'db', 'cage', 'cell']) await done(instance, `audit ${one}`);
  assert.match(await fetchIn('web', 'db'), /^hello from /);
  assert.match(await fetchIn('web', '192.0.2.1'), /^hello from the world/);
  // Also where nobody looked before the next card comes.
  await killProcess(instance.daemon('manager'));
  host.run('nft', 'flush', 'ruleset');
  await instance.up();
  await done(instance, 'start wide');
  for (const one of ['web', 'wide']) await done(instance, `audit ${one}`);
  await done(instance, 'kill wide');
});

test('a server that is joined to no network, since its broker died then, is begun anew by the next manager', async () => {
  const { server } = await stateOf('lan');
  await killProcess(instance.daemon('manager'));
  host.run('ip', 'link', 'delete', 'qd-lan');
  await instance.up();
  await until(async () => ![null, server].includes((await stateOf('lan')).server), 'the same server');
  await until(
    async () => /10\.77\.0\.4/.test(await inGuest('web', 'nslookup -type=a db.lan.internal')),
    'no names',
  );
});

test('manager and broker die, and networks go on and are taken over', async () => {
  const before = [(await stateOf('lan')).server, onHost()];
  for (const daemon of ['manager', 'broker'] as const) {
    await killProcess(instance.daemon(daemon));
    await instance.up();
  }
  assert.deepEqual([(await stateOf('lan')).server, onHost()], before);
  assert.match(await fetchIn('web', 'db'), /^hello from /);
  const report = JSON.parse(await done(instance, 'audit web --json')) as AuditReport;
  assert.equal(report.helpers?.length, 1);
  // One that dies while nobody looks.
  const { server } = await stateOf('lan');
  await killProcess(instance.daemon('manager'));
  assert.ok(server !== null);
  process.kill(server, 'SIGKILL');
  await instance.up();
  await until(async () => ![null, server].includes((await stateOf('lan')).server), 'no server came back');
});

test('a machine keeps its address over a restart, and a network that is in use stays', async () => {
  assert.match(
    await refused(instance, 'network rm lan'),
    /^network "lan" is named by the definition of db, web/,
  );
  await done(instance, 'stop web');
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /ready[\s\S]*network 10\.77\.0\.3\/24/, { replay: false });
  assert.match(await fetchIn('db', 'web'), /^hello from /);
});

test('a card in a network that there is not, and in one of others, is refused when it is defined', async () => {
  const { status, stderr } = await instance.qward(['define', '-'], {
    stdin: bareMachine('other', nic('none')),
  });
  assert.equal(status, 0, stderr);
  assert.match(
    await refused(instance, 'start other', { status: 3 }),
    /there is no network "none"; there are lan, lab/,
  );
  await done(instance, 'rm other');
});

test('a card without a kind is what the host has, and a neighbour of the host’s bridge is shown', async () => {
  host.run('ip', 'link', 'add', 'br9', 'type', 'bridge');
  host.run('ip', 'address', 'add', '192.0.3.1/24', 'dev', 'br9');
  host.run('ip', 'link', 'set', 'br9', 'up');
  await defineDemo(instance, { name: 'plain', more: 'nics: [{ id: net }]' });
  assert.match(await done(instance, 'explain plain'), /socket net0/);
  instance.writePolicy({ bridges: [{ bridge: 'br9', who: { users: ['nobody'] } }], defaultBridge: 'br9' });
  assert.match(await done(instance, 'explain plain'), /TAP on bridge br9/);
  await done(instance, 'start plain');
  await consoleShows(instance, 'plain', /ready[\s\S]*# /);
  await inGuest(
    'plain',
    'ip link set eth0 up; ip address add 192.0.3.9/24 dev eth0; ping -c 1 -w 5 192.0.3.1',
  );
  await until(
    async () => /\nplain .* 192\.0\.3\.9 /.test(await done(instance, 'list')),
    host.run('cat', '/proc/net/arp'),
  );
  await done(instance, 'kill plain');
  // Its TAP device takes nothing from the bridge, and the guest is told what the definition says.
  host.run('ip', 'link', 'set', 'br9', 'mtu', '9000');
  await defineDemo(instance, {
    name: 'plain',
    more: 'nics: [{ id: net, kind: bridge, bridge: br9, mtu: 9000 }]',
  });
  await done(instance, 'start plain');
  assert.match(host.run('ip', 'link', 'show', 'br9'), / mtu 9000 /);
  await consoleShows(instance, 'plain', /ready[\s\S]*# /, { replay: false });
  assert.equal(await inGuest('plain', 'cat /sys/class/net/eth0/mtu'), '9000');
  await done(instance, 'kill plain');
  await done(instance, 'rm plain');
  host.run('ip', 'link', 'delete', 'br9');
});

test('the last machine of a network ends while the next one starts, again and again, and that one is served', async () => {
  await done(instance, 'kill cage');
  for (let times = 0; times < 6; times += 1) {
    const [ends, starts] = times % 2 === 0 ? ['cell', 'cage'] : ['cage', 'cell'];
    const killed = done(instance, `kill ${ends}`);
    await delay(15 * times);
    await Promise.all([killed, done(instance, `start ${starts}`)]);
    const { server, up } = await stateOf('lab');
    assert.ok(up && server !== null, String(times));
    await done(instance, `audit ${starts}`);
  }
  await done(instance, 'start cage');
});

test('after the last machine nothing is on the host, and a removed network is gone', async () => {
  await done(instance, 'drill --help');
  for (const name of ['cage', 'cell', 'web', 'db']) await done(instance, `kill ${name}`);
  await until(() => onHost().length === 0, onHost().join());
  assert.equal(host.run('cat', '/proc/sys/net/ipv4/ip_forward').trim(), '0');
  for (const network of ['lan', 'lab']) {
    assert.deepEqual(remains(instance, `qward-dns-${network}`), []);
    assert.equal(existsSync(`${instance.paths.brokerRun}/networks/${network}`), false);
  }
  assert.match(await done(instance, 'drill web'), /all \d+ attempts blocked/);
  for (const name of ['web', 'db', 'cage', 'cell', 'wide']) await done(instance, `rm ${name}`);
  assert.deepEqual((await stateOf('lan')).leases, []);
  for (const network of ['lan', 'lab'])
    assert.match(await done(instance, `network rm ${network}`), /: removed$/);
  assert.match(await done(instance, 'network list'), /There is no managed network/);
  assert.doesNotMatch(readFileSync(`${instance.paths.brokerState}/networks.json`, 'utf8'), /10\.7/);
  assert.deepEqual(onHost(), []);
});
