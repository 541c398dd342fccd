/**
 * Promise 2 against a guest on a user network: the host and metadata services stay closed to whatever address it sends to, and
 * promise 1 against a manager that asks for more than a user network gets. Needs root.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import { isClosedTo } from '../../src/protocol/passt.ts';
import { consoleShows, defineDemo, done, statusOf } from '../support/driver.ts';
import { guestRuns } from '../support/guest-shell.ts';
import { startInstance } from '../support/instance.ts';
import { createUplink } from '../support/uplink.ts';

const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());
const { host, world } = uplink;
const instance = await startInstance({ network: host.path });
after(() => instance[Symbol.asyncDispose]());

/** Everything that a guest may send to, with a page behind each; closed is what is the host's, or the cloud's. */
const closed = {
  "the host's loopback": '127.0.0.1:8000',
  'another address of its loopback': '127.1.2.3:8000',
  "the host's own address": '192.0.2.2:8000',
  "the host's own address, IPv6": '[2001:db8::2]:8000',
  'the metadata service of clouds': '169.254.169.254',
  'another link-local address': '169.254.1.1',
  'the metadata service of Alibaba': '100.100.100.200',
  'the metadata service of AWS, IPv6': '[fd00:ec2::254]',
} as const;
const open = '192.0.2.1';

const inGuest = (command: string): Promise<string> => guestRuns(instance, 'web', command);
const fetched = (target: string): Promise<string> =>
  inGuest(`timeout 5 wget -q -O - "http://${target}/" 2>&1; echo " status $?"`);
const table = (): string => /^table inet (\S+)/m.exec(host.run('nft', 'list', 'tables'))?.[1] ?? '';

before(async () => {
  for (const address of ['169.254.1.1/32', '100.100.100.200/32'])
    world.run('ip', 'address', 'add', address, 'dev', 'up1');
  world.run('ip', 'address', 'add', 'fd00:ec2::254/128', 'dev', 'up1', 'nodad');
  uplink.serve(world, 80, 'a page of the world');
  uplink.serve(host, 8000, 'a page of the host');
  const more = 'nics: [{ id: net, kind: user, forward: ["127.0.0.1:2280 -> 80"], dns: [192.0.2.1] }]';
  await defineDemo(instance, { name: 'web', switches: 'qward.net', more });
  await done(instance, 'start web');
  await consoleShows(instance, 'web', /network 10\.0\.2\.15\/24/);
  // A guest may take its own loopback apart, and send what bears such an address to passt.
  await inGuest(
    'sysctl -q -w net.ipv4.conf.all.route_localnet=1; ip address flush dev lo; ip route flush table local dev lo; ip route add 127.0.0.0/8 via 10.0.2.2 dev eth0; ip address add fd71:7761:7264::15/64 dev eth0; ip -6 route add default dev eth0; sleep 2',
  );
});

test('no address of the host and no metadata service is reached, and the world is', async () => {
  assert.match(await fetched(open), /^a page of the world/);
  for (const [what, target] of Object.entries(closed)) {
    const got = await fetched(target);
    assert.doesNotMatch(got, /a page/, `${what}: ${got}`);
    assert.match(got, /status [1-9]/, what);
  }
  for (const target of ['127.0.0.1', '192.0.2.2', '169.254.169.254'])
    assert.match(await inGuest(`ping -c 1 -w 2 ${target}`), /100% packet loss/, target);
});

// The control: each of them was closed by the filter, and by nothing else that this test would not see.
test('without the filter each is reached, and the audit says that it is missing', async () => {
  // Without a chain; what shows the manager that the filter is there stays.
  host.run('nft', 'insert', 'rule', 'inet', table(), 'machines', 'accept');
  for (const [what, target] of Object.entries(closed))
    assert.match(await fetched(target), /a page of the (?:host|world)/, what);
  const { status, stdout } = await instance.qward(['audit', 'web']);
  assert.equal(status, 1);
  assert.match(stdout, /network-namespace +DIFFERS/);
  host.run('nft', 'delete', 'table', 'inet', table());
});

test('a filter that is gone is loaded again, and closes the host again', async () => {
  for (let tries = 0; tries < 100 && table() === ''; tries += 1) await delay(100);
  assert.equal((await instance.qward(['audit', 'web'])).status, 0);
  for (const [what, target] of Object.entries(closed))
    assert.doesNotMatch(await fetched(target), /a page/, what);
  assert.match(await done(instance, 'logs web'), /network card "net": its packet filter was gone/);
});

test('the filter counts by what it says, not by its name', async () => {
  await done(instance, ['set', 'web', 'nics.net.forward=127.0.0.1:2281 -> 80']);
  assert.equal((await instance.qward(['audit', 'web'])).status, 0);
  const { uid } = await statusOf(instance, 'web');
  const whole = host.run('nft', '-p', 'list', 'table', 'inet', table());
  assert.ok(isClosedTo((uid ?? 0) + 1, whole));
  for (const [from, to] of [
    [/fib daddr type != unicast jump refuse/, ''],
    [/ip daddr 169\.254\.0\.0\/16 jump refuse\n/, ''],
    [/ct direction reply accept/, 'accept'],
    [/meta skuid (\d+)-\d+/, 'meta skuid $1'],
    [/priority filter; policy accept/, 'priority filter; policy accept;\n accept'],
  ] as const)
    assert.equal(isClosedTo((uid ?? 0) + 60, whole.replace(from, to)), false, String(from));
  host.run('nft', 'insert', 'rule', 'inet', table(), 'machines', 'accept');
  assert.equal((await instance.qward(['audit', 'web'])).status, 1);
});

test('what passt is to the host: no user, no group, no file, and a uid that nobody else has', () => {
  const records = `${instance.paths.brokerRun}/machines`;
  const [name = ''] = Object.keys(
    (JSON.parse(readFileSync(`${instance.paths.brokerState}/slots.json`, 'utf8')) as { slots: object }).slots,
  ).filter((one) => one.startsWith('qward-net-'));
  const { pid, uid } = JSON.parse(readFileSync(`${records}/${name}.json`, 'utf8')) as {
    pid: number;
    uid: number;
  };
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'));
  assert.match(status, /^Groups:\t $/m);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\t0+$`, 'm'));
  assert.match(status, /^NoNewPrivs:\t1$/m);
  assert.match(status, /^Seccomp_filters:\t2$/m);
});
