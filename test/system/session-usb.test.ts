/** USB devices of the host in a session: what QEMU needs for one is there in a user's jail, without a line of any policy. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { AuditReport } from '../../src/audit/report.ts';
import { sessionUser } from '../support/session.ts';

const user = await sessionUser({ runtime: true });
after(() => user[Symbol.asyncDispose]());

async function done(...words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await user.qward([...words]);
  assert.equal(status, 0, stderr + stdout);
  return stdout.trim();
}

test('libusb begins in the jail of a session, and a device that is not there is waited for', async () => {
  const more = [
    'hotplug: { usb: true }',
    'qemu: { env: [{ name: LIBUSB_DEBUG, value: "4" }] }',
    "hostDevices: [{ id: key, usb: 'ffff:ffff', optional: true }]",
  ].join('\n');
  const defined = await user.define({ name: 'desk', more });
  assert.equal(defined.status, 0, defined.stderr);
  await done('start', 'desk');
  const add = { driver: 'usb-host', id: 'none', bus: 'ctl.usb.0', hostdevice: '/dev/null' };
  await user.qward(['qmp', 'desk', 'device_add', JSON.stringify(add)]);
  assert.match(await done('logs', 'desk'), /connectinfo failed/);
  assert.match(await done('attach', 'desk'), /^key +ffff:ffff +not there$/m);
  const report = JSON.parse(await done('audit', 'desk', '--json')) as AuditReport;
  assert.ok(report.ok, JSON.stringify(report.rows.filter(({ verdict }) => verdict === 'differs')));
});
