/** Debian's qemu-ga in the guest: it tells that the guest is ready, and shuts down one that ignores the power button. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { defineBare, defineDemo, done, remains } from '../support/driver.ts';
import { addGuestAgent } from '../support/guest-agent.ts';
import { startInstance } from '../support/instance.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const guest = addGuestAgent(instance.guest, join(instance.paths.images, 'initrd-agent.cpio'));
const switches = 'qward.qemu-ga qward.noacpi';
const patient = { timeoutMs: 180_000 };
const calledShutdown = /qemu-ga called shutdown -h -P \+0/;

test('ready: guest-agent is when qemu-ga answers; what comes after it starts then', async () => {
  const more = 'agent: true\nautostart: {ready: guest-agent, timeout: 150s}';
  await defineDemo(instance, { name: 'db', guest, switches, more });
  await defineBare(instance, 'web', 'autostart: {after: [db]}', 'stop: {timeout: 1s}');
  await done(instance, 'autostart on db web');
  const lines = await done(instance, ['host', 'start-machines'], patient);
  assert.equal(lines, 'db: started\nweb: started');
  assert.match(await done(instance, 'console --log db'), /qward-demo: ready/);
});

test('stop has qemu-ga shut the guest down', async () => {
  assert.equal(await done(instance, 'stop db', patient), 'db: shut down');
  assert.match(await done(instance, 'console --log db'), calledShutdown);
  assert.deepEqual(remains(instance, 'db'), []);
});

test('so does the shutdown of the host', async () => {
  await done(instance, ['host', 'start-machines'], patient);
  const { status, stdout, stderr } = await instance.qward(['host', 'stop-machines'], patient);
  assert.equal(status, 0, stderr);
  assert.equal(stdout, 'web: killed after 1s\ndb: shut down\n');
  assert.equal((await done(instance, 'console --log db')).match(new RegExp(calledShutdown, 'g'))?.length, 2);
});
