/**
 * Promises 1, 2 and 4 at the broker: managed networks are root's to make, since the host's own packets go to them; no word of the manager's reaches nft, ip or
 * dnsmasq; what is made for a network is gone with its last machine. In a network namespace of the test's own. Needs root.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { gatherTool } from '../../src/manager/facts/tool.ts';
import { networkServer } from '../../src/manager/facts/network-server.ts';
import { planServer } from '../../src/plan/network-server.ts';
import type { BrokerReply, BrokerStatus, LaunchedMachine } from '../../src/protocol/broker.ts';
import type { ClaimRequest } from '../../src/protocol/claims.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import type { Descriptor } from '../../src/protocol/launch.ts';
import {
  serverCapabilities,
  type NetworkDefinition,
  type NetworkState,
} from '../../src/protocol/networks.ts';
import { capabilitySet } from '../../src/protocol/capability-names.ts';
import { askBroker, startTestBroker, testManagerUid, testUidRange, traces } from '../support/broker.ts';
import { askAs, sendAs } from '../support/claims-peer.ts';
import { enterOwnNetwork } from '../support/network.ts';
import { bindAccounts } from '../support/private-accounts.ts';
import { testLaunch } from '../support/test-launch.ts';

const [owner, operator, admin] = [910_200_001, 910_200_002, 910_200_003];
bindAccounts(
  [
    { name: 'owner', uid: owner },
    { name: 'operator', uid: operator, groups: ['qward-operators'] },
    { name: 'chief', uid: admin, groups: ['qward-admin'] },
    { name: 'service', uid: testManagerUid, groups: ['qward-admin'] },
  ],
  { 'qward-admin': 910_200_009, 'qward-operators': 910_200_010 },
);
enterOwnNetwork();
const sh = (program: string, ...args: readonly string[]): string =>
  execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
sh('ip', 'link', 'set', 'lo', 'up');
sh('ip', 'link', 'add', 'up0', 'type', 'bridge');
sh('ip', 'address', 'add', '192.0.2.2/24', 'dev', 'up0');
sh('ip', 'link', 'set', 'up0', 'up');

const broker = await startTestBroker();
after(() => broker[Symbol.asyncDispose]());
const { paths } = broker.site;
const register = `${paths.brokerState}/networks.json`;

const lan: NetworkDefinition = { name: 'lan', subnet: '10.77.0.0/24', mode: 'nat', who: null };
const create = (network: object): ClaimRequest => ({
  v: 1,
  call: 'network-create',
  network: { ...lan, ...network },
});
const remove = (name: string): ClaimRequest => ({ v: 1, call: 'network-remove', name });
const asRoot = (request: ClaimRequest) => askBroker<NetworkDefinition>(paths.claimsSocket, request);

async function networks(): Promise<readonly NetworkState[]> {
  const status = await broker.ask<BrokerStatus>({ v: 1, call: 'status' });
  assert.ok(status.ok);
  return status.result.networks;
}
const names = async (): Promise<string> => (await networks()).map(({ name }) => name).join();

async function refusal(answer: Promise<BrokerReply<unknown>>): Promise<string> {
  const outcome = await answer;
  assert.ok(!outcome.ok, 'it was not refused');
  return `${outcome.refusals[0]?.code}: ${outcome.refusals[0]?.message}`;
}

/** Devices and tables that are not the test's own. */
const onHost = (): readonly string[] => [
  ...[...sh('ip', '-o', 'link').matchAll(/^\d+: ([^:@]+)/gm)]
    .map(([, device = '']) => device)
    .filter((device) => !['lo', 'up0'].includes(device)),
  ...sh('nft', 'list', 'tables').split('\n').filter(Boolean),
];
const forwarding = (): string => readFileSync('/proc/sys/net/ipv4/ip_forward', 'utf8').trim();

const mac = (last: number): string => `52:54:00:00:00:${String(last).padStart(2, '0')}`;
const card = (last: number, network = 'lan'): Descriptor => ({
  kind: 'card',
  network,
  nic: 'net',
  mac: mac(last),
});
async function launch(machine: string, ...cards: readonly Descriptor[]) {
  return await broker.ask<LaunchedMachine>({
    v: 1,
    call: 'launch',
    launch: await testLaunch(machine, cards),
  });
}
const kill = (machine: string) => broker.ask({ v: 1, call: 'kill', machine });
async function launchServer(network: string, more: object = {}) {
  const tool = await gatherTool('/usr/sbin/dnsmasq', networkServer);
  assert.ok(tool.ok, JSON.stringify(tool));
  const request = { ...planServer(network, tool.value, ['192.0.2.53']), ...more };
  return await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch: request });
}

