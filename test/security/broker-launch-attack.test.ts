/**
 * Promise 1 against a taken-over manager: launches beyond the policy, tricks of arguments and environment, other processes, and
 * links in the place of directories. Needs root.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive, startTimeOf } from '../../src/linux/process.ts';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import type { Descriptor, LaunchRequest } from '../../src/protocol/launch.ts';
import { exchange, startTestBroker, type TestBroker, testUidRange } from '../support/broker.ts';
import { footprintOf, logLines, timesRefused, type LogLine, unchanged } from '../support/broker-footprint.ts';
import { enterOwnNetwork } from '../support/network.ts';
import { testLaunch } from '../support/test-launch.ts';

// TAPs of other tests are not to be counted.
before(() => enterOwnNetwork());

const disk = (path: string, more: Partial<Extract<Descriptor, { kind: 'file' }>> = {}): Descriptor => ({
  kind: 'file',
  path,
  access: 'rw',
  claimant: null,
  reopened: false,
  ...more,
});

const programPath = '/usr/bin/qemu-system-x86_64';

/** Launches that a policy of defaults refuses, by what they try. */
function refusedLaunches(
  launch: LaunchRequest,
  { images, site }: TestBroker,
): [what: string, launch: LaunchRequest][] {
  const files = (...descriptors: Descriptor[]): LaunchRequest => ({ ...launch, descriptors });
  const root = (...paths: [source: string, target: string][]): LaunchRequest => ({
    ...launch,
    root: [...launch.root, ...paths.map(([source, target]) => ({ source, target }))],
  });
  const instead = (source: string): LaunchRequest => ({
    ...launch,
    root: launch.root.map((each) => (each.target === programPath ? { source, target: programPath } : each)),
  });
  const paths = [
    '/etc/shadow',
    '/proc/self/mem',
    '/proc/1/root/etc/shadow',
    '/proc/kcore',
    '/dev/vda',
    '/dev/mem',
    '/dev/null',
    '/dev/net/tun',
    '/sys/kernel/uevent_helper',
    '/',
    images,
    `${images}/`,
    `${images}/.`,
    `${images}/../lib/broker/slots.json`,
    `${images}/a/../../broker/slots.json`,
    `${images}//disk`,
    `${images}/link/shadow`,
    `${images}/linked`,
    `${images}/fifo`,
    `${images}/directory`,
    `${images}/disk/x`,
    `${images}/${'x'.repeat(256)}`,
    `${images}/${'x/'.repeat(1900)}`,
    `${images}x/disk`,
    `${site.paths.brokerState}/slots.json`,
    site.paths.brokerSocket,
    site.paths.policy,
  ];
  return [
    ...paths.map((path): [string, LaunchRequest] => [path, files(disk(path))]),
    ...[1, 1000, 65_534, testUidRange.base, 0xffff_fffd].map((claimant): [string, LaunchRequest] => [
      `claimed by ${claimant}`,
      files(disk(`${images}/../claimed`, { claimant })),
    ]),
    ...[1, testUidRange.base].map((claimant): [string, LaunchRequest] => [
      `/etc/shadow claimed by ${claimant}`,
      files(disk('/etc/shadow', { claimant })),
    ]),
    ['a TAP of no bridge', files({ kind: 'tap', bridge: 'br0' })],
    ['a vhost descriptor beyond the policy', files({ kind: 'vhost-net' })],
    ['KVM beyond the policy', { ...launch, devices: ['/dev/kvm'] }],
    ['a program of no policy', { ...launch, binary: '/usr/bin/python3' }],
    ['a relative way to the program', { ...launch, binary: '/usr/bin/../bin/qemu-system-x86_64' }],
    ['qemu-img as a QEMU', { ...launch, binary: '/usr/bin/qemu-img' }],
    ['a QEMU as an image tool', { ...launch, program: 'qemu-img' }],
    ['a QEMU as the drill', { ...launch, program: 'drill' }],
    ["another program in the QEMU's place", instead('/usr/bin/python3.11')],
    ['a link in its place', instead('/usr/bin/awk')],
    [
      'no program in its place',
      { ...launch, root: launch.root.filter(({ target }) => target !== programPath) },
    ],
    ['a directory around it', { ...launch, root: [{ source: '/usr/bin', target: '/usr/bin' }] }],
    ['/etc in the jail', root(['/etc', '/usr/etc'])],
    ['/home at /usr/home', root(['/home', '/usr/home'])],
    ['a way out of /usr', root(['/usr/../etc', '/usr/share/x'])],
    ['a target out of /usr', root(['/usr/share', '/usr/../etc'])],
    ['a target on /proc', root(['/usr/bin/true', '/proc/x'])],
    ['a target on /dev', root(['/usr/bin/true', '/dev/kvm'])],
    ['a file twice', root(['/usr/bin/true', '/usr/bin/true/x'], ['/usr/bin/true', '/usr/bin/true'])],
    ['a link of the system', root(['/usr/bin/awk', '/usr/bin/awk'])],
    ['a file that not everybody may read', root(['/usr/lib/qward-secret', '/usr/lib/x'])],
    [
      'more memory than there may be',
      { ...launch, limits: { ...launch.limits, memory: Number.MAX_SAFE_INTEGER } },
    ],
    ['more descriptors than there may be', { ...launch, limits: { ...launch.limits, openFiles: 1_048_576 } }],
  ];
}

