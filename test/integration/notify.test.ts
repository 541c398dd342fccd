/** What is told to the service manager, on a real datagram socket: sd_notify(3). */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { closeSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { asManager } from '../../src/host/daemons.ts';
import { bindSockets } from '../../src/host/up.ts';
import { createNotifier } from '../../src/linux/notify.ts';
import { makeTestSite, removeTestSite } from '../support/broker.ts';

/** Prints a line when it is bound, and one for each datagram, its own line ends as "|". */
const receiver = String.raw`
use Socket; $| = 1; umask 0;
socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
(my $name = $ARGV[0]) =~ s/^@/\0/;
bind($s, $name =~ /^\0/ ? pack("S a*", AF_UNIX, $name) : sockaddr_un($name)) or die $!;
print "bound\n";
while (defined recv($s, my $text, 65536, 0)) { $text =~ s/\n/|/g; print "$text\n" }`;

class ServiceManager implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(child: ChildProcess, lines: AsyncIterator<string>) {
    this.#child = child;
    this.#lines = lines;
  }

  static async listen(address: string): Promise<ServiceManager> {
    const child = spawn('perl', ['-e', receiver, address], { stdio: ['ignore', 'pipe', 'inherit'] });
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const manager = new ServiceManager(child, lines);
    assert.equal(await manager.next(), 'bound');
    return manager;
  }

  async next(): Promise<string> {
    return String((await this.#lines.next()).value);
  }

  /** The next datagram that is like this. */
  async until(pattern: RegExp): Promise<string> {
    for (;;) {
      const line = await this.next();
      assert.notEqual(line, 'undefined', `no ${pattern} came`);
      if (pattern.test(line)) return line;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL');
    if (this.#child.exitCode === null && this.#child.signalCode === null) await once(this.#child, 'exit');
  }
}

test('what is told arrives in one datagram, at a path and in the abstract namespace', async () => {
  const site = makeTestSite();
  try {
    for (const address of [`${site.roots.run}/notify`, `@qward-test-${randomBytes(6).toString('hex')}`]) {
      await using receiving = await ServiceManager.listen(address);
      const environment = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '3000000', PATH: '/bin' };
      const notifier = createNotifier(environment, 5);
      assert.deepEqual(environment, { PATH: '/bin' }, 'no program started later speaks for this one');
      assert.equal(notifier.watchdogMs, 3000);
      notifier.tell('READY=1', 'STATUS=two\nlines');
      assert.equal(await receiving.next(), 'READY=1|STATUS=two lines');
    }
  } finally {
    await removeTestSite(site);
  }
});

test('where nobody listens nothing is told, and nothing fails', () => {
  const absent = ['/nonexistent/notify', '@qward-test-nobody', 'vsock:2:1', '', `/${'x'.repeat(200)}`];
  for (const address of absent) createNotifier({ NOTIFY_SOCKET: address }, 5).tell('READY=1');
  assert.equal(createNotifier({ WATCHDOG_USEC: '3000000' }, 5).watchdogMs, undefined);
});

test('a watchdog that is meant for another process is none', () => {
  const environment = { NOTIFY_SOCKET: '/nonexistent', WATCHDOG_USEC: '3000000', WATCHDOG_PID: '6' };
  assert.equal(createNotifier(environment, 5).watchdogMs, undefined);
});

test('the manager says that it is ready, that its loop turns, that it reloads, and that it ends', async () => {
  const site = makeTestSite();
  const address = `${site.roots.run}/notify`;
  await using receiving = await ServiceManager.listen(address);
  const { config, run, state } = site.roots;
  const program = fileURLToPath(new URL('../../src/manager/main.ts', import.meta.url));
  const places = ['--config-dir', config, '--run-dir', run, '--state-dir', state];
  const [setpriv = '', ...flags] = asManager(site);
  const shell = ['/bin/sh', '-c', 'LISTEN_PID=$$ exec "$@"', 'sh'];
  const node = [...shell, process.execPath, '--disable-warning=ExperimentalWarning', program, ...places];
  const env = { NOTIFY_SOCKET: address, WATCHDOG_USEC: '400000', LISTEN_FDS: '1', PATH: '/usr/bin:/bin' };
  const { api = -1 } = bindSockets('manager', site);
  const manager = spawn(setpriv, [...flags, ...node], { env, stdio: ['ignore', 'ignore', 'ignore', api] });
  closeSync(api);
  const ended = once(manager, 'exit');
  // Where it ends early, nobody waits for more.
  void ended.then(() => receiving[Symbol.asyncDispose]());
  try {
    // There is no broker: what runs is not known yet, and the API answers all the same.
    assert.match(await receiving.until(/READY=1/), /^READY=1\|STATUS=0 of 0 machines run$/);
    await receiving.until(/^WATCHDOG=1\|/);
    await receiving.until(/^WATCHDOG=1\|/);
    manager.kill('SIGHUP');
    assert.match(await receiving.until(/RELOADING/), /^RELOADING=1\|MONOTONIC_USEC=\d+$/);
    await receiving.until(/^READY=1\|STATUS=/);
    manager.kill('SIGTERM');
    await receiving.until(/^STOPPING=1$/);
    assert.deepEqual(await ended, [0, null]);
  } finally {
    manager.kill('SIGKILL');
    await removeTestSite(site);
  }
});
