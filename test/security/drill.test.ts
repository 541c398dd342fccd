/**
 * Promise 5: what the walls are for is tried, and nothing gets through. Every probe can fail: one wall after the other is
 * taken away, and just the probes that it held get through.
 */
import assert from 'node:assert/strict';
import { closeSync, existsSync, openSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, describe, test } from 'node:test';
import { probes } from '../../src/audit/drill/probes.ts';
import type { DrillReport } from '../../src/audit/drill/report.ts';
import { firstDisk } from '../../src/manager/drill/outside.ts';
import { processesOfUids } from '../../src/linux/process.ts';
import { traces } from '../support/broker.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { define, smallMachine, start } from '../support/small-machine.ts';
import { drillJail, firstUsbDevice, type LooseConfig, type Weakness } from './drill-jail.ts';

type Change = NonNullable<Weakness['config']>;

const all =
  (...changes: readonly Change[]): Change =>
  (config, directory) => {
    for (const change of changes) change(config, directory);
  };
const noFilter: Change = ({ linux }) => void delete linux.seccomp;
const withoutNamespace =
  (type: string): Change =>
  ({ linux }) =>
    void (linux.namespaces = linux.namespaces.filter((one) => one.type !== type));
const show = (path: string, options: readonly string[] = ['rbind', 'ro']): Change => {
  return ({ mounts }) =>
    void mounts.push({ destination: path, type: 'bind', source: path, options: [...options] });
};
const showOwn: Change = (config, directory) => {
  show(directory)(config, directory);
};
const asRoot: Change = ({ process }) => void (process.user = { uid: 0, gid: 0, additionalGids: [] });
const node =
  (path: string, type: 'b' | 'c', [major, minor]: readonly [number, number]): Change =>
  ({ linux }) => {
    linux.devices.push({ path, type, major, minor, fileMode: 0o666 });
    linux.resources.devices.push({ allow: true, type, major, minor, access: 'rwm' });
  };
const capabilities: Change = ({ process }) => {
  const names = 'SYS_ADMIN NET_RAW SYS_BOOT SETUID SETGID SYS_CHROOT MKNOD SYSLOG SYS_MODULE SYS_RAWIO BPF ';
  const files = 'DAC_OVERRIDE DAC_READ_SEARCH CHOWN FOWNER SYS_PTRACE KILL';
  for (const set of Object.keys(process.capabilities))
    process.capabilities[set] = (names + files).split(' ').map((name) => `CAP_${name}`);
};
const noRlimits: Change = ({ process }) => void (process.rlimits = []);
const wholeProc: Change = (config: LooseConfig) => {
  for (const mount of config.mounts) if (mount.destination === '/proc') mount.options = ['nosuid'];
};
const terminals: Change = ({ mounts }) =>
  void mounts.push({
    destination: '/dev/pts',
    type: 'devpts',
    source: 'devpts',
    options: ['newinstance', 'ptmxmode=0666', 'mode=0620'],
  });

const noFilterOpens =
  'socket-netlink socket-devices socket-vsock add-key use-keyring perf-event fault-handler personality';
const noFiltersOpen = `${noFilterOpens} lower-priority change-scheduler unshare-user clone-user clone3-user fork run-from-memory run-descriptor`;

/** What each weakness lets through, and nothing else. */
const weaknesses: Readonly<Record<string, readonly [through: string, weakness: Weakness]>> = {
  none: ['', {}],
  "without QEMU's own denials": ['', { denials: false }],
  'no filter in the bundle': [noFilterOpens, { config: noFilter }],
  'no filter at all': [noFiltersOpen, { config: noFilter, denials: false }],
  "the host's network, and no filter": [
    `${noFiltersOpen} connect-abstract connect-tcp`,
    { config: all(noFilter, withoutNamespace('network')), denials: false },
  ],
  "the host's processes": ['see-process', { config: withoutNamespace('pid') }],
  'no limit of processes': ['threads', { config: ({ linux }) => void delete linux.resources.pids }],
  'no limit of memory': ['memory', { config: ({ linux }) => void delete linux.resources.memory }],
  'no rlimits': ['file-size', { config: noRlimits }],
  'a device node more': ['open-tunnel', { config: node('/dev/net/tun', 'c', [10, 200]) }],
  'directories of the host': [
    'read-passwd list-home read-through-proc',
    { config: all(show('/etc'), show('/home')) },
  ],
  'uid 0': ['reopen-for-writing', { config: asRoot }],
  'a capability': ['reopen-for-writing', { config: capabilities }],
  'a descriptor for writing too': ['write-read-only', { openForBoth: true }],
};

/** Things that this kernel does not have: there is nothing that a weakness could let through. */
const notOnThisHost = ['load-kernel', 'load-module', 'io-ports', 'socket-algorithms', 'open-memory'];

function deviceNumbers(path: string): readonly [major: number, minor: number] {
  const { rdev } = statSync(path);
  return [(rdev >>> 8) & 0xfff, (rdev & 0xff) | ((rdev >>> 12) & 0xfff00)];
}

function opens(path: string): boolean {
  try {
    closeSync(openSync(path, 'r'));
    return true;
  } catch {
    return false;
  }
}

