/** Promise 1: where systemd holds the socket, the broker comes with the first request and goes when it has been idle. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startTimeOf } from '../../src/linux/process.ts';
import type { BrokerStatus, LaunchedMachine } from '../../src/protocol/broker.ts';
import { askBroker, makeTestSite, removeTestSite, testManagerUid } from '../support/broker.ts';
import { testLaunch } from '../support/test-launch.ts';

const broker = fileURLToPath(new URL('../../src/broker/main.ts', import.meta.url));

test('the broker starts with the first request, ends when idle, and the machine goes on without it', async () => {
  const site = makeTestSite();
  const { roots, paths, cgroupParent } = site;
  const own = ['--idle', '1', '--manager-uid', String(testManagerUid), '--cgroup-parent', cgroupParent];
  const places = ['--config-dir', roots.config, '--run-dir', roots.run, '--state-dir', roots.state];
  const program = [process.execPath, '--disable-warning=ExperimentalWarning', broker, ...own, ...places];
  // systemd's own activator; it becomes the program when somebody connects (systemd-socket-activate(1)).
  const activator = spawn('systemd-socket-activate', ['-l', paths.brokerSocket, ...program], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(activator, 'exit');
  try {
    while (!existsSync(paths.brokerSocket)) await delay(5);
    chmodSync(paths.brokerSocket, 0o660);
    const { pid = 0 } = activator;
    assert.doesNotMatch(commandOf(pid), /broker/, 'nothing of qward runs before it is asked');
    const launched = await askBroker<LaunchedMachine>(paths.brokerSocket, {
      v: 1,
      call: 'launch',
      launch: await testLaunch('one'),
    });
    assert.ok(launched.ok, JSON.stringify(launched));
    assert.match(commandOf(pid), /broker/);
    const [status] = await ended;
    assert.equal(status, 0);
    assert.equal(startTimeOf(launched.result.pid), launched.result.startTime, 'the machine needs no broker');
    const mounts = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .filter((line) => line.includes(`${paths.brokerRun}/`));
    assert.deepEqual(mounts, [], 'the broker leaves no mount but the log and sockets of its machines');
  } finally {
    activator.kill('SIGKILL');
    await removeTestSite(site);
  }
});

/** The activator's own name, until it has become the broker. */
function commandOf(pid: number): string {
  return (
    readFileSync(`/proc/${pid}/comm`, 'utf8') +
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').slice(0, 1).join('')
  );
}

test('one broker serves both sockets, whichever it was started by, in whatever order they are handed over', async () => {
  for (const { names, listeners } of [
    { names: ['--fdname=claims:broker'], listeners: ['claimsSocket', 'brokerSocket'] },
    { names: [], listeners: ['brokerSocket', 'claimsSocket'] },
  ] as const) {
    const site = makeTestSite();
    const { roots, paths, cgroupParent } = site;
    const own = ['--idle', '1', '--manager-uid', String(testManagerUid), '--cgroup-parent', cgroupParent];
    const places = ['--config-dir', roots.config, '--run-dir', roots.run, '--state-dir', roots.state];
    const program = [process.execPath, '--disable-warning=ExperimentalWarning', broker, ...own, ...places];
    const sockets = listeners.flatMap((name) => ['-l', paths[name]]);
    const activator = spawn('systemd-socket-activate', [...sockets, ...names, ...program], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const ended = once(activator, 'exit');
    try {
      for (const path of [paths.brokerSocket, paths.claimsSocket]) while (!existsSync(path)) await delay(5);
      const claims = await askBroker(paths.claimsSocket, { v: 1, call: 'claims', machine: null });
      assert.deepEqual(claims, { ok: true, result: [] }, 'the first word, on the claims’ socket, starts it');
      const status = await askBroker<BrokerStatus>(paths.brokerSocket, { v: 1, call: 'status' });
      assert.ok(status.ok);
      assert.equal(status.result.pid, activator.pid);
      await assert.rejects(askBroker(paths.claimsSocket, { v: 1, call: 'status' }), /without an answer/);
      const [code] = await ended;
      assert.equal(code, 0, 'it ends when both are idle');
    } finally {
      activator.kill('SIGKILL');
      await removeTestSite(site);
    }
  }
});