test('owners, operators, machines and the manager make no network and remove none, administrators but root make none', async () => {
  assert.match(
    await refusal(askAs(paths.claimsSocket, admin, create({}))),
    /^not-allowed: only root makes networks/,
  );
  for (const uid of [owner, operator, testManagerUid, testUidRange.base])
    for (const request of [create({}), remove('lan')]) {
      const answer = await askAs(paths.claimsSocket, uid, request);
      assert.ok(!answer.ok, String(uid));
      assert.equal(answer.refusals[0]?.code, 'not-allowed');
    }
  for (const request of [create({}), remove('lan')])
    assert.deepEqual(
      await sendAs(paths.brokerSocket, testManagerUid, [[encodeFrame(request)]]),
      [null],
      'the socket of the manager has no such call',
    );
  assert.equal(await names(), '');
  assert.equal(statSync(register, { throwIfNoEntry: false }), undefined);
});

test('what is no name, no subnet and no mode is never looked at', async () => {
  const forged: readonly object[] = [
    ...['', 'Lan', 'lan;', 'lan lan', 'lan\n', '../lan', 'lan"', 'abcdefghijk', '-lan', ['lan']].map(
      (name) => ({ name }),
    ),
    ...['10.77.0.0/24 ', '10.77.0.0/24; flush ruleset', '::/64', 24, '10.77.0.0/24\n'].map((subnet) => ({
      subnet,
    })),
    { mode: 'bridged' },
    { who: { users: ['a b'], groups: [] } },
    { who: { users: [], groups: [], roots: [] } },
    { by: 0 },
  ];
  for (const network of forged)
    assert.deepEqual(
      await sendAs(paths.claimsSocket, 0, [[encodeFrame(create(network))]]),
      [null],
      JSON.stringify(network),
    );
  assert.equal(await names(), '');
});

test('a subnet that is none of hosts, or that meets a route or another network, is refused with what it meets', async () => {
  for (const [subnet, said] of [
    ['10.77.0.1/24', /its first address expected: 10\.77\.0\.0\/24/],
    ['10.77.0.0/30', /prefix/],
    ['10.0.0.0/8', /prefix/],
    ['10.77.256.0/24', /IPv4 network/],
    ['127.1.0.0/16', /127\.0\.0\.0\/8/],
    ['169.254.0.0/16', /169\.254/],
    ['239.0.0.0/16', /224/],
    ['192.0.2.128/25', /^network-conflict: .*meets the route 192\.0\.2\.0\/24 by up0/],
    ['192.0.0.0/16', /meets the route 192\.0\.2\.0\/24 by up0/],
  ] as const)
    assert.match(await refusal(asRoot(create({ subnet }))), said, subnet);
  const made = await asRoot(create({}));
  assert.ok(made.ok, JSON.stringify(made));
  assert.match(
    await refusal(asRoot(create({ name: 'other', subnet: '10.77.0.128/25' }))),
    /of network "lan"/,
  );
  assert.match(await refusal(asRoot(create({ subnet: '10.78.0.0/24' }))), /network-exists/);
  const [{ by } = { by: 0 }] = await networks();
  assert.equal(by, 0);
  const { mode, uid } = statSync(register);
  assert.deepEqual([mode & 0o777, uid], [0o600, 0]);
});

test('nothing is on the host until a machine has a card in a network, and nothing after the last one', async () => {
  assert.deepEqual(onHost(), []);
  assert.equal(forwarding(), '0');
  for (const machine of ['web', 'db']) {
    const launched = await launch(machine, card(machine === 'web' ? 1 : 2));
    assert.ok(launched.ok, JSON.stringify(launched));
  }
  const [state] = await networks();
  assert.deepEqual(
    state?.leases.map(({ machine, address }) => `${machine} ${address}`),
    ['web 10.77.0.3', 'db 10.77.0.4'],
  );
  assert.deepEqual(onHost().toSorted(), [
    'qlan.0',
    'qlan.1',
    'qw-lan',
    'table bridge qw-lan',
    'table inet qw-forward',
    'table inet qw-lan',
  ]);
  assert.equal(forwarding(), '1');
  assert.match(
    await refusal(asRoot(remove('lan'))),
    /network-in-use: network "lan" is in use by "db", "web"/,
  );
  await kill('web');
  assert.ok(onHost().includes('qw-lan'));
  await kill('db');
  assert.deepEqual(onHost(), []);
  assert.equal(forwarding(), '0');
  assert.deepEqual(traces(broker.site), []);
  // A machine keeps its address as long as there is such a machine.
  assert.equal((await networks())[0]?.leases.length, 2);
  await broker.ask({ v: 1, call: 'rename', machine: 'db', to: 'mail' });
  await broker.ask({ v: 1, call: 'forget', machine: 'web' });
  assert.deepEqual(
    (await networks())[0]?.leases.map(({ machine, address }) => `${machine} ${address}`),
    ['mail 10.77.0.4'],
  );
});

