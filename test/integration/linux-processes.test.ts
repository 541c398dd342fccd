/** Processes by descriptor, sockets that another listens on, and the account database. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { after, test } from 'node:test';
import { accountNamed, accountOf, groupIdOf } from '../../src/linux/accounts.ts';
import { listenFds, namedListenFds } from '../../src/linux/listen-fds.ts';
import { peerCredentials } from '../../src/linux/peer-credentials.ts';
import { openPidfd, pidfdExit, signalPidfd } from '../../src/linux/pidfd.ts';
import { isAlive, processesOfUids, startTimeOf } from '../../src/linux/process.ts';
import { bindUnixSocket } from '../../src/linux/unix-socket.ts';

const directory = mkdtempSync('/tmp/qward-processes-');
after(() => rmSync(directory, { recursive: true }));

test('a process is known by pid and start time, found by uid, and its end is told where the kernel tells it', async () => {
  const uid = 1_879_113_000;
  const child = spawn('/usr/bin/sleep', ['60'], { uid, gid: uid });
  const pid = child.pid ?? 0;
  const startTime = startTimeOf(pid) ?? 0;
  const pidfd = openPidfd(pid);
  assert.ok(pidfd !== undefined);
  assert.ok(isAlive(pid, startTime));
  assert.ok(!isAlive(pid, startTime - 1));
  assert.deepEqual(processesOfUids(uid, 1), [pid]);
  assert.deepEqual(pidfdExit(pidfd), { known: false });
  assert.ok(signalPidfd(pidfd, 'SIGKILL'));
  await once(child, 'exit');
  assert.ok(!isAlive(pid, startTime));
  assert.ok(!signalPidfd(pidfd, 'SIGKILL'));
  const end = pidfdExit(pidfd);
  // Linux before 6.15 does not tell.
  if (end.known) assert.deepEqual(end, { known: true, signal: 'SIGKILL', exitCode: null });
  closeSync(pidfd);
});

test('there is no pidfd for a process that does not exist', () => {
  assert.equal(openPidfd(4_194_000), undefined);
});

test('a bound socket has its mode at once, refuses until somebody listens, and shows who listens', async () => {
  const path = `${directory}/s.sock`;
  const fd = bindUnixSocket(path, 0o660);
  assert.equal(statSync(path).mode & 0o777, 0o660);
  const early = connect(path);
  const [refused] = await once(early, 'error');
  assert.match(String(refused), /ECONNREFUSED/);
  const server = createServer().listen({ fd });
  await once(server, 'listening');
  const client = connect(path);
  await once(client, 'connect');
  assert.deepEqual(peerCredentials(client), { pid: process.pid, uid: 0, gid: 0 });
  client.destroy();
  server.close();
});

test('a path too long for a socket is refused before the kernel cuts it', () => {
  assert.throws(() => bindUnixSocket(`${directory}/${'x'.repeat(100)}`, 0o600), RangeError);
});

test('accounts and groups come from the system database', () => {
  assert.equal(accountOf(0)?.name, 'root');
  assert.equal(accountNamed('root')?.uid, 0);
  assert.ok(accountOf(0)?.groups.includes(0));
  assert.equal(accountOf(4_000_000_000), undefined);
  assert.equal(groupIdOf('root'), 0);
  assert.equal(groupIdOf('no-such-group'), undefined);
});

test('inherited sockets are taken only where they are meant for this process', () => {
  const environment = { LISTEN_FDS: '2', LISTEN_PID: '42' };
  assert.deepEqual(listenFds(environment, 42), [3, 4]);
  assert.deepEqual(environment, {});
  assert.deepEqual(listenFds({ LISTEN_FDS: '1', LISTEN_PID: '41' }, 42), []);
  assert.deepEqual(listenFds({ LISTEN_FDS: '-1', LISTEN_PID: '42' }, 42), []);
});

test('inherited sockets are told apart by their names, and by their order where the service manager made names up', () => {
  const names = ['broker', 'claims'];
  const told = (count: number, given?: string): object => {
    const environment = {
      LISTEN_FDS: String(count),
      LISTEN_PID: '42',
      ...(given === undefined ? {} : { LISTEN_FDNAMES: given }),
    };
    return Object.fromEntries(namedListenFds(environment, 42, names));
  };
  assert.deepEqual(told(2, 'claims:broker'), { claims: 3, broker: 4 });
  assert.deepEqual(told(2), { broker: 3, claims: 4 });
  assert.deepEqual(told(2, 'a.socket:b.socket'), { broker: 3, claims: 4 });
  assert.deepEqual(told(1), { broker: 3 });
  assert.deepEqual(told(1, 'claims'), { claims: 3 });
  assert.deepEqual(told(0), {});
  for (const given of ['broker:broker', 'claims:other', 'broker'])
    assert.throws(() => told(2, given), /broker and claims expected/);
});

test('what a process was left with is not passed on, but for what it passes itself', () => {
  const script = `
    import { spawnSync } from 'node:child_process';
    import { keepDescriptorsFrom } from '${new URL('../../src/linux/close-on-exec.ts', import.meta.url).pathname}';
    const list = () => spawnSync('/bin/ls', ['/proc/self/fd'], { stdio: ['ignore', 'pipe', 'inherit', 40] }).stdout;
    const before = String(list()).split('\\n');
    keepDescriptorsFrom(3);
    process.stdout.write(JSON.stringify([before, String(list()).split('\\n')]));`;
  const { stdout } = spawnSync(
    '/bin/bash',
    ['-c', 'exec 40</dev/null; exec "$@"', 'sh', process.execPath, '--input-type=module', '-e', script],
    { encoding: 'utf8', timeout: 20_000 },
  );
  const [before, after] = JSON.parse(stdout) as [string[], string[]];
  // Node itself keeps the first 16 from its children, and no others.
  assert.ok(before.includes('40'), 'there is one to be passed on');
  // 4 is the directory that ls reads.
  assert.deepEqual(after, ['0', '1', '2', '3', '4', '']);
});
