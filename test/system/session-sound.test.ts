/** The sound of a session's machine, played by the PulseAudio server of its user: one socket, shown, and no other wall lower. */
import assert from 'node:assert/strict';
import { spawn, execFileSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { after, before, test } from 'node:test';
import type { AuditReport } from '../../src/audit/report.ts';
import { sessionUser } from '../support/session.ts';

const user = await sessionUser({ runtime: true });
after(() => user[Symbol.asyncDispose]());
const socket = join(user.environment['XDG_RUNTIME_DIR'] ?? '', 'pulse/native');
let server: ChildProcess;

const asUser = (...words: readonly string[]): string =>
  execFileSync(user.asUser[0] ?? '', [...user.asUser.slice(1), ...words], {
    encoding: 'utf8',
    env: user.environment,
    timeout: 20_000,
  });

before(async () => {
  const words =
    '--daemonize=no --exit-idle-time=-1 -n --load=module-null-sink --load=module-native-protocol-unix';
  server = spawn(user.asUser[0] ?? '', [...user.asUser.slice(1), 'pulseaudio', ...words.split(' ')], {
    env: user.environment,
    stdio: 'ignore',
  });
  for (const giveUpAt = performance.now() + 20_000; !existsSync(socket); await delay(50))
    if (performance.now() > giveUpAt) throw new Error('no server of sound came');
});
after(() => void server.kill('SIGKILL'));

async function done(words: string): Promise<string> {
  const { status, stdout, stderr } = await user.qward(words.split(' '));
  assert.equal(status, 0, stderr + stdout);
  return stdout.trim();
}

test('a machine is a client of the server of its user, by one socket that explain and audit show', async () => {
  const more = `sound: { model: ich9, server: ${socket} }`;
  const defined = await user.define({ name: 'desk', more });
  assert.equal(defined.status, 0, defined.stderr);
  assert.match(await done('doctor'), /ok +sound +by a server of yours/);
  const explained = await done('explain desk');
  assert.match(explained.replaceAll(/\s+/g, ' '), /sound\.server: at its own path/);
  await done('start desk');
  for (const streams of ['sink-inputs', 'source-outputs'])
    assert.match(asUser('pactl', 'list', 'short', streams), /s16le 2ch 44100Hz/, streams);
  assert.match(
    asUser('pactl', 'list', 'clients'),
    /application\.name = "desk|application\.process\.binary = "qemu/,
  );
  const report = JSON.parse(await done('audit desk --json')) as AuditReport;
  assert.ok(report.ok, JSON.stringify(report.rows.filter(({ verdict }) => verdict === 'differs')));
  assert.match(await done('status desk'), /socket \S*pulse\/native, syscall futex/);
  // Its end is nothing to the machine.
  server.kill('SIGKILL');
  await once(server, 'exit');
  await delay(500);
  assert.match(await done('status desk'), /running/);
  await done('audit desk');
  await done('kill desk');
  // In a jail that shows the socket.
  const drill = JSON.parse(await done('drill desk --json')) as { readonly ok: boolean };
  assert.equal(drill.ok, true);
});

test('a server that is another user’s, or no server of sound, is not a session’s to give', async () => {
  for (const path of ['/run/dbus/system_bus_socket', '/run/user/0/pulse/native']) {
    const name = path.includes('dbus') ? 'bus' : 'other';
    const defined = await user.define({ name, more: `sound: { model: ich9, server: ${path} }` });
    const started = defined.status === 0 ? await user.qward(['start', name]) : defined;
    assert.notEqual(started.status, 0);
    assert.match(started.stderr, /not a socket|did not claim|not yours|cannot/, path);
  }
});