test('a host that forwards already goes on to, behind its own rules alone', async () => {
  sh('sysctl', '-q', '-w', 'net.ipv4.ip_forward=1');
  assert.ok((await launch('web', card(1))).ok);
  assert.equal(onHost().includes('table inet qw-forward'), false);
  await kill('web');
  assert.equal(forwarding(), '1');
  sh('sysctl', '-q', '-w', 'net.ipv4.ip_forward=0');
});

test('a card has a network that there is, and a MAC address that nobody else in it has', async () => {
  const refusedLaunch = async (...cards: readonly Descriptor[]): Promise<string> => {
    const answer = await launch('evil', ...cards);
    assert.ok(!answer.ok);
    return `${answer.refusals[0]?.code}: ${answer.refusals[0]?.message}`;
  };
  assert.match(await refusedLaunch(card(1, 'none')), /network-missing: there is no network "none"/);
  assert.ok((await launch('web', card(1))).ok);
  assert.match(
    await refusedLaunch(card(1)),
    /network-conflict: .*52:54:00:00:00:01 is the MAC address of web/,
  );
  const bridge = /link\/ether (\S+)/.exec(sh('ip', 'link', 'show', 'qw-lan'))?.[1] ?? '';
  assert.match(
    await refusedLaunch({ kind: 'card', network: 'lan', nic: 'net', mac: bridge }),
    /the network itself/,
  );
  // A further queue is one of a TAP of this launch, whatever else has that number.
  for (const number of [3, 5, 200])
    assert.match(
      await refusedLaunch(card(9), { kind: 'queue', of: number }),
      /^policy-refused: descriptor \d+ is no TAP device/,
    );
  await kill('web');
  for (const forged of [
    { network: 'lan"' },
    { network: 'lan; add' },
    { mac: '52:54:00:00:00:01 drop' },
    { mac: 'ff:ff:ff:ff:ff:ff' },
    { mac: '01:00:5e:00:00:01' },
    { nic: 'net\nflush ruleset' },
    { address: '10.77.0.1' },
  ]) {
    const request = {
      v: 1,
      call: 'launch',
      launch: await testLaunch('evil', [{ ...card(1), ...forged }]),
    };
    assert.deepEqual(
      await sendAs(paths.brokerSocket, testManagerUid, [[encodeFrame(request)]]),
      [null],
      JSON.stringify(forged),
    );
  }
  assert.deepEqual(onHost(), []);
});

test("a device of the host's that has the name of the network's is left alone", async () => {
  sh('ip', 'link', 'add', 'qw-lan', 'type', 'bridge');
  const answer = await launch('web', card(1));
  assert.ok(!answer.ok);
  assert.match(
    answer.refusals[0]?.message ?? '',
    /there is a device qw-lan on this host that is not qward's/,
  );
  assert.ok(onHost().includes('qw-lan'));
  sh('ip', 'link', 'delete', 'qw-lan');
});

test('a card that comes later is held to the same, and its network stays until the machine ends', async () => {
  const open = (machine: string, network: string, last: number) =>
    broker.ask<LaunchedMachine>({
      v: 1,
      call: 'open',
      machine,
      descriptor: { kind: 'card', network, nic: 'later', mac: mac(last) },
    });
  assert.match(await refusal(open('late', 'lan', 11)), /^machine-not-running/);
  assert.deepEqual(onHost(), []);
  assert.ok((await launch('late')).ok);
  assert.match(await refusal(open('late', 'none', 11)), /^network-missing/);
  assert.ok((await launch('mail', card(12))).ok);
  assert.match(await refusal(open('late', 'lan', 12)), /^network-conflict: .* of mail already$/);
  // Whoever asks and takes no descriptor has closed it.
  assert.ok((await open('late', 'lan', 11)).ok);
  await kill('mail');
  assert.ok(onHost().includes('qw-lan'));
  await kill('late');
  assert.deepEqual(onHost(), []);
});

