/**
 * Promise 6: a machine that needs more gets just that. A manager in whoever's hands gets no wall to give way without the
 * policy's line for that very machine; with it just that wall gives way on the live process, and the audit expects just that.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { auditProcess } from '../../src/audit/audit-process.ts';
import { expectedWalls } from '../../src/audit/expected-walls.ts';
import { readProcessFacts } from '../../src/linux/process-facts.ts';
import { accountOf } from '../../src/linux/accounts.ts';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
import { relaxableWalls, type LaunchRequest, type Relaxed } from '../../src/protocol/launch.ts';
import { brokerLog, startTestBroker, traces, type TestBroker } from '../support/broker.ts';
import { testLaunch } from '../support/test-launch.ts';

/** One of each kind that this host can give; SELinux, AppArmor and PCI devices are the lab's. */
const relaxed: readonly Relaxed[] = [
  { relax: 'seccomp', to: 'qemu' },
  { relax: 'seccomp', to: 'off' },
  { relax: 'syscall', to: 'kcmp' },
  { relax: 'namespace', to: 'net' },
  { relax: 'namespace', to: 'ipc' },
  { relax: 'namespace', to: 'uts' },
  { relax: 'namespace', to: 'pid' },
  { relax: 'namespace', to: 'cgroup' },
  { relax: 'device-cgroup', to: 'off' },
  { relax: 'user', to: 'daemon' },
  { relax: 'capability', to: 'sys_rawio' },
  { relax: 'selinux', to: 'system_u:system_r:svirt_t:s0' },
  { relax: 'apparmor', to: 'unconfined' },
  { relax: 'pci', to: '0000:ff:1f.7' },
  { relax: 'usb', to: 'reserve' },
];
const textOf = ({ relax, to }: Relaxed): string => `${relax} ${to}`;

/** As every plan has it. */
const noNesting = ['-cpu', 'max,vmx=off,svm=off'];

async function launchWith(one: Relaxed, name = 'web'): Promise<LaunchRequest> {
  const launch = await testLaunch(name, [], noNesting);
  const argv = textOf(one) === 'seccomp off' ? without(launch.argv, '-sandbox') : launch.argv;
  return { ...launch, argv, relaxed: [one] };
}

function without(argv: readonly string[], option: string): readonly string[] {
  const index = argv.indexOf(option);
  return argv.filter((_, place) => place !== index && place !== index + 1);
}

test('every kind of wall is tried below', () => {
  assert.deepEqual(new Set(relaxed.map(({ relax }) => relax)), new Set(relaxableWalls));
});

test('without a line of the policy no wall gives way, whoever asks, and nothing is started', async () => {
  await using broker = await startTestBroker();
  for (const one of relaxed)
    await refused(
      broker,
      await launchWith(one),
      /relaxation ".*" is not one that the policy gives machine "web"/,
    );
  assert.deepEqual(traces(broker.site), []);
  assert.match(brokerLog(broker.site), /"relaxed":\["seccomp off"\].*"ok":false/);
});

test("another machine's line, another thing's line and a line of another kind give nothing", async () => {
  await using broker = await startTestBroker({
    relaxations: [
      ...relaxed.map((one) => ({ ...one, machines: ['other'] })),
      { relax: 'syscall', to: 'bpf' },
      { relax: 'capability', to: 'net_raw' },
      { relax: 'namespace', to: 'net', machines: [] },
    ],
  });
  for (const one of relaxed) await refused(broker, await launchWith(one), /is not one that the policy gives/);
  assert.deepEqual(traces(broker.site), []);
});

test('root is for who the policy lets run as root, whatever the account is called', async () => {
  const root = { relax: 'user', to: 'root' } as const;
  await using broker = await startTestBroker({ relaxations: [root] });
  await refused(broker, await launchWith(root), /may not run as root/);
});

