/** Promise 1: where systemd holds the socket, the broker comes with the first request and goes when it has been idle. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { startTimeOf } from '../../src/linux/process.ts';
import type { LaunchedMachine } from '../../src/protocol/broker.ts';
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
