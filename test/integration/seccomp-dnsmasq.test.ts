/** dnsmasq at work under the filter of its jail: from the namespaces that it makes to addresses and names. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { joinServer } from '../../src/broker/network-links.ts';
import { seccompProfiles } from '../../src/jail/seccomp.ts';
import { startTimeOf } from '../../src/linux/process.ts';
import { networkServer } from '../../src/manager/facts/network-server.ts';
import { gatherTool } from '../../src/manager/facts/tool.ts';
import { planServer } from '../../src/plan/network-server.ts';
import { planNetwork, serverArguments } from '../../src/protocol/networks.ts';
import { createNetwork, enterOwnNetwork } from '../support/network.ts';
import { allows, refusedCalls, unusedParts } from '../support/seccomp-coverage.ts';
import { startTraced, type TracedCall } from '../support/traced-jail.ts';

enterOwnNetwork();
const directory = await mkdtemp(join(tmpdir(), 'qward-dnsmasq-'));
after(() => rm(directory, { recursive: true }));
const sh = (program: string, ...args: readonly string[]): string =>
  execFileSync(program, args, { encoding: 'utf8' });

const tool = await gatherTool('/usr/sbin/dnsmasq', networkServer);
assert.ok(tool.ok, JSON.stringify(tool));
const network = { name: 'lan', subnet: '10.77.0.0/24', mode: 'nat', who: null, by: 0, at: '' } as const;
const mac = '52:54:00:00:00:01';
const lease = { network: 'lan', machine: 'web', nic: 'net', mac, address: '10.77.0.3' };

let calls: TracedCall[] = [];
let log = '';

test('a client gets its address, and names by UDP and TCP', async () => {
  sh('ip', 'link', 'add', 'qw-lan', 'type', 'bridge');
  sh('ip', 'address', 'add', '10.77.0.1/24', 'dev', 'qw-lan');
  sh('ip', 'link', 'set', 'qw-lan', 'up');
  using client = await createNetwork();
  const pid = /\d+/.exec(client.path)?.[0] ?? '';
  sh('ip', 'link', 'add', 'cl', 'type', 'veth', 'peer', 'name', 'eth0', 'address', mac, 'netns', pid);
  sh('ip', 'link', 'set', 'cl', 'master', 'qw-lan', 'up');
  client.run('ip', 'link', 'set', 'eth0', 'up');
  const launch = planServer('lan', tool.value, []);
  const argv = serverArguments(planNetwork(network), [lease], ['10.77.0.1']);
  const traced = await startTraced({ ...launch, argv }, directory);
  await using jailed = traced.jailed;
  const joined = await joinServer(network, { pid: jailed.pid, startTime: startTimeOf(jailed.pid) ?? 0 });
  assert.deepEqual(joined, []);
  const script = join(directory, 'script');
  await writeFile(
    script,
    '#!/bin/sh\n[ "$1" = bound ] && ip address add $ip/$mask dev eth0 && echo "$ip $router $dns $domain"\nexit 0\n',
    { mode: 0o755 },
  );
  const said = client.run('busybox', 'udhcpc', '-q', '-n', '-t', '10', '-i', 'eth0', '-s', script);
  assert.match(said, /^10\.77\.0\.3 10\.77\.0\.1 10\.77\.0\.2 lan\.internal$/m);
  assert.match(client.run('busybox', 'nslookup', '-type=a', 'web.lan.internal', '10.77.0.2'), /10\.77\.0\.3/);
  assert.match(
    client.run('busybox', 'nslookup', '-type=ptr', '3.0.77.10.in-addr.arpa', '10.77.0.2'),
    /web\.lan\.internal/,
  );
  // Nobody answers there.
  spawnSync('nsenter', [
    `--net=${client.path}`,
    'timeout',
    '3',
    'busybox',
    'nslookup',
    'other.test',
    '10.77.0.2',
  ]);
  const byTcp = Buffer.from(
    '001f0021010000010000000000000377656203' +
      '6c616e08' +
      Buffer.from('internal').toString('hex') +
      '0000010001',
    'hex',
  );
  byTcp.writeUInt16BE(byTcp.length - 2);
  await writeFile(join(directory, 'question'), byTcp);
  const answer = client.run(
    'bash',
    '-c',
    `exec 3<>/dev/tcp/10.77.0.2/53; cat ${directory}/question >&3; timeout 5 head -c ${byTcp.length + 16} <&3 | od -An -tx1`,
  );
  assert.match(answer.replaceAll(/\s+/g, ' '), /0a 4d 00 03/);
  process.kill(jailed.pid, 'SIGTERM');
  await jailed.ended(30_000);
  calls = await traced.calls();
  log = (await jailed.readLog()).toString('utf8');
});

test('nothing is allowed that nothing used, but for what says when it is', () => {
  assert.deepEqual(
    unusedParts(seccompProfiles.dnsmasq, calls),
    [],
    [...refusedCalls(seccompProfiles.dnsmasq, calls)].join('\n') + log,
  );
});

test('no socket but of IP and routes, no namespace but its own two, no program of anybody else', () => {
  const rules = seccompProfiles.dnsmasq.groups.flatMap((group) => group.rules);
  const allowed = (name: string, ...args: bigint[]): boolean =>
    rules.some((rule) => rule.call === name && allows(rule, args));
  assert.ok(
    allowed('socket', 2n, 1n, 0n) && allowed('socket', 10n, 2n, 0n) && allowed('socket', 16n, 3n, 0n),
  );
  for (const family of [1n, 17n, 38n, 40n, 44n])
    assert.equal(allowed('socket', family, 1n, 0n), false, String(family));
  for (const protocol of [4n, 9n, 12n, 15n])
    assert.equal(allowed('socket', 16n, 3n, protocol), false, String(protocol));
  for (const flags of [0x4000_0000n, 0x1000_0000n, 0x2_0000n, 0x7000_0000n, 0x5002_0000n])
    assert.equal(allowed('unshare', flags), false, flags.toString(16));
  for (const flags of [0x4000_0011n, 0x1000_0011n, 0x2_0011n])
    assert.equal(allowed('clone', flags), false, flags.toString(16));
  for (const call of 'socketpair setns ptrace bpf keyctl chroot mknod mount umount2 pivot_root execveat process_vm_readv perf_event_open userfaultfd io_uring_setup memfd_create'.split(
    ' ',
  ))
    assert.equal(allowed(call), false, call);
});
