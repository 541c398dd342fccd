/** passt at work under the filter of its jail: from the walls that it makes itself to the packets of a guest. */
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { blocking, connectUnixSocket } from '../../src/linux/unix-socket.ts';
import { seccompProfiles } from '../../src/jail/seccomp.ts';
import { gatherTool } from '../../src/manager/facts/tool.ts';
import { networkHelper } from '../../src/manager/facts/user-network.ts';
import { gatherQemu } from '../../src/manager/facts/qemu-facts.ts';
import { definitionOf, sampleFacts } from '../../src/plan/sample-facts.ts';
import { planLaunch } from '../../src/plan/plan-launch.ts';
import { beginGuest } from '../support/bare-guest.ts';
import { startBareQemu } from '../support/bare-qemu.ts';
import { buildDemoGuest } from '../support/demo-guest.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { allows, unusedParts } from '../support/seccomp-coverage.ts';
import { startTraced, type TracedCall } from '../support/traced-jail.ts';
import { createUplink } from '../support/uplink.ts';

const directory = await mkdtemp(join(tmpdir(), 'qward-passt-'));
after(() => rm(directory, { recursive: true }));
const uplink = await createUplink();
after(() => uplink[Symbol.dispose]());

const gathered = await gatherTool('/usr/bin/passt', networkHelper);
assert.ok(gathered.ok, JSON.stringify(gathered));
const qemu = await gatherQemu('/usr/bin/qemu-system-x86_64');
assert.ok(qemu.ok);

const nic =
  'nics: [{ id: net, kind: user, forward: ["127.0.0.1:2280 -> 80", "udp 5353"], dns: [192.0.2.1] }]';
const yaml = demoMachine({ name: 'web', guest: buildDemoGuest(), switches: 'qward.net', more: nic });
const definition = definitionOf(yaml.replace(/^ {2}initrd/m, '  initrd'));
const planned = planLaunch(
  definition,
  sampleFacts(definition, {
    qemu: qemu.value.facts,
    userNetwork: { passt: gathered.value, nameServers: [], firstPort: 1024 },
  }),
);
assert.ok(planned.ok, JSON.stringify(planned));
const [helper] = planned.plan.helpers;
assert.ok(helper !== undefined);

let calls: TracedCall[] = [];

test('a guest boots, gets its address, fetches, pings, resolves and is reached', async () => {
  uplink.serve(uplink.world, 80, 'hello from the world '.repeat(20_000));
  uplink.start(
    uplink.world,
    'dnsmasq',
    ...'--keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null --pid-file= --user=root --address=/page.test/192.0.2.77'.split(
      ' ',
    ),
  );
  const bare = startBareQemu(planned.plan.launch, directory);
  after(() => bare.child.kill('SIGKILL'));
  const open = (name: 'net0' | 'console' | 'qmp'): number => {
    const connected = connectUnixSocket(bare.sockets[name] ?? '');
    return 'fd' in connected ? connected.fd : -1;
  };
  let fd = -1;
  for (let tries = 0; fd < 0 && tries < 500; tries += 1, await delay(10)) fd = open('net0');
  const traced = await startTraced(helper.launch, directory, {
    network: uplink.host.path,
    netdev: () => blocking(fd),
  });
  await using jailed = traced.jailed;
  const guest = beginGuest(bare);
  await guest.until(/network 10\.0\.2\.15/);
  await guest.until(/# /);
  await delay(500);
  guest.write(
    "wget -q -O - http://192.0.2.1/ | wc -c; nslookup page.test; ping -c 1 192.0.2.1; echo do''ne\n",
  );
  await guest.until(/420001[\s\S]*192\.0\.2\.77[\s\S]* 0% packet loss[\s\S]*done/);
  assert.match(
    uplink.host.run('busybox', 'wget', '-q', '-O', '-', 'http://127.0.0.1:2280/'),
    /^hello from 52/,
  );
  uplink.host.run('bash', '-c', 'echo by udp >/dev/udp/127.0.0.1/5353');
  await delay(1000);
  bare.child.kill('SIGKILL');
  await jailed.ended(30_000);
  calls = await traced.calls();
});

test('nothing is allowed that nothing used, but for what says when it is', () => {
  assert.deepEqual(unusedParts(seccompProfiles.passt, calls), []);
});

// SECURITY: promise 2. In the host's network namespace every abstract Unix socket of the host is within reach of who may make one.
test('no socket but of IP and routes, no namespace but for its own walls, no other program or process', () => {
  const rules = seccompProfiles.passt.groups.flatMap((group) => group.rules);
  const rule = (name: string) => rules.find(({ call }) => call === name);
  const allowed = (name: string, ...args: bigint[]): boolean => {
    const found = rule(name);
    return found !== undefined && allows(found, args);
  };
  assert.ok(
    allowed('socket', 2n, 1n, 0n) && allowed('socket', 10n, 2n, 0n) && allowed('socket', 16n, 3n, 0n),
  );
  for (const family of [1n, 17n, 38n, 40n, 44n])
    assert.equal(allowed('socket', family, 1n, 0n), false, String(family));
  for (const protocol of [4n, 9n, 12n, 15n])
    assert.equal(allowed('socket', 16n, 3n, protocol), false, String(protocol));
  for (const flags of [0x4000_0000n, 0x5000_0000n, 0x2_0000n, 0x200_0000n, 0x2c02_0000n | 0x4000_0000n])
    assert.equal(allowed('unshare', flags), false, flags.toString(16));
  for (const flags of [0n, 0x1000n, 0x20n, 0x4000n])
    assert.equal(allowed('mount', 0n, 0n, 0n, flags), false, flags.toString(16));
  assert.equal(allowed('clone', 0x11n), false);
  for (const call of 'socketpair setns ptrace bpf kill keyctl ioctl chroot mknod fork vfork execveat process_vm_readv perf_event_open userfaultfd io_uring_setup memfd_create'.split(
    ' ',
  ))
    assert.equal(rule(call), undefined, call);
});