test("hooks and image tools are no machine's, and have every wall", async () => {
  await using broker = await startTestBroker({ relaxations: relaxed });
  const [one] = relaxed;
  assert.ok(one !== undefined);
  for (const program of ['qemu-img', 'hook'] as const)
    await refused(
      broker,
      { ...(await launchWith(one)), program },
      /is no machine's QEMU|not an image tool|not a hook/,
    );
  const values: readonly Relaxed[] = [
    { relax: 'namespace', to: 'mnt' },
    { relax: 'namespace', to: 'mount' },
    { relax: 'namespace', to: 'user' },
    { relax: 'seccomp', to: 'on' },
    { relax: 'user', to: 'no-such-account' },
  ];
  for (const value of values)
    await refused(
      broker,
      await launchWith(value),
      /is no namespace|is no seccomp|not one that the policy gives/,
    );
});

test('what is no device of this host, or no address at all, is refused with its line too, and no driver loses anything', async () => {
  const words = ['0000:ff:1f.7', '../../../../etc', '0000:00:00.0/driver', 'all'];
  await using broker = await startTestBroker({
    relaxations: words.map((to) => ({ relax: 'pci', to })),
  });
  const before = driversOfHost();
  for (const to of words)
    await refused(
      broker,
      await launchWith({ relax: 'pci', to }),
      /is not there, or has no IOMMU group|is no PCI address/,
    );
  assert.deepEqual(driversOfHost(), before);
  assert.deepEqual(traces(broker.site), []);
});

test('a label that no policy of SELinux on this host knows is refused with its line too, and nothing is started', async () => {
  const one = { relax: 'selinux', to: 'nobody_u:nobody_r:no_such_t:s0' } as const;
  await using broker = await startTestBroker({ relaxations: [one] });
  await refused(broker, await launchWith(one), /asks for the SELinux label nobody_u\S+, which no policy/);
  assert.deepEqual(traces(broker.site), []);
});

/** Each PCI device with its driver. */
function driversOfHost(): readonly string[] {
  const devices = '/sys/bus/pci/devices';
  if (!existsSync(devices)) return [];
  return readdirSync(devices).map((address) => {
    const driver = `${devices}/${address}/driver`;
    return `${address} ${existsSync(driver) ? readlinkSync(driver) : ''}`;
  });
}

const onLiveProcess: Readonly<Record<string, (launched: LaunchedMachine) => void>> = {
  'seccomp qemu': ({ pid }) => assert.equal(field(pid, 'Seccomp_filters'), '1'),
  'seccomp off': ({ pid }) => assert.equal(field(pid, 'Seccomp_filters'), '0'),
  'syscall kcmp': ({ pid }) => assert.equal(field(pid, 'Seccomp_filters'), '2'),
  'namespace net': ({ pid }) => sameNamespace(pid, 'net'),
  'namespace ipc': ({ pid }) => sameNamespace(pid, 'ipc'),
  'namespace uts': ({ pid }) => sameNamespace(pid, 'uts'),
  'namespace pid': ({ pid }) => sameNamespace(pid, 'pid'),
  'namespace cgroup': ({ pid }) => sameNamespace(pid, 'cgroup'),
  'device-cgroup off': () => undefined,
  'user daemon': ({ pid, uid }) => {
    assert.equal(accountOf(uid)?.name, 'daemon');
    assert.equal(field(pid, 'Uid'), [uid, uid, uid, uid].join('\t'));
  },
  'capability sys_rawio': ({ pid }) => {
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      assert.equal(field(pid, set), '0000000000020000', set);
  },
  'apparmor unconfined': () => undefined,
  'usb reserve': ({ pid }) => assert.equal(field(pid, 'Seccomp_filters'), '2'),
};

for (const one of relaxed.filter(({ relax }) => relax !== 'selinux' && relax !== 'pci'))
  test(`${textOf(one)}: with its line that wall gives way alone, and the audit expects just that`, async () => {
    await using broker = await startTestBroker({ relaxations: [{ ...one, machines: ['web'] }] });
    const plain = await live(broker, await testLaunch('plain', [], noNesting));
    const launched = await live(broker, await launchWith(one));
    onLiveProcess[textOf(one)]?.(launched);
    const report = audit(launched);
    assert.deepEqual(differing(report), []);
    // The same process held against the plan of a machine like others differs in that wall, and the other way round.
    const strict = audit({ ...launched, launch: { ...launched.launch, relaxed: [] } });
    const held = audit({ ...plain, launch: { ...plain.launch, relaxed: [one] } });
    const walls = wallsOf[one.relax](one.to);
    assert.deepEqual(differing(strict), walls.given);
    assert.deepEqual(differing(held), walls.lacking);
    for (const machine of ['web', 'plain']) await broker.ask({ v: 1, call: 'kill', machine });
    assert.deepEqual(traces(broker.site), []);
  });

