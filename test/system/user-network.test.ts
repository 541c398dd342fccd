/** User networks by passt: out, in, changed while they run, and gone with the machine whatever dies. The host is a namespace of the test's. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { AuditReport } from '../../src/audit/report.ts';
import { unlessMissing } from '../../src/linux/errno.ts';
import { readyLine } from '../support/demo-guest.ts';
import {
  bareMachine,
  consoleShows,
  define,
  defineDemo,
  done,
  refused,
  remains,
  statusOf,
  untilGone,
} from '../support/driver.ts';
import { guestRuns } from '../support/guest-shell.ts';
import { startInstance } from '../support/instance.ts';
import { killProcess } from '../support/small-machine.ts';
import { createUplink } from '../support/uplink.ts';
import { sendKill } from '../support/send-kill.ts';
import { livesOn, until } from '../support/until.ts';

const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());
const { host, world } = uplink;
const instance = await startInstance({ network: host.path });
after(() => instance[Symbol.asyncDispose]());

const nic = (...more: string[]): string =>
  `nics: [{ ${['id: net', 'kind: user', 'dns: [192.0.2.1]', ...more].join(', ')} }]`;
const forwards = 'forward: ["127.0.0.1:2280 -> 80", "192.0.2.2:2281 -> 80", "udp 5353"]';
const policy = { forwards: [{ addresses: ['127.0.0.1', '192.0.2.2'] }] };
const fetchPage = (from: typeof host, url: string): string =>
  from.run('busybox', 'timeout', '10', 'busybox', 'wget', '-q', '-O', '-', url).trim();
const inGuest = (command: string): Promise<string> => guestRuns(instance, 'web', command);
const tables = (): string => host.run('nft', 'list', 'tables');

interface Slots {
  readonly slots: Readonly<Record<string, number>>;
}
const helpers = (): string[] => {
  const { slots } = JSON.parse(readFileSync(`${instance.paths.brokerState}/slots.json`, 'utf8')) as Slots;
  return Object.keys(slots).filter((name) => name.startsWith('qward-net-'));
};

/** Pid of the machine's passt, as the broker has it; 0: it has none now. */
function passtPid(): number {
  const [name = ''] = helpers();
  const path = `${instance.paths.brokerRun}/machines/${name}.json`;
  const text = unlessMissing(() => readFileSync(path, 'utf8'));
  return text === undefined ? 0 : (JSON.parse(text) as { readonly pid: number }).pid;
}

before(async () => {
  instance.writePolicy(policy);
  uplink.serve(world, 80, 'hello from the world');
  uplink.start(
    world,
    'dnsmasq',
    ...'--keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root --address=/page.test/192.0.2.77'.split(
      ' ',
    ),
  );
  await defineDemo(instance, { name: 'web', switches: 'qward.net', more: nic(forwards) });
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /network 10\.0\.2\.15\/24 via 10\.0\.2\.2, servers 192\.0\.2\.1/);
});

test('the guest fetches a page and pings, over IPv4 and IPv6', async () => {
  assert.equal(await inGuest('timeout 10 wget -q -O - http://192.0.2.1/'), 'hello from the world');
  assert.match(await inGuest('ping -c 1 -w 10 192.0.2.1'), / 0% packet loss/);
  assert.match(await inGuest('nslookup page.test'), /Address: 192\.0\.2\.77/);
  await inGuest('ip address add fd71:7761:7264::15/64 dev eth0; ip -6 route add default dev eth0; sleep 2');
  assert.equal(await inGuest('timeout 10 wget -q -O - "http://[2001:db8::1]/"'), 'hello from the world');
  assert.match(await inGuest('ping6 -c 1 -w 10 2001:db8::1'), / 0% packet loss/);
});

