/**
 * Promises 5 and 6: the drill of a machine with a relaxation differs from that of one without in the probes that the relaxation
 * opens, and in no other; a reader is told with each start, in `list`, in `explain` and in the history.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { probesOf } from '../../src/audit/drill/opened.ts';
import type { DrillReport } from '../../src/audit/drill/report.ts';
import { confinementSchema } from '../../src/definition/schema-confinement.ts';
import { relaxableWalls, type Relaxed } from '../../src/protocol/launch.ts';
import { checkout } from '../support/checkout.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { define, smallMachine, start } from '../support/small-machine.ts';

/** A socket of the host: one that everybody may connect to. */
const directory = mkdtempSync('/run/qward-drill-');
const hostSocket = `${directory}/service.sock`;

/** In a definition of `confinement`, or where they say so of the root disk or of the machine itself. */
type Place = 'confinement' | 'disk' | 'machine';

/** The line of the definition, the lines of the policy, the probes that it opens, and where the line stands. */
type Row = readonly [definition: string, line: Relaxed | readonly Relaxed[], opens: string, place?: Place];

const callOf = (to: string): Relaxed => ({ relax: 'syscall', to });

const withoutOurs =
  'socket-netlink socket-devices socket-vsock add-key use-keyring perf-event fault-handler personality';
const withoutFilters = `${withoutOurs} lower-priority change-scheduler unshare-user clone-user clone3-user fork run-from-memory run-descriptor`;

const relaxations: Readonly<Record<string, Row>> = {
  unfiltered: ['seccomp: off', { relax: 'seccomp', to: 'off' }, withoutFilters],
  ownfilter: ['seccomp: qemu', { relax: 'seccomp', to: 'qemu' }, withoutOurs],
  onecall: ['seccomp: {allow: [personality]}', { relax: 'syscall', to: 'personality' }, 'personality'],
  hostnet: ['namespaces: {net: host}', { relax: 'namespace', to: 'net' }, 'connect-abstract connect-tcp'],
  hostipc: ['namespaces: {ipc: host}', { relax: 'namespace', to: 'ipc' }, ''],
  hostuts: ['namespaces: {uts: host}', { relax: 'namespace', to: 'uts' }, ''],
  hostpid: ['namespaces: {pid: host}', { relax: 'namespace', to: 'pid' }, 'see-process'],
  hostcgroup: ['namespaces: {cgroup: host}', { relax: 'namespace', to: 'cgroup' }, ''],
  anydevice: ['deviceCgroup: off', { relax: 'device-cgroup', to: 'off' }, ''],
  account: ['user: daemon', { relax: 'user', to: 'daemon' }, ''],
  rootuser: ['user: root', { relax: 'user', to: 'root' }, 'reopen-for-writing'],
  rawio: [
    'capabilities: [{name: sys_rawio, reason: a tape robot}]',
    { relax: 'capability', to: 'sys_rawio' },
    '',
  ],
  override: [
    'capabilities: [dac_override]',
    { relax: 'capability', to: 'dac_override' },
    'reopen-for-writing',
  ],
  owner: ['capabilities: [fowner]', { relax: 'capability', to: 'fowner' }, ''],
  rawsocket: ['capabilities: [net_raw]', { relax: 'capability', to: 'net_raw' }, ''],
  rawhost: [
    'capabilities: [net_raw], namespaces: {net: host}',
    [
      { relax: 'capability', to: 'net_raw' },
      { relax: 'namespace', to: 'net' },
    ],
    'connect-abstract connect-tcp socket-raw',
  ],
  rawfree: [
    'capabilities: [net_raw], seccomp: qemu',
    [
      { relax: 'capability', to: 'net_raw' },
      { relax: 'seccomp', to: 'qemu' },
    ],
    `socket-raw socket-packet ${withoutOurs}`,
  ],
  rawopen: [
    'capabilities: [net_raw], seccomp: off',
    [
      { relax: 'capability', to: 'net_raw' },
      { relax: 'seccomp', to: 'off' },
    ],
    `socket-raw socket-packet ${withoutFilters}`,
  ],
  usb: ['hotplug: {usb: true}', { relax: 'usb', to: 'reserve' }, 'socket-devices', 'machine'],
  profile: ['apparmor: unconfined', { relax: 'apparmor', to: 'unconfined' }, ''],
  node: ['devices: [/dev/net/tun]', [], 'open-tunnel'],
  shown: [`files: [{path: ${directory}/shown, access: rw}]`, [], ''],
  shownaccounts: ['files: [{path: /etc/passwd}]', [], 'read-passwd read-through-proc'],
  sound: [
    `sound: {model: ich9, server: ${hostSocket}}`,
    ['futex', 'pipe2', 'sendto', 'getuid', 'getgid'].map(callOf),
    '',
    'machine',
  ],
  hostsocket: [`sockets: [${hostSocket}]`, [], ''],
  asyncio: [
    'cache: none, aio: native',
    ['io_setup', 'io_submit', 'io_getevents', 'io_destroy'].map(callOf),
    '',
    'disk',
  ],
  pages: ['memoryBacking: {hugePages: 2MiB}', { relax: 'syscall', to: 'memfd_create' }, '', 'machine'],
  onnode: [
    "memoryBacking: {hostNodes: {nodes: '0', policy: preferred}}",
    { relax: 'syscall', to: 'mbind' },
    '',
    'machine',
  ],
};

