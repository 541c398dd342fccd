/**
 * Promise 2, rule QMP: what listens in QEMU's place with another uid is told nothing and believed nothing, and where it goes away the
 * machine is itself again. Here root put it there; no machine's uid can reach the directory. Needs root.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, chownSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { test } from 'node:test';
import { startInstance } from '../support/instance.ts';
import { defineAndStart, faultsOf, killProcess, reach, statusOf } from '../support/small-machine.ts';
import { greeting } from '../support/hostile-qmp-server.ts';

test('a listener in the place of the monitor hears no command and is no machine', async () => {
  await using instance = await startInstance();
  const pid = await defineAndStart(instance, 'one');
  const path = `${instance.paths.machines}/one/qmp.sock`;
  await killProcess(instance.daemon('manager'));
  renameSync(path, `${path}.kept`);
  let heard = '';
  const impostor = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (piece: Buffer) => (heard += piece.toString('latin1')));
    socket.write(greeting);
    socket.write('{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}\r\n');
  });
  const connected = once(impostor, 'connection', { signal: AbortSignal.timeout(60_000) });
  impostor.listen(path);
  await once(impostor, 'listening');
  chmodSync(path, 0o660);
  chownSync(path, 0, instance.managerUid);
  try {
    await instance.up();
    await connected;
    const status = await statusOf(instance, 'one');
    assert.deepEqual([status.state, status.pid], ['unreachable', pid]);
    const asked = await instance.client.call('qmp', { name: 'one', execute: 'query-status' });
    assert.match(faultsOf(asked), /machine-unreachable|does not answer|unreachable/);
    assert.equal(heard, '', 'not even the capabilities');
  } finally {
    impostor.close();
    rmSync(path, { force: true });
    renameSync(`${path}.kept`, path);
  }
  assert.equal((await reach(instance, 'one', ['running'])).pid, pid);
  assert.equal(heard, '');
});