test('every launch beyond the policy is refused and logged, and nothing of it is made', async () => {
  await using broker = await startTestBroker({ devices: [] });
  const { images } = broker;
  writeFileSync(`${images}/disk`, '');
  mkdirSync(`${images}/directory`);
  symlinkSync('/etc', `${images}/link`);
  symlinkSync('/etc/shadow', `${images}/linked`);
  execFileSync('mkfifo', [`${images}/fifo`]);
  const launch = await testLaunch('one');
  const was = footprintOf(broker);
  const attempts = refusedLaunches(launch, broker);
  for (const [what, attempt] of attempts) {
    const reply = await exchange(
      broker.site.paths.brokerSocket,
      encodeFrame({ v: 1, call: 'launch', launch: attempt }),
    );
    assert.ok(
      reply === undefined || (reply !== 'refused' && reply.toString('utf8').startsWith('{"ok":false')),
      what,
    );
    await unchanged(broker, was);
  }
  await broker.stop();
  const isRefusal = ({ ok, refused }: LogLine): boolean => ok === false || refused === 'protocol';
  assert.equal(timesRefused(logLines(broker), isRefusal), attempts.length);
});

test('arguments and environment reach what is in the jail, and nothing else', async () => {
  await using broker = await startTestBroker();
  const target = `${broker.images}/made-by-qemu`;
  const attempts: readonly (readonly [argv: readonly string[], env: Record<string, string>, says: RegExp])[] =
    [
      [['-chardev', `file,id=x,path=${target}`], {}, /No such file|Read-only|not permitted/],
      [['-drive', 'file=/etc/shadow,format=raw,if=none,id=x'], {}, /No such file/],
      [['-drive', `file=${broker.images}/disk,format=raw,if=none,id=x`], {}, /No such file/],
      [['-D', target], {}, /No such file|Read-only|not permitted/],
      [['-pidfile', target], {}, /No such file|Read-only|not permitted/],
      [['-readconfig', '/etc/passwd'], {}, /No such file/],
      [['-chardev', `socket,id=x,path=${broker.site.paths.brokerSocket}`], {}, /not permitted|No such file/],
      [['-chardev', `socket,id=x,path=${target},server=on,wait=off`], {}, /not permitted|No such file/],
      [
        ['-netdev', 'tap,id=x,ifname=qward0,script=no,downscript=no'],
        {},
        /No such file|not permitted|could not/i,
      ],
      [['-incoming', 'exec:id'], {}, /not permitted|Failed/i],
      [['-runas', 'root'], {}, /elevateprivileges|runas/i],
      [['-chroot', '/proc/1/root'], {}, /chroot/i],
      [[], { LD_PRELOAD: `${broker.images}/evil.so` }, /evil\.so.*cannot be preloaded/],
    ];
  writeFileSync(`${broker.images}/disk`, '', { mode: 0o666 });
  writeFileSync(`${broker.images}/evil.so`, '', { mode: 0o777 });
  for (const [argv, env, says] of attempts) {
    const launch = await testLaunch('one', [], argv);
    const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch: { ...launch, env } });
    assert.ok(reply.ok, JSON.stringify(reply));
    const { log, pid, startTime } = reply.result;
    for (
      const giveUpAt = performance.now() + 10_000;
      !says.test(readFileSync(log, 'latin1'));
      await delay(10)
    )
      assert.ok(performance.now() < giveUpAt, `${argv.join(' ')}: ${readFileSync(log, 'latin1')}`);
    if (argv.length > 0)
      for (const giveUpAt = performance.now() + 10_000; isAlive(pid, startTime); await delay(10))
        assert.ok(performance.now() < giveUpAt, `${argv.join(' ')}: it lives`);
    assert.ok(!existsSync(target), argv.join(' '));
    assert.ok((await broker.ask({ v: 1, call: 'kill', machine: 'one' })).ok);
  }
});