test('a server knows the addresses of its network, has two capabilities over its own namespace and none over the host', async () => {
  const early = await launchServer('lan');
  assert.ok(!early.ok);
  assert.match(early.refusals[0]?.message ?? '', /no machine has a card in it/);
  assert.ok((await launch('web', card(1))).ok);
  const launched = await launchServer('lan');
  assert.ok(launched.ok, JSON.stringify(launched));
  const { pid, uid } = launched.result;
  assert.equal((await networks())[0]?.server, pid);
  assert.ok(launched.result.launch.argv.includes('--dhcp-host=52:54:00:00:00:01,10.77.0.3,web'));
  const until = performance.now() + 5000;
  while (
    !readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('/usr/sbin/dnsmasq') &&
    performance.now() < until
  );
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'));
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\t${capabilitySet(serverCapabilities)}$`, 'm'));
  assert.match(status, /^NoNewPrivs:\t1$/m);
  for (const namespace of ['user', 'net', 'mnt', 'pid', 'ipc'])
    assert.notEqual(
      readlinkSync(`/proc/${pid}/ns/${namespace}`),
      readlinkSync(`/proc/self/ns/${namespace}`),
      namespace,
    );
  const inside = sh('nsenter', `--net=/proc/${pid}/ns/net`, 'ip', '-o', 'address');
  assert.match(inside, /eth0 +inet 10\.77\.0\.2\/24/);
  // Another machine has an address that this server does not know.
  assert.ok((await launch('db', card(3))).ok);
  assert.equal((await networks())[0]?.server, null);
  await kill('db');
  // A card under another id: the machine has one address all the same.
  assert.ok((await launch('db', { ...card(3), nic: 'again' } as Descriptor)).ok);
  assert.equal((await networks())[0]?.leases.filter(({ machine }) => machine === 'db').length, 1);
  await kill('db');
  await kill('web');
  assert.deepEqual(onHost(), []);
  assert.deepEqual(traces(broker.site), []);
});

test('a server is told nothing by the manager but whom to ask', async () => {
  assert.ok((await launch('web', card(1))).ok);
  for (const more of [
    { argv: ['--dhcp-script=/bin/sh'] },
    { argv: ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4'] },
    { argv: ['192.0.2.1#53@eth0'] },
    { env: { LD_PRELOAD: '/usr/lib/x.so' } },
    { descriptors: [{ kind: 'socket', name: 'qmp' }] },
    { devices: ['/dev/kvm'] },
    { relaxed: [{ relax: 'seccomp', to: 'off' }] },
    { binary: '/usr/bin/passt' },
    { machine: 'web2' },
    { program: 'qemu' },
    { root: [{ source: '/usr/bin/env', target: '/usr/bin/unshare' }] },
  ]) {
    const answer = await launchServer('lan', more);
    assert.ok(!answer.ok, JSON.stringify(more));
  }
  await kill('web');
  assert.deepEqual(onHost(), []);
});

test('a broker that is killed leaves networks as they are, and the next one takes them down with their last machine', async () => {
  assert.ok((await launch('web', card(1))).ok);
  const launched = await launchServer('lan');
  assert.ok(launched.ok);
  const before = onHost();
  await broker.kill();
  assert.deepEqual(onHost(), before);
  broker.restart();
  assert.equal((await networks())[0]?.server, launched.result.pid);
  await kill('web');
  assert.deepEqual(onHost(), []);
  assert.deepEqual(traces(broker.site), []);
  // As if it had been killed in the middle of bringing it up.
  await broker.kill();
  writeFileSync(`${paths.brokerRun}/networks/lan`, '');
  sh('ip', 'link', 'add', 'qw-lan', 'type', 'bridge');
  sh('nft', 'add', 'table', 'bridge', 'qw-lan');
  broker.restart();
  assert.equal((await networks())[0]?.up, false);
  assert.deepEqual(onHost(), []);
});

test('a register that is not whole has no network, is kept, and is told with its cure', async () => {
  const good = readFileSync(register, 'utf8');
  for (const [what, content] of Object.entries({
    'cut short': good.slice(0, -20),
    'a name that is none': good.replace('"name":"lan"', '"name":"lan; flush ruleset"'),
    'a subnet that is none': good.replace('10.77.0.0/24', '10.77.0.0/24; x'),
    'an address that is none': good.replace('"address":"', '"address":"x '),
    'a MAC address that is none': good.replace('"mac":"', '"mac":"x '),
    'of a newer qward': good.replace('"version":2', '"version":3'),
  })) {
    assert.notEqual(content, good, what);
    writeFileSync(register, content);
    assert.equal(await names(), '', what);
    assert.match(
      await refusal(asRoot(create({ name: 'new', subnet: '10.79.0.0/24' }))),
      /state-unwritable/,
      what,
    );
    assert.equal(readFileSync(register, 'utf8'), content, what);
  }
  const status = await broker.ask<BrokerStatus>({ v: 1, call: 'status' });
  assert.ok(status.ok);
  assert.match(
    status.result.damaged.find(({ path }) => path === register)?.cure ?? '',
    new RegExp(`rm ${register}.*qward network create`),
  );
  rmSync(register);
  writeFileSync(register, good, { mode: 0o600 });
  assert.equal(await names(), 'lan');
});

test('an administrator removes a network that nobody uses, with all of its addresses', async () => {
  assert.match(await refusal(asRoot(remove('none'))), /network-missing/);
  assert.ok((await askAs(paths.claimsSocket, admin, remove('lan'))).ok);
  assert.equal(await names(), '');
  assert.doesNotMatch(readFileSync(register, 'utf8'), /10\.77/);
  assert.deepEqual(onHost(), []);
});
