/** Daemons replaced by those of another version while machines run: in two builds of the real programs, file by file as dpkg does it. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { isAlive, startTimeOf } from '../../src/linux/process.ts';
import type { BrokerStatus, LaunchedMachine } from '../../src/protocol/broker.ts';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { version } from '../../src/protocol/version.ts';
import {
  askBroker,
  exchangeOn,
  makeTestSite,
  removeTestSite,
  testManagerUid,
  traces,
} from '../support/broker.ts';
import { checkout } from '../support/checkout.ts';
import { demoMachine } from '../support/demo-machine.ts';
import { run, startInstance, type CommandOutcome, type Instance } from '../support/instance.ts';
import {
  consoleShows,
  define,
  defineAndStart,
  faultsOf,
  gone,
  granted,
  reach,
  rememberNoKvm,
  smallMachine,
  start,
  statusOf,
} from '../support/small-machine.ts';
import { testLaunch } from '../support/test-launch.ts';

const newVersion = '9.9.9';
const directory = mkdtempSync(join(tmpdir(), 'qward-upgrade-'));
const builds = { old: join(directory, 'old'), next: join(directory, 'next'), far: join(directory, 'far') };
const installed = join(directory, 'installed');

/** Builds the sources with these texts replaced, by file. */
function buildAltered(
  into: string,
  changes: Readonly<Record<string, readonly [from: string, to: string]>>,
): void {
  const sources = `${into}-sources`;
  for (const part of ['src', 'scripts', 'resources', 'package.json'])
    cpSync(join(checkout, part), join(sources, part), { recursive: true });
  symlinkSync(join(checkout, 'node_modules'), join(sources, 'node_modules'));
  for (const [file, [from, to]] of Object.entries(changes)) {
    const text = readFileSync(join(sources, file), 'utf8');
    assert.ok(text.includes(from), `${from} in ${file}`);
    writeFileSync(join(sources, file), text.replace(from, to));
  }
  execFileSync(process.execPath, ['scripts/build.ts', into], { cwd: sources, stdio: 'ignore' });
}

before(() => {
  chmodSync(directory, 0o755);
  const otherVersion = { 'src/protocol/version.ts': [`'${version}'`, `'${newVersion}'`] } as const;
  const otherProtocol = {
    'src/protocol/broker.ts': ['protocolVersion = 1 ', 'protocolVersion = 2 '],
  } as const;
  buildAltered(builds.old, {});
  buildAltered(builds.next, otherVersion);
  buildAltered(builds.far, { ...otherVersion, ...otherProtocol });
});
after(() => rmSync(directory, { recursive: true }));

/** Puts each file of the build in place of the installed one, as dpkg does: written beside it, and renamed. */
function install(build: keyof typeof builds): void {
  if (!existsSync(installed)) cpSync(builds[build], installed, { recursive: true });
  for (const file of readdirSync(builds[build]).filter((name) => name.endsWith('.js'))) {
    cpSync(join(builds[build], file), join(installed, `${file}.dpkg-new`));
    renameSync(join(installed, `${file}.dpkg-new`), join(installed, file));
  }
}

function qward(instance: Instance, ...words: readonly string[]): Promise<CommandOutcome> {
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', join(installed, 'qward.js')];
  const places = words[0] === 'host' ? instance.hostFlags : [];
  return run([...program, ...words, ...places], instance.environment);
}

async function up(instance: Instance): Promise<void> {
  const { status, stderr } = await qward(instance, 'host', 'up');
  assert.equal(status, 0, stderr);
}

/** Ends a daemon as a service manager does. */
async function end(pid: number): Promise<void> {
  const startTime = startTimeOf(pid) ?? 0;
  process.kill(pid, 'SIGTERM');
  await gone(pid, startTime);
}

async function brokerCheck(instance: Instance): Promise<{ state: string; found: string; cure: string }> {
  rememberNoKvm(instance);
  const check = granted(await instance.client.call('doctor')).checks.find((one) => one.check === 'broker');
  assert.ok(check !== undefined);
  return check;
}

/** Pid and start time of what runs: the same as long as nobody touched it. */
async function running(instance: Instance, names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    const { pid } = await reach(instance, name, ['running', 'paused']);
    found.push(`${name} ${pid} ${startTimeOf(pid ?? 0)}`);
  }
  return found;
}