/** What this host cannot give, or what is of no use here, and where its drill is. */
const elsewhere: Readonly<Record<string, string>> = {
  selinux: 'lab/suites/selinux.long.test.ts',
  pci: 'lab/suites/vfio.long.test.ts',
  vsock: 'lab/suites/relaxations.long.test.ts',
};

/** A start needs a server of sound: test/system/session-sound.test.ts. */
const onlyDrilled: ReadonlySet<string> = new Set(['sound']);

test('every kind of relaxation and every key of confinement has its row here, or a drill in the lab', () => {
  const rows = Object.values(relaxations);
  const walls = rows.flatMap(([, line]) => [line].flat().map((one) => one.relax));
  const keys = rows.flatMap(([words]) => [...words.matchAll(/(?:^|, )(\w+): /g)].map(([, key]) => key));
  const known = new Set<unknown>([...walls, ...keys, ...Object.keys(elsewhere)]);
  const wanted = [...relaxableWalls, ...Object.keys(confinementSchema.shape), 'sound', 'vsock'];
  assert.deepEqual(
    wanted.filter((one) => !known.has(one)),
    [],
  );
  for (const file of Object.values(elsewhere))
    assert.match(readFileSync(join(checkout, file), 'utf8'), /await drilled\(host/, file);
});

test('whatever the drill takes for opened has a row here that shows it', () => {
  const rows = Object.values(relaxations).map(([, line, opens]) => ({
    walls: [line].flat().map(({ relax, to }) => (relax === 'usb' ? relax : `${relax} ${to}`)),
    opens: opens.split(' '),
  }));
  for (const [walls, names] of Object.entries(probesOf)) {
    const shown = rows.find((row) => row.walls.toSorted().join(', ') === walls)?.opens ?? [];
    // This kernel has no sockets of algorithms.
    const wanted = names.split(' ').filter((name) => name !== 'socket-algorithms');
    assert.deepEqual(
      wanted.filter((name) => !shown.includes(name)),
      [],
      walls,
    );
  }
});

describe('one relaxation after the other', () => {
  let instance: Instance;

  /** For the 32 MiB of the machine that has them. */
  const pages = '/proc/sys/vm/nr_hugepages';
  const pagesBefore = readFileSync(pages, 'utf8');

  const service = createServer((connection) => connection.destroy());

  before(async () => {
    writeFileSync(pages, String(Number(pagesBefore) + 17));
    await once(service.listen(hostSocket), 'listening');
    chmodSync(hostSocket, 0o666);
    chmodSync(directory, 0o755);
    mkdirSync(`${directory}/shown`);
    const lines = Object.entries(relaxations).flatMap(([name, [, line]]) =>
      [line].flat().map((one) => ({ ...one, machines: [name] })),
    );
    instance = await startInstance();
    instance.writePolicy({
      relaxations: lines,
      allowRoot: true,
      devices: ['/dev/kvm', '/dev/net/tun'],
      sockets: [{ path: hostSocket }],
      storageRoots: [
        ...[instance.paths.images, directory].map((path) => ({ path, access: 'rw' })),
        { path: '/etc', access: 'ro' },
      ],
    });
    await define(instance, withDisk('strict', ''));
  });

  after(async () => {
    await instance[Symbol.asyncDispose]();
    service.close();
    writeFileSync(pages, pagesBefore);
    rmSync(directory, { recursive: true });
  });

  function withDisk(name: string, line: string, place: Place = 'confinement'): string {
    const more = place === 'disk' ? `, ${line}` : '';
    const disk = ['disks:', `  - {id: root, path: ${instance.disk(name)}, format: qcow2${more}}`];
    if (place === 'machine') return smallMachine(name, [...disk, line]);
    return smallMachine(name, [
      ...disk,
      ...(place === 'disk' || line === '' ? [] : [`confinement: {${line}}`]),
    ]);
  }

  async function drill(name: string): Promise<DrillReport> {
    const { stdout, stderr } = await instance.qward(['drill', name, '--json']);
    assert.notEqual(stdout, '', stderr);
    return JSON.parse(stdout) as DrillReport;
  }

  let strict: DrillReport | undefined;
  for (const [name, [line, , opens, place]] of Object.entries(relaxations))
    test(`${line.replace(`${directory}/`, '')} opens ${opens === '' ? 'nothing' : opens}, and nothing else`, async () => {
      strict ??= await drill('strict');
      assert.equal(strict.ok, true);
      await define(instance, withDisk(name, line, place));
      const report = await drill(name);
      const changed = report.rows.filter(({ probe, verdict }) => {
        const before = strict?.rows.find((row) => row.probe === probe);
        return before?.verdict !== verdict;
      });
      assert.deepEqual(changed.map(({ probe }) => probe).sort(), opens.split(' ').filter(Boolean).sort());
      assert.ok(
        changed.every(({ verdict }) => verdict === 'opened'),
        JSON.stringify(changed),
      );
      assert.equal(
        report.ok,
        true,
        JSON.stringify(report.rows.filter(({ verdict }) => verdict === 'through')),
      );
      if (onlyDrilled.has(name)) return;
      await start(instance, name);
      const audit = await instance.qward(['audit', name]);
      assert.equal(audit.status, 0, audit.stdout);
      assert.match((await instance.qward(['list'])).stdout, new RegExp(`^${name} +running \\+`, 'm'));
      await instance.qward(['kill', name]);
    });

  test('a start is in the log, in the history with its reason, and a plan shows it', async () => {
    assert.match(
      (await instance.qward(['logs', 'rawio'])).stdout,
      /every wall proved; relaxed: capability sys_rawio/,
    );
    assert.match((await instance.qward(['history', 'rawio'])).stdout, /capability sys_rawio.*a tape robot/);
    assert.match((await instance.qward(['explain', 'rawio'])).stdout, /capability sys_rawio +a tape robot/);
    assert.match((await instance.qward(['status', 'rawio'])).stdout, /beyond walls +capability sys_rawio/);
  });

  test("without the policy's line the start is refused, with the line", async () => {
    await define(instance, smallMachine('greedy', ['confinement: {seccomp: off}']));
    const { status, stderr } = await instance.qward(['start', 'greedy']);
    assert.equal(status, 4);
    assert.match(stderr, /add \{"relax":"seccomp","to":"off","machines":\["greedy"\]\} to relaxations/);
    const explained = await instance.qward(['policy', 'explain', 'greedy']);
    assert.match(explained.stdout, /^no +relaxation +seccomp off +line 1 \(relaxations\)/m);
  });

  test('after its last day the start is refused, with the line to renew', async () => {
    await define(
      instance,
      smallMachine('stale', [
        'confinement: {seccomp: {mode: "off", reason: a vendor tool, until: 2026-01-31}}',
      ]),
    );
    const { status, stderr } = await instance.qward(['start', 'stale']);
    assert.equal(status, 1);
    assert.match(stderr, /confinement\.seccomp: seccomp off was given until 2026-01-31, which is over/);
    assert.match(stderr, /qward set stale confinement\.seccomp\.until=YYYY-MM-DD/);
    assert.equal((await instance.qward(['set', 'stale', 'confinement.seccomp.until=2999-01-31'])).status, 0);
    assert.match(
      (await instance.qward(['start', 'stale'])).stderr,
      /is not one that the policy gives machine "stale"/,
    );
  });
});
