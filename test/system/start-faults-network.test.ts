/** A network card on a bridge: a bridge that is not there, traffic, and that the TAP goes with its machine. */
import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { after, test } from 'node:test';
import {
  consoleShows,
  defineBare,
  defineDemo,
  done,
  nextEvent,
  refused,
  remains,
  statusOf,
  untilGone,
} from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';
import { createNetwork } from '../support/network.ts';
import { sendKill } from '../support/send-kill.ts';

const bridge = 'qwbr0';
const network = await createNetwork();
after(() => network[Symbol.dispose]());
const instance = await startInstance({ policy: { bridges: [bridge] }, network: network.path });
after(() => instance[Symbol.asyncDispose]());

const nic = (name: string): string => `nics: [{ id: lan, kind: bridge, bridge: ${name} }]`;
const links = (): string[] =>
  [...network.run('ip', '-oneline', 'link', 'show').matchAll(/^\d+: ([^:@]+)/gm)].map(
    ([, name = '']) => name,
  );
const taps = (): string[] => links().filter((name) => name.startsWith('qward'));

test('a bridge that the policy lists and the host has not is named, and nothing is left', async () => {
  await defineBare(instance, 'web', nic(bridge));
  assert.equal(
    await refused(instance, 'start web'),
    `bridge "${bridge}" is not on this host\n  make it (ip link add ${bridge} type bridge), or name another`,
  );
  assert.deepEqual(remains(instance, 'web'), []);
  assert.deepEqual(taps(), []);
});

test('a bridge that the policy does not list is refused', async () => {
  await defineBare(instance, 'web', nic('other0'));
  assert.match(
    await refused(instance, 'start web', { status: 4 }),
    /^bridge "other0" is not one that the policy lists\n.*\(bridges\)\n {2}add it to bridges in /,
  );
  assert.deepEqual(remains(instance, 'web'), []);
});

test('a name that is no bridge is refused, and no TAP stays', async () => {
  network.run('ip', 'link', 'add', bridge, 'type', 'veth', 'peer', 'name', 'other1');
  await defineBare(instance, 'web', nic(bridge));
  assert.match(await refused(instance, 'start web'), new RegExp(`^bridge "${bridge}": no TAP device can be`));
  assert.deepEqual(remains(instance, 'web'), []);
  assert.deepEqual(taps(), []);
  network.run('ip', 'link', 'delete', bridge);
});

test('the guest is reached over the bridge, and its TAP is gone when it has stopped', async () => {
  network.run('ip', 'link', 'add', bridge, 'type', 'bridge');
  network.run('ip', 'address', 'add', '10.77.0.1/24', 'dev', bridge);
  network.run('ip', 'link', 'set', bridge, 'up');
  await defineDemo(instance, { name: 'web', more: nic(bridge) });
  assert.equal(await done(instance, 'start web'), 'web: started');
  assert.equal(taps().length, 1);
  await consoleShows(instance, 'web', /ready[\s\S]*# /);
  const typed = await instance.client.console({ name: 'web', mode: 'write' });
  assert.ok(typed.ok);
  typed.result.write(
    Buffer.from("ip address add 10.77.0.2/24 dev eth0; ip link set eth0 up; echo net''work\n"),
  );
  await consoleShows(instance, 'web', 'network\r\n');
  typed.result.close();
  assert.match(network.run('busybox', 'ping', '-c', '1', '-w', '10', '10.77.0.2'), / 0% packet loss/);
  assert.equal(await done(instance, 'stop web'), 'web: shut down');
  assert.deepEqual(taps(), []);
});

test('a TAP goes with a QEMU that is killed', async () => {
  await defineBare(instance, 'web', nic(bridge));
  await done(instance, 'start web');
  assert.equal(taps().length, 1);
  const { pid } = await statusOf(instance, 'web');
  const crash = await nextEvent(instance, ({ event }) => event === 'machine.crashed');
  sendKill(pid);
  await crash.arrived;
  assert.deepEqual(taps(), []);
  assert.deepEqual(remains(instance, 'web'), []);
});

test('a TAP stays with its machine when the broker is killed, and goes with the machine', async () => {
  await done(instance, 'start web');
  const [tap] = taps();
  process.kill(instance.daemon('broker'), 'SIGKILL');
  assert.equal((await statusOf(instance, 'web')).state, 'running');
  assert.deepEqual(taps(), [tap]);
  await instance.up();
  assert.equal(await done(instance, 'kill web'), 'web: killed');
  assert.deepEqual(taps(), []);
  assert.deepEqual(remains(instance, 'web'), []);
});

test('a broker killed at any instant of a start leaves no TAP', async () => {
  for (let round = 0; round < 4; round += 1) {
    const starting = instance.qward(['start', 'web']);
    // The CLI itself takes some 80 ms; the request is under way for as long again.
    await delay(80 + 25 * round);
    process.kill(instance.daemon('broker'), 'SIGKILL');
    await instance.up();
    const { status, stderr } = await starting;
    // Either it was started before, or it failed and goes without anybody asking.
    if (status === 0) await done(instance, 'kill web');
    else assert.match(stderr, /^the broker did/, `round ${round}`);
    await untilGone(instance, 'web');
    assert.deepEqual(taps(), [], `round ${round}`);
  }
  assert.equal(await done(instance, 'start web'), 'web: started');
  await done(instance, 'kill web');
});