/** The walls that differ where it was given and not planned, and where it was planned and not given. */
const wallsOf: Readonly<
  Record<
    Relaxed['relax'],
    (to: string) => { readonly given: readonly string[]; readonly lacking: readonly string[] }
  >
> = {
  // A filter more than was asked for is no fault.
  seccomp: (to) => ({ given: ['seccomp', ...(to === 'off' ? ['guest-devices'] : [])], lacking: [] }),
  // What a filter lets through, the kernel does not show.
  syscall: () => ({ given: [], lacking: [] }),
  namespace: (to) => {
    const wall = to === 'net' ? 'network-namespace' : `${to}-namespace`;
    return { given: [wall], lacking: [wall] };
  },
  'device-cgroup': () => ({ given: ['device-cgroup'], lacking: ['device-cgroup'] }),
  user: () => ({ given: [], lacking: [] }),
  selinux: () => ({ given: [], lacking: [] }),
  apparmor: () => ({ given: [], lacking: [] }),
  capability: () => ({ given: ['capabilities'], lacking: ['capabilities'] }),
  // Without such a device in its jail a machine cannot begin: the lab has one (lab/suites/vfio.long.test.ts).
  pci: () => ({ given: [], lacking: [] }),
  // Calls alone, until a device is attached (lab/suites/usb.long.test.ts).
  usb: () => ({ given: [], lacking: [] }),
};

async function refused(broker: TestBroker, launch: LaunchRequest, why: RegExp): Promise<void> {
  const reply = await broker.ask({ v: 1, call: 'launch', launch });
  assert.ok(!reply.ok, JSON.stringify(launch.relaxed));
  assert.match(reply.refusals.map(({ message }) => message).join('\n'), why);
  for (const { hint } of reply.refusals) assert.notEqual(hint, '');
}

async function live(broker: TestBroker, launch: LaunchRequest): Promise<LaunchedMachine> {
  const reply = await broker.ask<LaunchedMachine>({ v: 1, call: 'launch', launch });
  assert.ok(reply.ok, JSON.stringify(reply));
  // When its monitor greets, QEMU runs in place of the runtime, and has loaded its own filter on every thread.
  await greeting(reply.result.sockets.qmp ?? '');
  return reply.result;
}

async function greeting(path: string): Promise<void> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    const socket = connect(path);
    const greeted = await new Promise<boolean>((resolve) => {
      socket.once('data', () => resolve(true));
      socket.on('error', () => resolve(false));
    });
    // Left open until QEMU ends: while it closes its end, an audit sees a socket of no path.
    if (greeted) return void socket.unref();
    socket.destroy();
    assert.ok(performance.now() < deadline, 'QEMU does not greet');
    await delay(5);
  }
}

function audit(launched: LaunchedMachine): ReturnType<typeof auditProcess> {
  const outcome = readProcessFacts(launched.pid, { sharers: false });
  assert.ok(outcome.ok);
  const { machine, files } = launched;
  const expected = expectedWalls(launched, { files });
  return auditProcess({ machine, expected, facts: outcome.facts, at: new Date().toISOString() });
}

function differing({ rows }: ReturnType<typeof auditProcess>): readonly string[] {
  return rows.filter(({ verdict }) => verdict === 'differs').map(({ wall }) => wall);
}

function field(pid: number, name: string): string | undefined {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return new RegExp(`^${name}:\\s+(.*)$`, 'm').exec(status)?.[1];
}

function sameNamespace(pid: number, name: string): void {
  assert.equal(readlinkSync(`/proc/${pid}/ns/${name}`), readlinkSync(`/proc/self/ns/${name}`));
}
