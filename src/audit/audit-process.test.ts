/** Recorded facts of a QEMU in its jail: each wall is broken once in every way that the audit must notice, and only it differs. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { wallNames, type WallName } from '../plan/launch-plan.ts';
import type { LaunchedMachine, OpenDescriptor, ProcessFacts } from '../protocol/broker.ts';
import { auditForeign, auditProcess } from './audit-process.ts';
import { expectedWalls, type FileIdentity, type SinceLaunch } from './expected-walls.ts';
import type { AuditReport } from './report.ts';

interface Recorded {
  readonly launched: LaunchedMachine;
  readonly files: Readonly<Record<string, FileIdentity>>;
  readonly facts: ProcessFacts;
}

const path = join(import.meta.dirname, '../../test/security/audit-recorded-facts.json');
const recorded = JSON.parse(readFileSync(path, 'utf8')) as Recorded;
const good = recorded.facts;

type Break = (facts: ProcessFacts) => ProcessFacts;

function audit(facts: ProcessFacts, since: SinceLaunch = { files: recorded.files }): AuditReport {
  const expected = expectedWalls(recorded.launched, since);
  return auditProcess({ machine: 'web1', expected, facts, at: '2026-01-01T00:00:00Z' });
}

const differing = (report: AuditReport): WallName[] =>
  report.rows.flatMap(({ wall, verdict }) => (verdict === 'differs' ? [wall] : []));

const replaced = (text: string, from: RegExp | string, to: string): string => {
  const changed = text.replace(from, to);
  assert.notEqual(changed, text, `the recorded facts hold ${from}`);
  return changed;
};

/** Changes the status of every thread. */
const status =
  (from: RegExp, to: string): Break =>
  (facts) => ({
    ...facts,
    status: replaced(facts.status, from, to),
    threads: facts.threads.map((thread) => ({ ...thread, status: replaced(thread.status, from, to) })),
  });

/** Changes the status of the last thread alone. */
const oneThread =
  (from: RegExp, to: string): Break =>
  (facts) => ({
    ...facts,
    threads: facts.threads.map((thread, index) =>
      index === facts.threads.length - 1 ? { ...thread, status: replaced(thread.status, from, to) } : thread,
    ),
  });

const mount =
  (line: string): Break =>
  (facts) => ({ ...facts, mountinfo: `${facts.mountinfo}${line}\n` });

const mountinfo =
  (from: RegExp, to: string): Break =>
  (facts) => ({ ...facts, mountinfo: replaced(facts.mountinfo, from, to) });

const hostNamespace =
  (key: string): Break =>
  (facts) => ({ ...facts, namespaces: { ...facts.namespaces, [key]: facts.hostNamespaces[key]?.[0] ?? '' } });

const cgroupFile =
  (name: string, text: string): Break =>
  (facts) => ({ ...facts, cgroupFiles: { ...facts.cgroupFiles, [name]: text } });

const limit =
  (from: RegExp, to: string): Break =>
  (facts) => ({ ...facts, limits: replaced(facts.limits, from, to) });

const node =
  (entry: Partial<ProcessFacts['dev'][number]>): Break =>
  (facts) => ({
    ...facts,
    dev: [...facts.dev, { name: 'sda', type: 'char', major: 8, minor: 0, mode: 0o666, uid: 0, ...entry }],
  });

const regular = 0o100000;
const open =
  (descriptor: Partial<OpenDescriptor>): Break =>
  (facts) => ({
    ...facts,
    descriptors: [
      ...facts.descriptors,
      { fd: 99, target: '/etc/shadow', flags: 0, device: 65024, inode: 77, type: regular, ...descriptor },
    ],
  });

const socket =
  (found: Partial<ProcessFacts['sockets'][number]> | null): Break =>
  (facts) => ({
    ...open({ target: 'socket:[4711]', inode: 4711, type: 0o140000, flags: 2 })(facts),
    sockets: [
      ...facts.sockets,
      ...(found === null
        ? []
        : [{ inode: 4711, path: '', listening: false, namespace: 'host' as const, ...found }]),
    ],
  });

const argument =
  (...words: string[]): Break =>
  (facts) => ({ ...facts, cmdline: [...facts.cmdline, ...words] });

