/** Promise 1 against a taken-over manager: what it asks the broker for beyond any machine. Needs root. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chownSync,
  existsSync,
  ftruncateSync,
  openSync,
  closeSync,
  mkdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { Means } from '../../src/broker/means.ts';
import type { BrokerContext } from '../../src/broker/context.ts';
import { openRecords } from '../../src/broker/records.ts';
import { endRecorded, runs, sweep } from '../../src/broker/sweep.ts';
import { findCgroupMounts } from '../../src/jail/cgroups.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import type { Descriptor } from '../../src/protocol/launch.ts';
import { makeTestSite, removeTestSite, startTestBroker, testManagerUid, traces } from '../support/broker.ts';
import { testLaunch } from '../support/test-launch.ts';

test('no target lies in another: through a link in it the mount point would be a file of the host', async () => {
  await using broker = await startTestBroker();
  const launch = await testLaunch('one');
  // Debian's /usr/bin/awk leads to /etc/alternatives.
  const nested = [
    { source: '/usr/bin', target: '/usr/bin' },
    { source: '/usr/bin/true', target: '/usr/bin/awk' },
  ];
  const root = [...launch.root.filter(({ target }) => !target.startsWith('/usr/bin/')), ...nested];
  for (const order of [root, root.toReversed()]) {
    const reply = await broker.ask({ v: 1, call: 'launch', launch: { ...launch, root: order } });
    assert.ok(!reply.ok && reply.refusals[0]?.code === 'policy-refused', JSON.stringify(reply));
  }
  const deep = { source: '/usr/bin/true', target: `/usr${'/d'.repeat(2000)}` };
  const reply = await broker.ask({
    v: 1,
    call: 'launch',
    launch: { ...launch, root: [...launch.root, deep] },
  });
  assert.ok(!reply.ok && reply.refusals[0]?.code === 'policy-refused');
  assert.deepEqual(traces(broker.site), []);
});

/** What the module prints, as JSON; it has mounts of its own and the directory, which is taken away again, as its argument. */
function inOwnMounts(script: string, directory: string): unknown {
  const node = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    '--input-type=module',
    '-e',
    script,
  ];
  const inside = 'mount --make-rprivate /; "$@"; status=$?; rmdir "$0"; exit $status';
  const outcome = spawnSync('unshare', ['--mount', '/bin/sh', '-c', inside, directory, ...node, directory], {
    encoding: 'utf8',
  });
  assert.equal(outcome.status, 0, outcome.stderr);
  return JSON.parse(outcome.stdout);
}

test('a tree of nested targets reaches no place of the host, even where policy let it through', () => {
  const script = `
    import { readFileSync } from 'node:fs';
    import { openJailRoots } from '${new URL('../../src/broker/jail-root.ts', import.meta.url).pathname}';
    const roots = openJailRoots(process.argv[1]);
    const nested = [{ source: '/usr/bin', target: '/usr/bin' }, { source: '/usr/bin/true', target: '/usr/bin/awk' }];
    const opened = roots.open(nested);
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8').split('\\n').map((line) => line.split(' ')[4] ?? '');
    roots.close();
    console.log(JSON.stringify({ ok: opened.ok, outside: mounts.filter((path) => path.startsWith('/usr/bin')) }));
  `;
  const directory = `/run/qward-review-${process.pid}`;
  assert.deepEqual(inOwnMounts(script, directory), { ok: true, outside: [] });
  assert.ok(!existsSync(directory));
});

test('copies of files in memory are bounded for a launch as a whole', async () => {
  await using broker = await startTestBroker();
  const path = `${broker.site.paths.vars}/sparse`;
  // Its owner may not read it, so no machine can have it as its own: it is copied.
  const fd = openSync(path, 'w', 0o040);
  ftruncateSync(fd, 200 * 1024 * 1024);
  closeSync(fd);
  chownSync(path, testManagerUid, testManagerUid);
  const copies = Array.from({ length: 12 }, (): Descriptor => ({
    kind: 'file',
    path,
    access: 'ro',
    claimant: null,
    reopened: true,
  }));
  const launch = await testLaunch('one', copies);
  const reply = await broker.ask({ v: 1, call: 'launch', launch });
  assert.ok(!reply.ok, 'two gigabytes of host memory were taken');
  const copied = copies.length - reply.refusals.length;
  assert.equal(copied, 2);
  assert.deepEqual(traces(broker.site), []);
});

