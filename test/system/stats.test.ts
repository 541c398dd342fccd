/** Figures of machines: what a guest does shows in them, and nobody sees those of another's machines. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { CallResult } from '../../src/api/calls.ts';
import { startWithAccounts } from '../support/accounts.ts';
import { asUser } from '../support/as-user.ts';
import { consoleShows, done, refused, statusOf } from '../support/driver.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { run, startInstance } from '../support/instance.ts';
import { createNetwork } from '../support/network.ts';

const [alice, bob] = [910_000_041, 910_000_042];
const instance = await startWithAccounts([
  { name: 'alice', uid: alice },
  { name: 'bob', uid: bob },
]);
after(() => instance[Symbol.asyncDispose]());
instance.writePolicy({ define: { users: ['alice', 'bob'], groups: [] } });
const image = join(instance.paths.images, 'own.qcow2');

before(async () => {
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', image, '16M']);
  const source = demoMachine({ name: 'shop', guest: instance.guest, disk: image, switches: 'qward.counter' });
  await done(instance, 'define -', { stdin: source });
  for (const [name, uid] of [
    ['ofalice', alice],
    ['ofbob', bob],
  ] as const)
    await done(instance, 'define -', { uid, stdin: `name: ${name}\naccel: tcg\nmemory: 32MiB\n` });
  for (const name of ['shop', 'ofalice', 'ofbob']) await done(instance, `start ${name}`);
  await consoleShows(instance, 'shop', /counter \d+/);
});

async function stats(machine: string, of = instance): Promise<CallResult<'stats'>> {
  const reply = await of.client.call('stats', { name: machine });
  assert.ok(reply.ok, JSON.stringify(reply));
  return reply.result;
}

async function metricsFor(uid: number, of = instance): Promise<string> {
  const curl = ['/usr/bin/curl', '-s', '--unix-socket', of.paths.apiSocket, 'http://q/metrics'];
  return (await run([...asUser({ uid }), ...curl], of.environment)).stdout;
}

test('what a guest writes and works shows, and grows', async () => {
  const first = await stats('shop');
  await consoleShows(instance, 'shop', /counter (?:101|[2-9]\d\d|\d{4})/);
  const second = await stats('shop');
  assert.equal(second.state, 'running');
  assert.ok((second.cpu?.seconds ?? 0) > (first.cpu?.seconds ?? 0), JSON.stringify([first, second]));
  const [before, now] = [first.disks?.[0], second.disks?.[0]];
  assert.equal(now?.disk, 'root');
  assert.ok(now.writtenBytes >= (before?.writtenBytes ?? 0) + 20 * 512, JSON.stringify([before, now]));
  assert.ok(now.flushes > (before?.flushes ?? 0));
  const { used = 0, limit = 0, guest = 0 } = second.memory ?? {};
  assert.ok(used > 32 * 1024 ** 2 && used < limit, `${used} of ${limit}`);
  assert.equal(guest, 128 * 1024 ** 2);
});

test('a disk that is attached is counted from then on', async () => {
  const more = join(instance.paths.images, 'more.qcow2');
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', more, '8M']);
  await done(instance, ['attach', 'shop', 'disk', 'more', more]);
  assert.deepEqual((await stats('shop')).disks?.map(({ disk }) => disk).toSorted(), ['more', 'root']);
});

test('`stats` and `top` show it, for people and for programs', async () => {
  const shown = await done(instance, 'stats shop');
  assert.match(
    shown,
    /^shop: running\ncpu +[\d.]+ s on 1 CPUs\nmemory +[\d.]+MiB of [\d.]+[MG]iB, the guest has 128MiB\n/,
  );
  assert.match(shown, /DISK +READ +WRITTEN +READS +WRITES +FLUSHES\nroot /);
  const top = await done(instance, 'top -n 1 --interval 1s');
  assert.match(top, /^NAME +STATE +CPU% +MEMORY +LIMIT +READ\/S +WRITE\/S +IN\/S +OUT\/S\n/);
  assert.match(top, /^shop +running +\d+\.\d +\S+iB +\S+iB +\S+B +\S+B/m);
  const rows = (await done(instance, 'top shop -n 2 --interval 500ms --json')).split('\n');
  assert.equal(rows.length, 2);
  for (const row of rows) assert.ok((JSON.parse(row) as { readonly cpu: number }).cpu > 0, row);
  await refused(instance, 'top -n 1 extra --nothing', { status: 2 });
  await done(instance, 'pause ofbob');
  assert.match(await done(instance, 'top ofbob -n 1 --interval 100ms'), /^ofbob +paused/m);
});

test('Prometheus reads every figure, each metric with its help and type once', async () => {
  const text = await metricsFor(0);
  assert.match(text, /^qward_machine_up\{machine="shop"\} 1$/m);
  assert.match(text, /^qward_machine_up\{machine="ofbob"\} 0$/m);
  assert.match(text, /^qward_machine_state\{machine="ofbob",state="paused"\} 1$/m);
  assert.match(text, /^qward_machine_cpu_seconds_total\{machine="shop"\} [\d.]+$/m);
  assert.match(text, /^qward_machine_disk_written_bytes_total\{machine="shop",disk="root"\} \d+$/m);
  const lines = text.split('\n').filter((line) => line !== '');
  const form =
    /^(?:# HELP [a-z_]+ .+|# TYPE [a-z_]+ (?:gauge|counter)|[a-z_]+\{[a-z]+="[^"]*"(?:,[a-z]+="[^"]*")*\} [\d.e+-]+)$/;
  for (const line of lines) assert.match(line, form);
  const types = lines.filter((line) => line.startsWith('# TYPE')).map((line) => line.split(' ')[2]);
  assert.equal(new Set(types).size, types.length);
});

test('of machines of others there is no figure and no name', async () => {
  const ofAlice = await metricsFor(alice);
  assert.match(ofAlice, /machine="ofalice"/);
  assert.doesNotMatch(ofAlice, /ofbob|shop/);
  const top = await done(instance, 'top -n 1 --interval 100ms', { uid: alice });
  assert.match(top, /ofalice/);
  assert.doesNotMatch(top, /ofbob|shop/);
  assert.match(await refused(instance, 'stats ofbob', { uid: alice, status: 3 }), /no machine "ofbob"/);
  const stranger = await metricsFor(910_000_049);
  assert.match(stranger, /not-allowed/);
  assert.doesNotMatch(stranger, /shop|ofalice|ofbob/);
  await done(instance, 'grant ofbob alice see', { uid: bob });
  assert.match(await metricsFor(alice), /machine="ofbob"/);
});

test('a machine that does not run has a state and nothing else', async () => {
  await done(instance, 'kill ofalice');
  const { state, cpu, memory, disks, nics } = await stats('ofalice');
  assert.deepEqual(
    { state, cpu, memory, disks, nics },
    { state: 'stopped', cpu: null, memory: null, disks: null, nics: [] },
  );
  assert.match(await metricsFor(0), /^qward_machine_up\{machine="ofalice"\} 0$/m);
});

test('a QEMU that does not answer keeps nobody waiting', async () => {
  const { pid } = await statusOf(instance, 'shop');
  assert.ok(pid !== null);
  process.kill(pid, 'SIGSTOP');
  try {
    const begun = performance.now();
    const { cpu, disks } = await stats('shop');
    assert.ok(performance.now() - begun < 3_000);
    assert.equal(disks, null);
    assert.ok(cpu !== null && cpu.seconds > 0);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

test('what a card on a bridge carries is counted as the guest sees it', async () => {
  using network = await createNetwork();
  await using other = await startInstance({ policy: { bridges: ['qwbr0'] }, network: network.path });
  network.run('ip', 'link', 'add', 'qwbr0', 'type', 'bridge');
  network.run('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'qwbr0');
  network.run('ip', 'link', 'set', 'qwbr0', 'up');
  const source = demoMachine({
    name: 'net',
    guest: other.guest,
    more: 'nics: [{id: lan, kind: bridge, bridge: qwbr0}]',
  });
  await done(other, 'define -', { stdin: source });
  await done(other, 'start net');
  await consoleShows(other, 'net', /ready[\s\S]*# /);
  const typed = await other.client.console({ name: 'net', mode: 'write' });
  assert.ok(typed.ok);
  typed.result.write(
    Buffer.from(
      'ip link set eth0 up; ip address add 192.0.2.2/24 dev eth0; ping -c 5 -s 1000 192.0.2.1; echo pin""ged\n',
    ),
  );
  await consoleShows(other, 'net', 'pinged\r\n');
  typed.result.close();
  const [lan] = (await stats('net', other)).nics;
  assert.equal(lan?.nic, 'lan');
  assert.ok(lan.sentBytes > 5000 && lan.receivedBytes > 5000 && lan.sentPackets >= 5, JSON.stringify(lan));
  assert.match(
    await metricsFor(0, other),
    /^qward_machine_network_sent_bytes_total\{machine="net",nic="lan"\} \d+$/m,
  );
  assert.match(await done(other, 'stats net'), /NIC +RECEIVED +SENT.*\nlan /);
});
