/** `vsock:` needs a device of the host that the policy names, and is refused with the line or the cure before anything is made. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, test } from 'node:test';
import { define, done, refused, remains } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());

test('without a line of the policy, and without the device, no machine with vsock starts, and nothing is left', async () => {
  await define(instance, 'name: web\naccel: tcg\nmemory: 32MiB\nvsock: {cid: 33}\n');
  assert.match(
    await refused(instance, 'start web', { status: 4 }),
    /\/dev\/vhost-vsock is not a device that the policy lists\n[^]*add it to devices/,
  );
  instance.writePolicy({ devices: ['/dev/vhost-vsock'] });
  if (existsSync('/dev/vhost-vsock')) {
    await done(instance, 'start web');
    await done(instance, 'audit web');
    await done(instance, 'kill web');
  } else {
    assert.match(await refused(instance, 'start web'), /is no device of this host\n.*load its driver/);
  }
  assert.deepEqual(remains(instance, 'web'), []);
});