test('no request ends, reaps or reads a process that is not a machine, nor takes a slot or a name in use', async () => {
  await using broker = await startTestBroker();
  const bystander = spawn('sleep', ['infinity'], { stdio: 'ignore' });
  try {
    const pid = bystander.pid ?? 0;
    const started = startTimeOf(pid) ?? 0;
    const running = await broker.ask<LaunchedMachine>({
      v: 1,
      call: 'launch',
      launch: await testLaunch('one'),
    });
    assert.ok(running.ok);
    const refusedOf = async (request: object): Promise<string | undefined> => {
      const reply = await broker.ask(request as never);
      return reply.ok ? undefined : reply.refusals[0]?.code;
    };
    const own = running.result;
    for (const [request, code] of [
      [{ call: 'inspect-pid', pid }, 'broker-refused'],
      [{ call: 'inspect-pid', pid: process.pid }, 'broker-refused'],
      [{ call: 'inspect-pid', pid: broker.pid }, 'broker-refused'],
      [{ call: 'reap', machine: 'one' }, 'machine-running'],
      [{ call: 'forget', machine: 'one' }, 'machine-running'],
      [{ call: 'rename', machine: 'one', to: 'two' }, 'machine-running'],
      [{ call: 'rename', machine: 'two', to: 'one' }, 'machine-running'],
      [{ call: 'launch', launch: await testLaunch('one') }, 'machine-running'],
    ] as const)
      assert.equal(await refusedOf({ v: 1, ...request }), code, JSON.stringify(request).slice(0, 80));
    for (const machine of ['two', 'tasks', 'notify-on-release', 'a'.repeat(63)]) {
      const reply = await broker.ask<{ killed: boolean }>({ v: 1, call: 'kill', machine });
      assert.ok(reply.ok && !reply.result.killed, machine);
      await broker.ask({ v: 1, call: 'reap', machine });
    }
    assert.ok(isAlive(pid, started));
    assert.ok(isAlive(own.pid, own.startTime));
  } finally {
    bystander.kill('SIGKILL');
  }
});

test('a bundle or runtime directory that is a link leads the broker nowhere', async () => {
  await using broker = await startTestBroker();
  const outside = `${broker.images}/outside`;
  for (const place of ['bundles', 'oci', 'machines'] as const) {
    const directory = `${broker.site.paths.brokerRun}/${place}`;
    mkdirSync(`${outside}/one`, { recursive: true });
    writeFileSync(`${outside}/one/kept`, 'kept');
    if (place === 'machines') symlinkSync(outside, `${broker.site.paths.machines}/one`);
    else symlinkSync(`${outside}/one`, `${directory}/one`);
    const reply = await broker.ask({ v: 1, call: 'launch', launch: await testLaunch('one') });
    assert.deepEqual(
      readFileSync(`${outside}/one/kept`, 'utf8'),
      'kept',
      `${place}: ${JSON.stringify(reply)}`,
    );
    assert.ok((await broker.ask({ v: 1, call: 'kill', machine: 'one' })).ok);
    assert.deepEqual(readFileSync(`${outside}/one/kept`, 'utf8'), 'kept', place);
    rmSync(outside, { recursive: true });
  }
  // A policy that is a link is no policy.
  renameSync(broker.site.paths.policy, `${broker.site.paths.policy}.kept`);
  symlinkSync(`${broker.site.paths.policy}.kept`, broker.site.paths.policy);
  const reply = await broker.ask({ v: 1, call: 'launch', launch: await testLaunch('one') });
  assert.ok(!reply.ok && reply.refusals[0]?.code === 'policy-refused', JSON.stringify(reply));
});