describe('one wall after the other is taken away', { concurrency: 2 }, () => {
  for (const [name, [through, weakness]] of Object.entries(weaknesses)) {
    test(`${name}: ${through === '' ? 'nothing' : through} gets through`, async () => {
      const rows = await drillJail(weakness);
      const verdicts = (verdict: string) =>
        rows.filter((row) => row.verdict === verdict).map(({ probe }) => probe);
      assert.deepEqual(verdicts('through').sort(), through.split(' ').filter(Boolean).sort());
      assert.deepEqual(verdicts('inconclusive'), []);
      const tried = probes.filter(({ name }) => name !== 'open-usb-device' || firstUsbDevice() !== null);
      assert.deepEqual(rows.map(({ probe }) => probe).sort(), tried.map(({ name }) => name).sort());
    });
  }

  test('with every wall down every probe gets through that this host has', async () => {
    const disk = await firstDisk();
    const usb = firstUsbDevice();
    const hosts = ['/etc', '/home', '/bin', '/usr/bin', '/usr/lib/x86_64-linux-gnu', '/lib64'];
    const config = all(
      all(noFilter, asRoot, capabilities, noRlimits, wholeProc, terminals, showOwn),
      withoutNamespace('pid'),
      withoutNamespace('network'),
      ...hosts.map((path) => show(path)),
      show('/sys', ['rbind', 'rw']),
      node('/dev/net/tun', 'c', [10, 200]),
      ...(disk === null ? [] : [node(disk, 'b', deviceNumbers(disk))]),
      ...(usb === null ? [] : [node(usb, 'c', deviceNumbers(usb))]),
      (loose) => {
        loose.root.readonly = false;
        delete loose.linux.resources.pids;
        delete loose.linux.resources.memory;
      },
    );
    const rows = await drillJail({ config, denials: false, openForBoth: true });
    const held = rows.filter(({ verdict }) => verdict !== 'through');
    const absent = (control: string): boolean => control.startsWith('this host has it not');
    assert.deepEqual(
      held
        .filter(({ probe, control }) => !notOnThisHost.includes(probe) || !absent(control))
        .map(({ probe }) => probe),
      // Some hosts refuse their disks to root itself.
      disk !== null && !opens(disk) ? ['open-host-disk'] : [],
    );
  });
});

describe('qward drill', () => {
  let instance: Instance;

  before(async () => {
    instance = await startInstance();
    const disk = ['disks:', '  - id: root', `    path: ${instance.disk('root')}`, '    format: qcow2'];
    await define(instance, smallMachine('web', disk));
    await define(instance, smallMachine('other'));
  });

  after(async () => {
    await instance[Symbol.asyncDispose]();
  });

  test("every probe is blocked in a machine's own jail, and every control stands", async () => {
    const { status, stdout, stderr } = await instance.qward(['drill', 'web', '--json']);
    const report = JSON.parse(stdout) as DrillReport;
    assert.deepEqual(
      report.rows.filter(({ verdict }) => verdict !== 'blocked'),
      [],
      stderr,
    );
    assert.equal(status, 0);
    assert.equal(report.ok, true);
    assert.ok(report.rows.length >= 70, String(report.rows.length));
    const proved = report.rows.filter(({ control }) => !control.startsWith('this host has it not'));
    assert.ok(proved.length >= 60, `${proved.length} controls show something`);
    const how = new Set(report.rows.map((row) => row.how));
    for (const expected of ['EPERM', 'ENOENT', 'killed by seccomp', 'limit: EAGAIN', 'limit: killed'])
      assert.ok(how.has(expected), expected);
  });

  test('the machine starts afterwards, and its jail has no prober', async () => {
    const pid = await start(instance, 'web');
    const { stdout } = await instance.qward(['audit', 'web', '--json']);
    assert.equal((JSON.parse(stdout) as { ok: boolean }).ok, true, `pid ${pid}`);
    const { status, stderr } = await instance.qward(['drill', 'web']);
    assert.equal(status, 2);
    assert.match(stderr, /machine "web" runs[\s\S]*qward stop web/);
    assert.equal((await instance.qward(['kill', 'web'])).status, 0);
  });

  test('a machine without disks has the probes that need none', async () => {
    const { status, stdout } = await instance.qward(['drill', 'other', '--json']);
    const report = JSON.parse(stdout) as DrillReport;
    assert.equal(status, 0, stdout);
    assert.ok(report.rows.every(({ probe }) => probe !== 'write-read-only'));
  });

  test('whoever may not define the machine may not drill it', async () => {
    const { status, stdout } = await instance.qward(['drill', 'web'], { uid: 65_534 });
    assert.notEqual(status, 0);
    assert.equal(stdout, '');
  });

  test('no process, directory, mount or cgroup of a drill is left', () => {
    assertNothingLeft();
  });

  test('a manager that is killed in the middle of a drill leaves nothing, and the machine starts', async () => {
    const drilling = instance.qward(['drill', 'web']);
    const { base, count } = instance.uidRange;
    while (processesOfUids(base, count).length === 0) await delay(2);
    process.kill(instance.daemon('manager'), 'SIGKILL');
    assert.notEqual((await drilling).status, 0);
    await instance.up();
    assertNothingLeft();
    await start(instance, 'web');
    assert.equal((await instance.qward(['kill', 'web'])).status, 0);
  });

  function assertNothingLeft(): void {
    const { uidRange, managerUid, paths } = instance;
    assert.deepEqual(processesOfUids(uidRange.base, uidRange.count), []);
    assert.deepEqual(processesOfUids(managerUid, 1), [instance.daemon('manager')]);
    assert.deepEqual(traces(instance), []);
    assert.equal(existsSync(`${paths.managerState}/drill`), false);
  }
});
