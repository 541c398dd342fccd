/**
 * Promise 1: a taken-over manager, or a local user, cannot push what was done out of the broker's own logs by being refused without
 * end, and every kind of refusal is in them. Needs root.
 */
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeFrame } from '../../src/protocol/frame.ts';
import { exchange, startTestBroker } from '../support/broker.ts';
import { logLines, timesRefused, type LogLine } from '../support/broker-footprint.ts';
import { testLaunch } from '../support/test-launch.ts';

/** Each on a connection of its own, a few at once. */
async function flood(path: string, count: number, bytes: Buffer): Promise<void> {
  let left = count;
  const lane = async (): Promise<void> => {
    for (; left > 0;) {
      left -= 1;
      await exchange(path, bytes);
    }
  };
  await Promise.all(Array.from({ length: 12 }, lane));
}

/** Sends this and waits until the other side ends the connection, however it does. */
function endOf(socket: Socket, bytes: Buffer): Promise<void> {
  return new Promise((resolve) => {
    socket.on('error', () => undefined).once('close', () => resolve());
    socket.resume().write(bytes);
  });
}

const garbage = encodeFrame({ v: 1, call: 'exec', argv: ['/bin/sh'] });
const isProtocol = ({ refused }: LogLine): boolean => refused === 'protocol';

test(
  'after thousands of refusals a launch is in the log still, and they are counted',
  { timeout: 120_000 },
  async () => {
    await using broker = await startTestBroker();
    const { brokerSocket, claimsSocket, brokerState } = broker.site.paths;
    const launch = await testLaunch('web');
    assert.ok((await broker.ask({ v: 1, call: 'launch', launch })).ok);
    const greedy = encodeFrame({
      v: 1,
      call: 'launch',
      launch: { ...launch, machine: 'two', binary: '/bin/sh' },
    });
    await flood(brokerSocket, 5000, garbage);
    await flood(brokerSocket, 1000, greedy);
    await flood(claimsSocket, 5000, garbage);
    // Nor is the end of what never was.
    for (const call of ['kill', 'reap', 'forget', 'autostart-off'])
      await flood(brokerSocket, 1000, encodeFrame({ v: 1, call, machine: 'never' }));
    await flood(brokerSocket, 1000, encodeFrame({ v: 1, call: 'rename', machine: 'never', to: 'nowhere' }));
    // What is taken back where nothing is claimed is nothing that was done.
    await flood(claimsSocket, 1000, encodeFrame({ v: 1, call: 'unclaim', machine: 'web', paths: null }));
    // Nor is a claim of what the policy gives, however long its list.
    const files = Array.from({ length: 20 }, (_, at) => ({
      path: join(broker.site.paths.images, `${at}`),
      access: 'ro',
    }));
    await flood(claimsSocket, 200, encodeFrame({ v: 1, call: 'claim', machine: 'web', files }));
    assert.ok((await broker.ask({ v: 1, call: 'kill', machine: 'web' })).ok);
    await broker.stop();
    const lines = logLines(broker);
    assert.deepEqual(
      lines
        .filter(({ ok, idle }) => ok === true && idle !== true)
        .map(({ call, machine }) => `${call} ${machine}`),
      ['launch web', 'kill web'],
    );
    for (const idle of ['kill', 'reap', 'forget', 'autostart-off', 'rename'])
      assert.equal(
        timesRefused(lines, (line) => line.call === idle && line.idle === true),
        1000,
        idle,
      );
    assert.equal(timesRefused(lines, isProtocol), 5000);
    assert.equal(
      timesRefused(lines, ({ call, ok }) => call === 'launch' && ok === false),
      1000,
    );
    for (const log of ['broker', 'claims'])
      assert.ok(statSync(`${brokerState}/${log}.log`).size < 64 * 1024, `${log}.log was filled`);
    assert.match(
      readFileSync(`${brokerState}/claims.log`, 'utf8'),
      /"refused":"protocol","uid":0,"times":4980/,
    );
  },
);

test(
  'who is one too many, too slow or cut off is in the log, with the reason',
  { timeout: 60_000 },
  async () => {
    await using broker = await startTestBroker();
    const { brokerSocket } = broker.site.paths;
    const half = encodeFrame({ v: 1, call: 'status' }).subarray(0, 6);
    await Promise.all(Array.from({ length: 120 }, () => endOf(connect(brokerSocket), half)));
    const cut = connect({ path: brokerSocket, allowHalfOpen: true });
    const ended = endOf(cut, half);
    cut.end();
    await ended;
    await broker.stop();
    const lines = logLines(broker);
    const times = (kind: string): number => timesRefused(lines, ({ refused }) => refused === kind);
    assert.deepEqual(
      ['crowd', 'slow', 'protocol'].map(times),
      [8, 112, 1],
      'of one user 112 are heard at once',
    );
    for (const why of ['no more of this user fit', 'no whole request in time', 'cut off'])
      assert.ok(
        lines.some((line) => line.why === why),
        why,
      );
  },
);