const rootImage = '/var/lib/qward/images/root.img';
const toolsImage = '/var/lib/qward/images/tools.img';
const identityOf = (image: string): FileIdentity => recorded.files[image] ?? assert.fail(image);
const deviceList = good.cgroupFiles['devices.list'] ?? assert.fail('recorded on cgroup v1');

const breaks: Readonly<Record<WallName, Readonly<Record<string, Break>>>> = {
  uid: {
    root: status(/^Uid:.*$/m, 'Uid:\t0\t0\t0\t0'),
    'a saved uid of root': status(/^(Uid:\t\d+\t\d+)\t\d+/m, '$1\t0'),
    'another group': status(/^Gid:.*$/m, 'Gid:\t36\t36\t36\t36'),
    'one thread as another user': oneThread(/^Uid:.*$/m, 'Uid:\t1000\t1000\t1000\t1000'),
    'another process with its uid': (facts) => ({ ...facts, sharers: [4711] }),
  },
  groups: {
    kvm: status(/^Groups:.*$/m, 'Groups:\t104 '),
    'on one thread': oneThread(/^Groups:.*$/m, 'Groups:\t0 '),
    'not told': status(/^Groups:.*\n/m, ''),
  },
  capabilities: Object.fromEntries(
    ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].flatMap((set) => [
      [set, status(new RegExp(`^${set}:.*$`, 'm'), `${set}:\t0000000000020000`)],
      [`${set} on one thread`, oneThread(new RegExp(`^${set}:.*$`, 'm'), `${set}:\t0000000000000001`)],
    ]),
  ),
  'no-new-privileges': {
    'not set': status(/^NoNewPrivs:.*$/m, 'NoNewPrivs:\t0'),
    'not set on one thread': oneThread(/^NoNewPrivs:.*$/m, 'NoNewPrivs:\t0'),
  },
  seccomp: {
    none: status(/^Seccomp:.*$/m, 'Seccomp:\t0'),
    'only one filter': status(/^Seccomp_filters:.*$/m, 'Seccomp_filters:\t1'),
    'none on one thread': oneThread(/^Seccomp:.*$/m, 'Seccomp:\t0'),
    'one filter on one thread': oneThread(/^Seccomp_filters:.*$/m, 'Seccomp_filters:\t1'),
  },
  root: {
    "the host's": (facts) => ({ ...facts, root: { ...facts.root, sameAsHost: true } }),
    'a directory more': (facts) => ({
      ...facts,
      root: { ...facts.root, entries: [...facts.root.entries, 'home'] },
    }),
    'another program': (facts) => ({ ...facts, exe: '/usr/bin/bash' }),
    'a directory of the host': mount('99 65 254:0 /home /usr/home ro,relatime - ext4 /dev/vda rw'),
    'the whole host': mount('99 65 254:0 / /usr/host ro,relatime - ext4 /dev/vda rw'),
    "the host's root as its own": mountinfo(/^(\d+ \d+ 254:0) \/var\/tmp\/root \/ /m, '$1 / / '),
    'a writable root': mountinfo(/ \/ ro,relatime/, ' / rw,relatime'),
    'a writable planned path': mountinfo(/ \/usr\/share\/qemu ro,/, ' /usr/share/qemu rw,'),
    'another directory at a planned path': mountinfo(
      / \/usr\/share\/qemu \/usr\/share\/qemu /,
      ' /etc /usr/share/qemu ',
    ),
    'a second mount over a planned path': mount(
      '99 65 254:0 /etc /usr/share/qemu ro,relatime - ext4 /dev/vda rw',
    ),
    "the host's /proc": mountinfo(/^(\d+ \d+) 0:40 \/ \/proc /m, '$1 0:21 / /proc '),
    "the host's /dev": mountinfo(/^(\d+ \d+) 0:\d+ \/ \/dev .*$/m, '$1 0:6 / /dev rw - devtmpfs devtmpfs rw'),
    sysfs: mount('99 65 0:77 / /sys rw,relatime - sysfs sysfs rw'),
    'a file system of its own at an odd place': mount('99 65 0:77 / /usr/x rw,relatime - fuse x rw'),
    'a mount that passes on to the host': (facts) => ({
      ...mountinfo(/ro,relatime - ext4/, 'ro,relatime shared:5 - ext4')(facts),
      hostMountinfo: `${facts.hostMountinfo}99 27 0:99 / /mnt rw shared:5 - tmpfs tmpfs rw\n`,
    }),
  },
  dev: {
    'a disk': node({ type: 'block' }),
    'kvm, not planned': node({ name: 'kvm', major: 10, minor: 232 }),
    'a standard name with other numbers': (facts) => ({
      ...facts,
      dev: facts.dev.map((entry) => (entry.name === 'zero' ? { ...entry, major: 1, minor: 1 } : entry)),
    }),
    'a directory': node({ name: 'net', type: 'directory' }),
    'a link': node({ name: 'host', type: 'link' }),
    'a socket': node({ name: 'log', type: 'other' }),
    'the name of a property of every object': node({ name: 'constructor' }),
  },
  'mount-namespace': { "the host's": hostNamespace('mnt') },
  'pid-namespace': { "the host's": hostNamespace('pid') },
  'ipc-namespace': { "the host's": hostNamespace('ipc') },
  'uts-namespace': { "the host's": hostNamespace('uts') },
  'cgroup-namespace': {
    "the host's": hostNamespace('cgroup'),
    'not readable': (facts) => {
      const { cgroup: _, ...namespaces } = facts.namespaces;
      return { ...facts, namespaces };
    },
  },
  'network-namespace': {
    "the host's": hostNamespace('net'),
    'an interface in it': (facts) => ({ ...facts, netDev: `${facts.netDev}  eth0: 0 0\n` }),
  },
  'user-namespace': {
    'one of its own': (facts) => ({ ...facts, namespaces: { ...facts.namespaces, user: 'user:[4711]' } }),
  },
  cgroup: {
    'another one': (facts) => ({ ...facts, cgroup: facts.cgroup.replaceAll('/qward/web1', '/qward/web2') }),
    'another one for memory': (facts) => ({
      ...facts,
      cgroup: replaced(facts.cgroup, /:memory:.*/, ':memory:/'),
    }),
    'no pids limit': cgroupFile('pids.max', 'max'),
    'more memory': cgroupFile('memory.limit_in_bytes', '9223372036854771712'),
    'no quota': cgroupFile('cpu.cfs_quota_us', '-1'),
    'more shares': cgroupFile('cpu.shares', '262144'),
  },
  'device-cgroup': {
    'every device': cgroupFile('devices.list', 'a *:* rwm'),
    'a disk': cgroupFile('devices.list', `${deviceList}\nb 8:0 rwm`),
    'kvm, not planned': cgroupFile('devices.list', `${deviceList}\nc 10:232 rw`),
    'no program on v2': (facts) => {
      const { 'devices.list': _, ...cgroupFiles } = facts.cgroupFiles;
      return { ...facts, cgroupFiles, devicePrograms: 0 };
    },
  },
  rlimits: {
    'core files': limit(/^(Max core file size +)0( +)0 /m, '$10$2unlimited '),
    'message queues': limit(/^(Max msgqueue size +)0( +)0/m, '$1819200$2819200'),
    'locked memory': limit(/^(Max locked memory +)0( +)0/m, '$165536$265536'),
    'open files': limit(/^(Max open files +)1024( +)1024/m, '$11024$24096'),
    'file size': limit(/^(Max file size +\d+ +)\d+/m, '$1unlimited'),
    'a limit that is not told': limit(/^Max msgqueue size.*\n/m, ''),
  },
  descriptors: {
    'a file': open({}),
    'a directory': open({ target: '/', type: 0o040000, flags: 0o200000 }),
    'a planned image that may only be read, for writing': open({
      target: toolsImage,
      ...identityOf(toolsImage),
      flags: 2,
    }),
    'another file with the path of an image': open({ target: rootImage, device: 65024, inode: 12 }),
    'a device node': open({ target: '/dev/mem', type: 0o020000 }),
    'kvm, not planned': open({ target: '/dev/kvm', type: 0o020000 }),
    'a TAP, not planned': open({ target: '/dev/net/tun', type: 0o020000 }),
    'a namespace': open({ target: 'mnt:[4026531832]' }),
    io_uring: open({ target: 'anon_inode:[io_uring]', type: 0 }),
    'one end of a pipe': open({ target: 'pipe:[4711]', inode: 4711, type: 0o010000, flags: 1 }),
    'a network socket': socket(null),
    'a Unix socket bound elsewhere': socket({ path: '/run/docker.sock' }),
    'a Unix socket without a path': socket({}),
    'a Unix socket of its own making': socket({ namespace: 'own' }),
    'a file mapped and closed': (facts) => ({ ...facts, mappedFiles: [...facts.mappedFiles, '/etc/shadow'] }),
  },
  lsm: {},
  'guest-devices': {
    'an argument more': argument('-no-reboot'),
    'no -nodefaults': (facts) => ({
      ...facts,
      cmdline: facts.cmdline.filter((word) => word !== '-nodefaults'),
    }),
    'user network': argument('-netdev', 'user,id=n'),
  },
};

