/**
 * Promises 1 and 6: which USB device a machine gets, the policy says and the kernel tells; nodes are made up here, as this host has no
 * such device. With one: lab/suites/usb.long.test.ts.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { LaunchRecord } from '../../src/broker/records.ts';
import { openUsbDevice } from '../../src/broker/usb-devices.ts';
import { startTimeOf } from '../../src/linux/process.ts';
import { startTestBroker } from '../support/broker.ts';
import { testLaunch } from '../support/test-launch.ts';

const root = mkdtempSync('/run/qward-usb-');
const node = join(root, 'dev/bus/usb/001/002');

before(() => {
  mkdirSync(join(root, 'sys/bus/usb/devices/1-1'), { recursive: true });
  mkdirSync(join(root, 'dev/bus/usb/001'), { recursive: true });
  tell('189:1');
});
after(() => rmSync(root, { recursive: true }));

function tell(dev: string): void {
  const files = { busnum: '1', devnum: '2', idVendor: '046d', idProduct: 'c52b', bDeviceClass: '00', dev };
  for (const [file, text] of Object.entries(files))
    writeFileSync(join(root, `sys/bus/usb/devices/1-1/${file}`), `${text}\n`);
}

function put(major: number, minor: number): void {
  rmSync(node, { force: true });
  execFileSync('mknod', [node, 'c', String(major), String(minor)]);
}

const refusal = (records: Parameters<typeof openUsbDevice>[1] = () => []): string => {
  const opened = openUsbDevice('1-1', records, root);
  if (typeof opened === 'number') closeSync(opened);
  return typeof opened === 'number' ? 'opened' : opened.message;
};

test('another device at the place of the node is not given, whatever sysfs says of it', () => {
  // Of root's: /dev/null and a disk, as if they had been put there between the look and the opening.
  for (const [major, minor] of [
    [1, 3],
    [1, 5],
  ] as const) {
    put(major, minor);
    for (const said of ['189:1', `${major}:${minor}`, '', '189:3']) {
      tell(said);
      assert.match(refusal(), /is not what \/dev\/bus\/usb\/001\/002 is/, said);
    }
  }
  rmSync(node);
  symlinkSync('/dev/null', node);
  assert.match(refusal(), /cannot be opened .*ELOOP/);
});

test('a device that a machine has open, or that is about to be given away, is nobody else’s', async () => {
  put(1, 3);
  tell('189:1');
  const held = openSync(node, 'r');
  try {
    assert.match(refusal(), /is with a machine that is being started/);
  } finally {
    closeSync(held);
  }
  const given = openSync(node, 'r');
  const child = spawn('sleep', ['60'], { stdio: [given, 'ignore', 'ignore'] });
  closeSync(given);
  try {
    await once(child, 'spawn');
    const { pid = 0 } = child;
    const record = { machine: 'other', pid, startTime: startTimeOf(pid) ?? 0 } as LaunchRecord;
    assert.match(
      refusal(() => [record]),
      /is with machine "other"/,
    );
    assert.doesNotMatch(
      refusal(() => [{ ...record, startTime: 1 }]),
      /other/,
    );
  } finally {
    child.kill();
  }
});

test('a request names no device that the policy does not, at a launch or later, and no node is opened', async () => {
  await using broker = await startTestBroker({
    relaxations: [{ relax: 'usb', to: '1-1', machines: ['two'] }],
  });
  const launch = await testLaunch('one');
  for (const device of ['1-1', '046d:c52b', '../../../etc/shadow', '/dev/null', 'reserve']) {
    const descriptors = [...launch.descriptors, { kind: 'usb', device } as const];
    for (const relaxed of [[], [{ relax: 'usb', to: device } as const]]) {
      const reply = await broker.ask({ v: 1, call: 'launch', launch: { ...launch, descriptors, relaxed } });
      assert.ok(!reply.ok, device);
      assert.deepEqual(
        reply.refusals.map(({ rule }) => rule),
        ['relaxations'],
        device,
      );
    }
  }
  // With its line it is looked for, and found nowhere: what the line says is no path.
  const two = await testLaunch('two');
  const asked = { ...two, descriptors: [...two.descriptors, { kind: 'usb', device: '1-1' } as const] };
  const reply = await broker.ask({ v: 1, call: 'launch', launch: asked });
  assert.ok(!reply.ok);
  assert.match(reply.refusals[0]?.message ?? '', /^USB device 1-1 is not there$/);
  // No other program gets one.
  const tool = { ...asked, program: 'qemu-img' as const };
  const refused = await broker.ask({ v: 1, call: 'launch', launch: tool });
  assert.ok(!refused.ok);
  assert.equal(readdirSync(`/proc/${broker.pid}/fd`).length < 40, true);
});
