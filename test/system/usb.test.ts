/** What QEMU needs for USB devices of the host, where the host has none: lab/suites/usb.long.test.ts has the devices. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startInstance, type Instance } from '../support/instance.ts';
import { define, smallMachine, start } from '../support/small-machine.ts';

let instance: Instance;

before(async () => {
  instance = await startInstance();
  instance.writePolicy({
    relaxations: [
      { relax: 'usb', to: 'reserve' },
      { relax: 'usb', to: 'ffff:ffff' },
    ],
  });
  const env = 'qemu: {env: [{name: LIBUSB_DEBUG, value: "4"}]}';
  await define(instance, smallMachine('ready', ['hotplug: {usb: true}', env]));
  await define(instance, smallMachine('plain', ['usb: {model: xhci}', env]));
  await define(
    instance,
    smallMachine('later', ["hostDevices: [{id: key, usb: 'ffff:ffff', optional: true}]"]),
  );
});
after(() => instance[Symbol.asyncDispose]());

const add = [
  'device_add',
  JSON.stringify({ driver: 'usb-host', id: 'none', bus: 'ctl.usb.0', hostdevice: '/dev/null' }),
];

test('libusb begins in the jail of a machine that is made ready for USB devices, and in no other', async () => {
  for (const [name, said] of [
    ['ready', /connectinfo failed/],
    ['plain', /could not initialize udev monitor|open.*hw-usb-host|not a valid device model name/],
  ] as const) {
    await start(instance, name);
    const asked = await instance.qward(['qmp', name, ...add]);
    const { stdout } = await instance.qward(['logs', name]);
    assert.match(`${stdout}${asked.stdout}${asked.stderr}`, said, name);
    const audit = await instance.qward(['audit', name]);
    assert.equal(audit.status, 0, audit.stdout);
  }
});

test('a device that is not there is named, and one that need not be there is waited for', async () => {
  const attached = await instance.qward(['attach', 'ready', 'usb', 'ffff:ffff']);
  assert.notEqual(attached.status, 0);
  assert.match(attached.stderr, /USB device ffff:ffff is not there/);
  await start(instance, 'later');
  assert.match((await instance.qward(['attach', 'later'])).stdout, /^key +ffff:ffff +not there$/m);
  assert.match((await instance.qward(['status', 'later'])).stdout, /usb ffff:ffff/);
  const audit = await instance.qward(['audit', 'later']);
  assert.equal(audit.status, 0, audit.stdout);
  const saved = await instance.qward(['detach', 'later', 'ffff:ffff', '--persist']);
  assert.equal(saved.status, 0, saved.stderr);
  assert.doesNotMatch((await instance.qward(['show', 'later'])).stdout, /ffff:ffff/);
  assert.doesNotMatch((await instance.qward(['attach', 'later'])).stdout, /ffff:ffff/);
});

test('a machine without either is told what to write', async () => {
  const { status, stderr } = await instance.qward(['attach', 'plain', 'usb', '1-1']);
  assert.notEqual(status, 0);
  assert.match(stderr, /USB device 1-1 is not there/);
});