test('a jailed machine passes every wall, and a host without a security module is named', () => {
  const report = audit(good);
  assert.deepEqual(differing(report), []);
  assert.equal(report.ok, true);
  assert.deepEqual(
    report.rows.map(({ wall }) => wall),
    [...wallNames],
  );
  assert.deepEqual(
    report.rows.filter(({ verdict }) => verdict === 'missing'),
    [
      {
        wall: 'lsm',
        expected: 'a label, where the host has a module',
        found: 'this host has none',
        verdict: 'missing',
      },
    ],
  );
});

for (const wall of wallNames) {
  for (const [how, change] of Object.entries(breaks[wall])) {
    test(`${wall}: ${how} differs, and no other wall does`, () => {
      const report = audit(change(good));
      assert.deepEqual(differing(report), [wall]);
      assert.equal(report.ok, false);
    });
  }
}

test('lsm: a label other than the planned one differs', () => {
  const expected = {
    ...expectedWalls(recorded.launched, { files: recorded.files }),
    label: 'qward-web1 (enforce)',
  };
  const rowFor = (label: string) =>
    auditProcess({ machine: 'web1', expected, facts: { ...good, label }, at: '' }).rows.find(
      ({ wall }) => wall === 'lsm',
    );
  assert.equal(rowFor('qward-web1 (enforce)')?.verdict, 'ok');
  assert.equal(rowFor('unconfined')?.verdict, 'differs');
  assert.equal(rowFor('')?.verdict, 'differs');
});