test('manager, then broker, are replaced by newer ones and back: machines run on, with consoles, states and ends', async () => {
  install('old');
  await using instance = await startInstance({ down: true });
  await up(instance);
  await define(instance, demoMachine({ name: 'guest', guest: instance.guest, memory: '96MiB' }));
  await start(instance, 'guest');
  for (const name of ['one', 'two']) await defineAndStart(instance, name);
  await define(instance, smallMachine('held'));
  granted(await instance.client.call('start', { name: 'held', paused: true }));
  await consoleShows(instance, 'guest', /qward-demo: ready/);
  const names = ['guest', 'one', 'two', 'held'];
  const untouched = await running(instance, names);

  for (const [build, expected, other] of [
    ['next', newVersion, version],
    ['old', version, newVersion],
  ] as const) {
    install(build);
    await end(instance.daemon('manager'));
    await up(instance);
    assert.deepEqual(await running(instance, names), untouched);
    assert.equal((await statusOf(instance, 'held')).state, 'paused');
    const { state, found, cure } = await brokerCheck(instance);
    assert.deepEqual([state, found], ['degraded', `it is of version ${other}, the manager of ${expected}`]);
    assert.match(cure, /systemctl restart qward-broker qward-manager/);
    // The two of different versions work together meanwhile: their protocol is the same.
    granted(await instance.client.call('kill', { name: 'two' }));
    await start(instance, 'two');
    await end(instance.daemon('broker'));
    await up(instance);
    assert.deepEqual(await brokerCheck(instance), {
      check: 'broker',
      state: 'ok',
      found: `version ${expected}`,
      cure: '',
    });
    assert.deepEqual((await running(instance, names)).slice(0, 2), untouched.slice(0, 2));
    untouched.splice(2, 1, ...(await running(instance, ['two'])));
  }
  await consoleShows(instance, 'guest', /qward-demo: ready/);
  assert.equal(granted(await instance.client.call('stop', { name: 'guest' })).outcome, 'shut down');
  for (const name of ['one', 'two', 'held']) granted(await instance.client.call('kill', { name }));
  assert.deepEqual(traces(instance), []);
});

test('a manager whose broker speaks another protocol says so at once, with the cure, and takes over after it', async () => {
  install('old');
  await using instance = await startInstance({ down: true });
  await up(instance);
  const pid = await defineAndStart(instance, 'one');
  const startTime = startTimeOf(pid);
  await define(instance, smallMachine('two'));

  for (const [build, broker, request] of [
    ['far', 1, 2],
    ['old', 2, 1],
  ] as const) {
    install(build);
    await end(instance.daemon('manager'));
    await up(instance);
    const begun = performance.now();
    const message = faultsOf(await instance.client.call('start', { name: 'two' }));
    assert.match(message, /^version-differs: the broker is of qward /m);
    assert.match(message, new RegExp(`speaks version ${broker} of its protocol; .* version ${request} of`));
    assert.ok(performance.now() - begun < 10_000, 'nothing hangs');
    const { state, found, cure } = await brokerCheck(instance);
    assert.equal(state, 'missing');
    assert.match(found, /of its protocol/);
    assert.match(cure, /host down --leave-machines/);
    assert.equal((await qward(instance, 'list')).status, 0);

    // The cure as it is told.
    const down = await qward(instance, 'host', 'down', '--leave-machines');
    assert.equal(down.status, 0, down.stderr);
    await up(instance);
    assert.equal((await reach(instance, 'one', ['running'])).pid, pid);
    assert.equal(startTimeOf(pid), startTime);
    await start(instance, 'two');
    granted(await instance.client.call('kill', { name: 'two' }));
  }
  granted(await instance.client.call('kill', { name: 'one' }));
  assert.deepEqual(traces(instance), []);
});

test('a broker that is started on demand gives way to the program that replaced its own after one more request', async () => {
  install('old');
  const site = makeTestSite();
  const { roots, paths, cgroupParent } = site;
  const own = ['--idle', '600', '--manager-uid', String(testManagerUid), '--cgroup-parent', cgroupParent];
  const places = ['--config-dir', roots.config, '--run-dir', roots.run, '--state-dir', roots.state];
  const program = [
    process.execPath,
    '--disable-warning=ExperimentalWarning',
    join(installed, 'qward-broker.js'),
  ];
  const activate = (): ReturnType<typeof spawn> =>
    spawn('systemd-socket-activate', ['-l', paths.brokerSocket, ...program, ...own, ...places], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
  const status = async (): Promise<BrokerStatus> => {
    const reply = await askBroker<BrokerStatus>(paths.brokerSocket, { v: 1, call: 'status' });
    assert.ok(reply.ok, JSON.stringify(reply));
    return reply.result;
  };
  let activator = activate();
  try {
    const launch = { v: 1, call: 'launch', launch: await testLaunch('one') } as const;
    const launched = await askBroker<LaunchedMachine>(paths.brokerSocket, launch);
    assert.ok(launched.ok, JSON.stringify(launched));
    assert.equal((await status()).version, version);
    const ended = once(activator, 'exit');
    // A connection from before the upgrade, with its request after it: it is still answered by whoever took it.
    const early = connect(paths.brokerSocket);
    await once(early, 'connect');
    install('next');
    const reply = await exchangeOn(early, encodeFrame({ v: 1, call: 'status' }));
    assert.match(String(reply), new RegExp(`"version":"${version}"`), 'what comes first is answered');
    const [code] = await ended;
    assert.equal(code, 0);

    rmSync(paths.brokerSocket);
    activator = activate();
    const after = await status();
    assert.equal(after.version, newVersion);
    assert.deepEqual(after.damaged, []);
    assert.deepEqual(
      after.machines.map(({ machine, alive }) => [machine, alive]),
      [['one', true]],
    );
    assert.ok(isAlive(launched.result.pid, launched.result.startTime));
    await askBroker(paths.brokerSocket, { v: 1, call: 'kill', machine: 'one' });
  } finally {
    activator.kill('SIGKILL');
    await removeTestSite(site);
  }
});