test('forwarded ports lead to the guest, from the host and from beyond, and no other port does', async () => {
  const page = /^hello from 52:/;
  assert.match(fetchPage(host, 'http://127.0.0.1:2280/'), page);
  assert.match(fetchPage(world, 'http://192.0.2.2:2281/'), page);
  for (const url of ['http://192.0.2.2:2280/', 'http://192.0.2.2:80/'])
    assert.throws(() => fetchPage(world, url), /refused|timed out/);
  // The guest has no UDP server: its kernel counts datagrams that came for nobody.
  const counted = async (): Promise<number> =>
    Number(await inGuest("grep ^Udp: /proc/net/snmp | tail -n 1 | cut -d ' ' -f 3"));
  const first = await counted();
  await until(async () => {
    host.run('bash', '-c', 'echo by udp >/dev/udp/127.0.0.1/5353');
    return (await counted()) > first;
  }, 'no datagram came');
});

test('the audit sees the walls of passt, and explain says what is open', async () => {
  const report = JSON.parse(await done(instance, 'audit web --json')) as AuditReport;
  assert.ok(report.ok);
  const [helper] = report.helpers ?? [];
  assert.ok(helper?.ok, JSON.stringify(helper));
  const found = Object.fromEntries(helper.rows.map(({ wall, found: seen }) => [wall, seen]));
  assert.match(found['network-namespace'] ?? '', /^the host's, the host closed/);
  assert.match(await done(instance, 'audit web'), /web, net {2}pid \d+ {2}\d+ walls stand/);
  const explained = (await done(instance, 'explain web')).replaceAll(/\s+/g, ' ');
  assert.match(
    explained,
    /open to the guest: 127\.0\.0\.1:2280 -> 80, 192\.0\.2\.2:2281 -> 80, udp 127\.0\.0\.1:5353 -> 5353/,
  );
  assert.match(explained, /closed are the host itself/);
  assert.match(explained, /passt\.?\w* .*--no-map-gw/);
  assert.match(await done(instance, 'policy explain web'), /forward \(net\)/);
});

test('forwards are changed while the guest runs', async () => {
  const changed = await done(instance, ['set', 'web', 'nics.net.forward=127.0.0.1:2290 -> 80']);
  assert.doesNotMatch(changed, /next start/);
  assert.match(fetchPage(host, 'http://127.0.0.1:2290/'), /^hello from/);
  assert.throws(() => fetchPage(host, 'http://127.0.0.1:2280/'), /refused/);
  assert.equal(
    await inGuest('cat /sys/class/net/eth0/carrier; timeout 10 wget -q -O - http://192.0.2.1/'),
    '1\nhello from the world',
  );
  assert.equal(helpers().length, 1);
});

test('a port that the policy does not give is refused, when it is defined and when it is set', async () => {
  const said = /^tcp port 1023 of 127\.0\.0\.1 is not one that the policy lets lead to guests[\s\S]*forwards/;
  assert.match(await refused(instance, ['set', 'web', 'nics.net.forward=1023'], { status: 4 }), said);
  const other = bareMachine('other', nic('forward: ["0.0.0.0:8080"]'));
  const { status, stderr } = await instance.qward(['define', '-'], { stdin: other });
  assert.deepEqual([status, /tcp port 8080 of 0\.0\.0\.0 is not one/.test(stderr)], [4, true], stderr);
});

test('a port that another program has ends the start, with its name, and leaves nothing', async () => {
  await define(instance, bareMachine('other', nic('forward: ["127.0.0.1:2290"]')));
  assert.match(
    await refused(instance, 'start other'),
    /^network card "net": tcp port 2290 of 127\.0\.0\.1 cannot be had/,
  );
  assert.deepEqual(remains(instance, 'other'), []);
  assert.equal(helpers().length, 1);
});

test('when passt is killed the machine goes on, its link goes down, and comes back', async () => {
  const { pid } = await statusOf(instance, 'web');
  await inGuest(
    '(old=; while :; do now=$(cat /sys/class/net/eth0/carrier); [ "$now" = "$old" ] || echo "$now" >>/tmp/carrier; old=$now; usleep 20000; done &)',
  );
  const before = passtPid();
  process.kill(before, 'SIGKILL');
  await until(
    () => helpers().length === 1 && passtPid() !== before && passtPid() !== 0,
    'no passt came back',
  );
  await until(async () => (await inGuest('cat /sys/class/net/eth0/carrier')) === '1', 'the link stays down');
  assert.equal(await inGuest('timeout 10 wget -q -O - http://192.0.2.1/'), 'hello from the world');
  assert.match(await inGuest('cat /tmp/carrier'), /1\n0\n1/);
  const now = await statusOf(instance, 'web');
  assert.deepEqual([now.pid, now.state], [pid, 'running']);
  assert.match(await done(instance, 'logs web'), /passt ended.*its link is down\n.*passt runs again/);
});

test('a manager and a broker that are killed leave the network as it is, and take it over', async () => {
  const before = passtPid();
  for (const daemon of ['manager', 'broker'] as const) {
    await killProcess(instance.daemon(daemon));
    await instance.up();
  }
  assert.equal((await statusOf(instance, 'web')).state, 'running');
  assert.equal(passtPid(), before);
  assert.match(fetchPage(host, 'http://127.0.0.1:2290/'), /^hello from/);
  await done(instance, ['set', 'web', 'nics.net.forward=127.0.0.1:2291 -> 80']);
  assert.match(fetchPage(host, 'http://127.0.0.1:2291/'), /^hello from/);
});

test('a passt that dies while nobody looks is begun anew by the next manager', async () => {
  const before = passtPid();
  await killProcess(instance.daemon('manager'));
  process.kill(before, 'SIGKILL');
  await instance.up();
  await until(
    () => helpers().length === 1 && passtPid() !== before && passtPid() !== 0,
    'no passt came back',
  );
  await until(async () => (await inGuest('cat /sys/class/net/eth0/carrier')) === '1', 'the link stays down');
  assert.match(fetchPage(host, 'http://127.0.0.1:2291/'), /^hello from/);
});

test('the drill of the machine stays green', async () => {
  await done(instance, 'stop web');
  assert.match(await done(instance, 'drill web'), /all \d+ attempts blocked/);
});

test('nothing is left of it when QEMU is killed, nor after manager, broker, QEMU and passt are', async () => {
  assert.deepEqual(helpers(), []);
  assert.equal(tables(), '');
  for (const victims of [[], ['manager', 'broker']] as const) {
    await done(instance, 'start web');
    await consoleShows(instance, 'web', readyLine);
    assert.notEqual(tables(), '');
    const [{ pid }, helper, [name = '']] = [await statusOf(instance, 'web'), passtPid(), helpers()];
    for (const victim of victims) await killProcess(instance.daemon(victim));
    sendKill(pid);
    if (victims.length > 0) process.kill(helper, 'SIGKILL');
    if (victims.length > 0) await instance.up();
    await untilGone(instance, 'web');
    await untilGone(instance, name);
    await until(() => helpers().length === 0, 'a uid is kept');
    assert.equal(tables(), '');
    await until(() => !livesOn(helper), 'passt lives on');
  }
});

test('a host without a route starts the machine, and its link comes up with the route', async () => {
  host.run('ip', 'route', 'delete', 'default');
  host.run('ip', '-6', 'route', 'delete', 'default');
  await done(instance, 'start web');
  // Of this boot: what is kept of the one before would let the command be typed too early.
  await consoleShows(instance, 'web', /ready[\s\S]*# /, { replay: false });
  assert.equal(await inGuest('ip link set eth0 up; cat /sys/class/net/eth0/carrier'), '0');
  const [network] = (await statusOf(instance, 'web')).networks;
  assert.match(network?.fault ?? '', /no route to other networks/);
  host.run('ip', 'route', 'add', 'default', 'via', '192.0.2.1');
  await until(async () => (await inGuest('cat /sys/class/net/eth0/carrier')) === '1', 'the link stays down');
  await done(instance, 'kill web');
});