test('every wall but the one that a host may lack is broken by a test', () => {
  for (const wall of wallNames) if (wall !== 'lsm') assert.ok(Object.keys(breaks[wall]).length > 0, wall);
});

const unplanned = (facts: ProcessFacts, since?: SinceLaunch) => differing(audit(facts, since));

test('what QEMU makes for itself, and what was granted, is no fault', () => {
  const ends = [
    open({ target: 'pipe:[9]', inode: 9, flags: 0 }),
    open({ target: 'pipe:[9]', inode: 9, flags: 1 }),
  ];
  const harmless: Break[] = [
    (facts) => ends.reduce((changed, change) => change(changed), facts),
    open({ target: '/memfd:memory (deleted)', flags: 2 }),
    open({ target: 'anon_inode:kvm-vcpu:0', type: 0, flags: 2 }),
    open({ target: `${rootImage} (deleted)`, ...identityOf(rootImage), flags: 2 }),
    socket({ path: '/run/qward/machines/web1/qmp.sock' }),
    node({ name: 'shm', type: 'directory' }),
    (facts) => ({
      ...facts,
      mappedFiles: [...facts.mappedFiles, '/usr/lib/x86_64-linux-gnu/libc.so.6 (deleted)'],
    }),
  ];
  for (const change of harmless) assert.deepEqual(unplanned(change(good)), []);
});

test('a file whose identity nobody noted is known by its path', () => {
  assert.deepEqual(unplanned(good, {}), []);
  assert.deepEqual(unplanned(open({ target: rootImage, inode: 12, flags: 2 })(good), {}), []);
  assert.deepEqual(unplanned(open({ target: toolsImage, inode: 12, flags: 2 })(good), {}), ['descriptors']);
});

