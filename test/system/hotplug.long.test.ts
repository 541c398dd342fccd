/** By hand: a thousand rounds on each bus. `node --test test/system/hotplug.long.test.ts`, as root; some minutes. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { attachRounds } from '../support/attach-rounds.ts';
import { consoleShows, defineDemo, done } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const path = join(instance.paths.images, 'data.qcow2');

before(async () => {
  execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', path, '16M']);
  await defineDemo(instance, { name: 'shop', more: 'scsiControllers: [{}]' });
  await done(instance, 'start shop');
  await consoleShows(instance, 'shop');
});

for (const bus of ['scsi', 'virtio'] as const)
  test(`a thousand rounds on ${bus} leave nothing`, async () => {
    await attachRounds(instance, { machine: 'shop', path, format: 'qcow2', rounds: 1000, bus });
    await done(instance, 'audit shop');
  });