test(
  'a peer that neither takes its answer nor closes loses its connection',
  { timeout: 30_000 },
  async () => {
    await using broker = await startTestBroker();
    const path = broker.site.paths.brokerSocket;
    const socket = connect({ path, allowHalfOpen: true });
    socket.pause();
    socket.write(encodeFrame({ v: 1, call: 'status' }));
    await untilConnections(path, 1);
    await untilConnections(path, 0);
    socket.destroy();
  },
);

/** The kernel's table shows, beside the listening socket, each accepted one with the path of the broker's. */
async function untilConnections(path: string, wanted: number): Promise<void> {
  const count = (): number =>
    readFileSync('/proc/net/unix', 'utf8')
      .split('\n')
      .filter((line) => line.endsWith(` ${path}`)).length - 1;
  while (count() !== wanted) await delay(20);
}

test('a machine named as a file of its cgroup hierarchy leaves the broker able to start', async () => {
  await using broker = await startTestBroker();
  const reply = await broker.ask({ v: 1, call: 'launch', launch: await testLaunch('tasks') });
  assert.ok(reply.ok || reply.refusals[0]?.code !== 'internal', JSON.stringify(reply));
  const record = { version: 1, machine: 'tasks', phase: 'launching', launch: {} };
  writeFileSync(`${broker.site.paths.brokerRun}/machines/tasks.json`, JSON.stringify(record));
  await broker.kill();
  broker.restart();
  assert.ok((await broker.ask({ v: 1, call: 'status' })).ok);
  await broker.ask({ v: 1, call: 'kill', machine: 'tasks' });
  assert.deepEqual(traces(broker.site), []);
});

test("a launch's root stays while hooks, each with a root of its own, are launched beside it", () => {
  const directory = `/run/qward-review-roots-${process.pid}`;
  const script = `
    import { existsSync } from 'node:fs';
    import { openJailRoots } from '${new URL('../../src/broker/jail-root.ts', import.meta.url).pathname}';
    const roots = openJailRoots(process.argv[1]);
    const open = (target) => roots.open([{ source: '/usr/bin/true', target }]).directory;
    const qemu = open('/usr/bin/qemu');
    const lost = [];
    for (let hook = 0; hook < 40; hook += 1) {
      open('/hook' + hook);
      if (!existsSync(qemu + '/usr/bin/qemu')) lost.push(hook);
      open('/usr/bin/qemu');
    }
    roots.close();
    console.log(JSON.stringify({ lost }));
  `;
  assert.deepEqual(inOwnMounts(script, directory), { lost: [] });
});

test('a machine whose record is lost is seen and ended where it was launched, also before a change to systemd', async () => {
  const site = makeTestSite();
  const cgroups = findCgroupMounts();
  const hierarchy = cgroups.mounts.find(({ path }) => existsSync(`${path}/cgroup.procs`))?.path ?? '';
  const cgroup = `${hierarchy}${site.cgroupParent}/web`;
  mkdirSync(cgroup, { recursive: true });
  const child = spawn('sleep', ['600'], { stdio: 'ignore' });
  try {
    const ended = once(child, 'exit');
    writeFileSync(`${cgroup}/cgroup.procs`, String(child.pid));
    const { paths, cgroupParent } = site;
    mkdirSync(`${paths.brokerRun}/machines`, { recursive: true });
    const records = openRecords(`${paths.brokerRun}/machines`);
    const means: Pick<Means, 'end' | 'removeDirectory'> = {
      end: (machine, record) => endRecorded(context, machine, record),
      removeDirectory: () => undefined,
    };
    const places = { paths, cgroupParent, scopeBase: '', logDirectory: null };
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what looking and sweeping need
    const context = { ...places, cgroups, records, means, scopes: true } as unknown as BrokerContext;
    assert.ok(runs(context, 'web'), 'it would be started a second time, with the same disks and uid');
    assert.ok(await sweep(context, 'web'));
    await ended;
    assert.ok(!runs(context, 'web'));
    assert.ok(!existsSync(cgroup));
  } finally {
    child.kill('SIGKILL');
    await removeTestSite(site);
  }
});