test('of the sockets without a path the very one passes that the manager handed over', () => {
  const changed = socket({})(good);
  const added = changed.sockets.find(({ path }) => path === '')?.inode ?? -1;
  assert.deepEqual(unplanned(changed, { files: recorded.files, handedSockets: [added] }), []);
  assert.deepEqual(unplanned(changed, { files: recorded.files, handedSockets: [added + 1] }), [
    'descriptors',
  ]);
});

test('a further queue is one of the card that was planned, and no other TAP device', () => {
  const { launch } = recorded.launched;
  const queue = { kind: 'queue', of: 3 + launch.descriptors.length } as const;
  const descriptors = [...launch.descriptors, { kind: 'tap', bridge: 'br0' } as const, queue];
  const expected = expectedWalls(
    { ...recorded.launched, launch: { ...launch, descriptors } },
    {
      files: recorded.files,
    },
  );
  const withTaps = (...taps: readonly string[]): WallName[] => {
    const facts = taps.reduce(
      (sum, tap, index) =>
        open({
          fd: 90 + index,
          target: '/dev/net/tun',
          type: 0o020000,
          flags: 2,
          ...(tap === '' ? {} : { tap }),
        })(sum),
      good,
    );
    return differing(auditProcess({ machine: 'web1', expected, facts, at: '' }));
  };
  assert.deepEqual(withTaps('qward0', 'qward0'), []);
  assert.deepEqual(withTaps('qward0', 'qward1'), ['descriptors']);
  assert.deepEqual(withTaps('qward0', 'qward0', 'qward0'), ['descriptors']);
  // One queue that is not used, and no more than there are.
  assert.deepEqual(withTaps('qward0', ''), []);
  assert.deepEqual(withTaps('', ''), ['descriptors']);
});

test('a granted device node passes when it belongs to the machine, and only then', () => {
  const launched = {
    ...recorded.launched,
    launch: { ...recorded.launched.launch, devices: ['/dev/kvm'] as const },
  };
  const facts = (uid: number) =>
    cgroupFile(
      'devices.list',
      `${deviceList}\nc 10:232 rw`,
    )(
      open({ target: '/dev/kvm', type: 0o020000, flags: 2 })(
        node({ name: 'kvm', major: 10, minor: 232, uid })(good),
      ),
    );
  const of = (uid: number) =>
    differing(
      auditProcess({ machine: 'web1', expected: expectedWalls(launched), facts: facts(uid), at: '' }),
    );
  assert.deepEqual(of(launched.uid), []);
  assert.deepEqual(of(0), ['dev']);
});

test('on cgroup v2 the limits are compared, and a device program is told but not its rules', () => {
  const facts: ProcessFacts = {
    ...good,
    cgroup: '0::/qward/web1\n',
    cgroupFiles: {
      'pids.max': '100',
      'memory.max': '536870912',
      'cpu.max': '150000 100000',
      'cpu.weight': '100',
      'io.weight': 'default 100',
    },
    devicePrograms: 1,
  };
  assert.deepEqual(unplanned(facts), []);
  for (const [name, text] of [
    ['pids.max', 'max'],
    ['memory.max', 'max'],
    ['cpu.max', 'max 100000'],
    ['cpu.weight', '10000'],
  ] as const)
    assert.deepEqual(unplanned(cgroupFile(name, text)(facts)), ['cgroup'], name);
  const verdict = (changed: ProcessFacts, wall: WallName) =>
    audit(changed).rows.find((row) => row.wall === wall)?.verdict;
  assert.equal(verdict({ ...facts, devicePrograms: null }, 'device-cgroup'), 'missing');
  const { 'memory.max': _, ...withoutMemory } = facts.cgroupFiles;
  assert.equal(verdict({ ...facts, cgroupFiles: withoutMemory }, 'cgroup'), 'missing');
});

test('a jailed QEMU passes as a foreign process too', () => {
  const report = auditForeign({ facts: good, at: '' });
  assert.equal(report.machine, null);
  // Its images came as descriptors, so the arguments do not name them.
  assert.deepEqual(differing(report), ['descriptors']);
});

test('hostile text is shown as plain ASCII of bounded length', () => {
  const target = `/tmp/\u001b[2J\u202e${'x'.repeat(5000)}`;
  const found = audit(open({ target })(good)).rows.find(({ wall }) => wall === 'descriptors')?.found ?? '';
  assert.match(found, /^[\x20-\x7e…]{20,400}$/);
});
