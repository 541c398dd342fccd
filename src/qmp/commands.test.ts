import assert from 'node:assert/strict';
import { duplexPair } from 'node:stream';
import { type TestContext, test } from 'node:test';
import { commands } from './commands.ts';
import { QmpSession } from './session.ts';

interface Sent {
  readonly execute: string;
  readonly id: string;
  readonly arguments?: unknown;
}

/** A session whose QEMU answers every command with `value`, and what it was sent. */
async function answering(t: TestContext, value: unknown): Promise<{ session: QmpSession; sent: Sent[] }> {
  const [ours, theirs] = duplexPair();
  const sent: Sent[] = [];
  theirs.on('data', (chunk: Buffer) => {
    const command = JSON.parse(chunk.toString('utf8')) as Sent;
    if (command.execute !== 'qmp_capabilities') sent.push(command);
    theirs.write(`${JSON.stringify({ return: value, id: command.id })}\n`);
  });
  theirs.write('{"QMP":{"version":{"qemu":{"micro":0,"minor":2,"major":7}}}}\n');
  const opened = await QmpSession.open(ours, { greetingTimeoutMs: 2_000 });
  assert.ok(opened.ok);
  t.after(() => opened.session[Symbol.asyncDispose]());
  return { session: opened.session, sent };
}

test('each command has the arguments of QEMU’s schema', async (t) => {
  const { session, sent } = await answering(t, {});
  await commands.cont(session);
  await commands.removeFd(session, { set: 3 });
  await commands.balloon(session, { bytes: 1024 });
  await commands.setLink(session, { id: 'nic0', up: false });
  await commands.setIoLimits(session, { id: 'disk0', bps: 1, iops: 2 });
  await commands.setGroupIoLimits(session, { group: 'limits-root', bps: 1, iops: 2 });
  await commands.humanMonitor(session, { line: 'info block' });
  assert.deepEqual(
    sent.map((command) => [command.execute, command.arguments]),
    [
      ['cont', undefined],
      ['remove-fd', { 'fdset-id': 3 }],
      ['balloon', { value: 1024 }],
      ['set_link', { name: 'nic0', up: false }],
      [
        'block_set_io_throttle',
        { id: 'disk0', bps: 1, bps_rd: 0, bps_wr: 0, iops: 2, iops_rd: 0, iops_wr: 0 },
      ],
      [
        'qom-set',
        { path: '/objects/limits-root', property: 'limits', value: { 'bps-total': 1, 'iops-total': 2 } },
      ],
      ['human-monitor-command', { 'command-line': 'info block' }],
    ],
  );
});

test('answers of QEMU 7.2 are read', async (t) => {
  const status = { status: 'prelaunch', singlestep: false, running: false };
  assert.deepEqual(await commands.queryStatus((await answering(t, status)).session), {
    ok: true,
    value: { status: 'prelaunch', running: false },
  });
  const sets = [{ 'fdset-id': 1, fds: [{ fd: 11, opaque: 'ro' }, { fd: 12 }] }];
  assert.deepEqual(await commands.queryFdsets((await answering(t, sets)).session), {
    ok: true,
    value: [{ id: 1, descriptors: [11, 12] }],
  });
  const blocks = [
    {
      device: '',
      qdev: '/machine/x',
      'io-status': 'ok',
      inserted: { 'node-name': 'root', ro: false, image: { 'virtual-size': 512 } },
    },
    { device: 'cd', removable: true, tray_open: false },
  ];
  assert.deepEqual(await commands.queryBlock((await answering(t, blocks)).session), {
    ok: true,
    value: [
      {
        device: '/machine/x',
        tray: false,
        trayOpen: false,
        locked: false,
        ioStatus: 'ok',
        nodeName: 'root',
        readonly: false,
        size: 512,
      },
      {
        device: 'cd',
        tray: true,
        trayOpen: false,
        locked: false,
        ioStatus: null,
        nodeName: null,
        readonly: false,
        size: null,
      },
    ],
  });
  const nodes = [{ 'node-name': 'a', drv: 'raw' }, { 'node-name': 'b' }];
  assert.deepEqual(await commands.queryBlockNodeNames((await answering(t, nodes)).session), {
    ok: true,
    value: ['a', 'b'],
  });
  const cpus = [{ 'cpu-index': 0 }, { 'cpu-index': 1 }];
  assert.deepEqual(await commands.queryVcpuCount((await answering(t, cpus)).session), { ok: true, value: 2 });
  assert.deepEqual(
    await commands.humanMonitor((await answering(t, 'a\r\n\tb\u001b]0;c')).session, { line: 'x' }),
    { ok: true, value: 'a\n\tb\ufffd]0;c' },
  );
});

test('an answer of another form is malformed, and the session goes on', async (t) => {
  for (const value of [null, 7, 'running', [], [null], [{}], { status: 'dancing', running: true }]) {
    const { session } = await answering(t, value);
    const results = [await commands.queryStatus(session)];
    if (!Array.isArray(value) || value.length > 0) {
      const lists = [
        commands.queryFdsets,
        commands.queryBlock,
        commands.queryBlockNodeNames,
        commands.queryVcpuCount,
      ];
      for (const command of lists) {
        const result = await command(session);
        assert.equal(result.ok || result.code, 'malformed', JSON.stringify(value));
      }
    }
    for (const result of results) assert.equal(result.ok || result.code, 'malformed', JSON.stringify(value));
    assert.equal(session.endReason, undefined);
  }
});
