/** Promise 1: the broker's socket against a client that is not the manager, or is one that was taken over. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import { connect } from 'node:net';
import { test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { encodeFrame, maxRequestBytes } from '../../src/protocol/frame.ts';
import { brokerLog, exchange, startTestBroker, testManagerUid, traces } from '../support/broker.ts';

test('what is no request ends the connection unanswered, is logged, and leaves the broker at work', async () => {
  await using broker = await startTestBroker();
  const path = broker.site.paths.brokerSocket;
  const descriptors = (): number => readdirSync(`/proc/${broker.pid}/fd`).length;
  const before = descriptors();
  const length = (bytes: number): Buffer => {
    const header = Buffer.alloc(4);
    header.writeUInt32BE(bytes);
    return header;
  };
  for (const bytes of [
    length(maxRequestBytes + 1),
    length(0xffff_ffff),
    Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    encodeFrame({ v: 1, call: 'exec' }),
    encodeFrame({ v: 1, call: 'status', x: 1 }),
    encodeFrame([]),
    Buffer.concat([length(3), Buffer.from('{"v')]),
    Buffer.concat([length(2), Buffer.from([0xff, 0xfe])]),
    Buffer.concat([encodeFrame({ v: 1, call: 'status' }), Buffer.from('more')]),
    encodeFrame({ v: 1, call: 'kill', machine: '../etc' }),
  ]) {
    assert.equal(await exchange(path, bytes), undefined, bytes.subarray(0, 40).toString('latin1'));
  }
  assert.ok((await broker.ask({ v: 1, call: 'status' })).ok);
  // The broker sees the end of the last connection a moment after us.
  for (let left = 100; left > 0 && descriptors() > before; left -= 1) await delay(20);
  assert.ok(descriptors() <= before, 'no descriptor is left');
  assert.match(brokerLog(broker.site), /"refused":"protocol"/);
  assert.deepEqual(traces(broker.site), []);
});

test('a client that announces much and sends nothing is not waited for and holds up nobody', async () => {
  await using broker = await startTestBroker();
  const slow = Array.from({ length: 40 }, () =>
    connect(broker.site.paths.brokerSocket).on('error', () => undefined),
  );
  for (const socket of slow) socket.write(Buffer.from([0, 0, 1, 0]));
  assert.ok((await broker.ask({ v: 1, call: 'status' })).ok);
  for (const socket of slow) socket.destroy();
});

test('another uid is refused by the mode of the socket, and by its credentials where it gets past the mode', async () => {
  await using broker = await startTestBroker();
  const path = broker.site.paths.brokerSocket;
  assert.equal(statSync(path).mode & 0o777, 0o660);
  const ask = `
    const socket = require('node:net').connect(${JSON.stringify(path)});
    const body = Buffer.from('{"v":1,"call":"status"}'); const length = Buffer.alloc(4); length.writeUInt32BE(body.length);
    socket.on('error', (error) => { console.log(error.code); process.exit(); });
    socket.on('data', () => { console.log('answered'); process.exit(); });
    socket.on('close', () => console.log('closed'));
    socket.write(Buffer.concat([length, body]));`;
  const as = (uid: number, gid: number): string =>
    spawnSync(
      'setpriv',
      [`--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', process.execPath, '-e', ask],
      { encoding: 'utf8' },
    ).stdout.trim();
  assert.equal(as(1_879_300_000, 1_879_300_000), 'EACCES');
  assert.match(as(1_879_300_000, testManagerUid), /^(closed|ECONNRESET|EPIPE)$/);
  assert.equal(as(testManagerUid, testManagerUid), 'answered');
});

test('processes that are no QEMU are not looked into', async () => {
  await using broker = await startTestBroker();
  const reply = await broker.ask({ v: 1, call: 'inspect-pid', pid: process.pid });
  assert.ok(!reply.ok && reply.refusals[0]?.code === 'broker-refused');
  assert.ok(!(await broker.ask({ v: 1, call: 'inspect-pid', pid: 4_194_000 })).ok);
});
