/** The saved machine "warm", of which `qward run --from` makes copies: the demo guest, whose runner waits for somebody to connect. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { seedImage } from '../../src/cli/create/seed.ts';
import { makeSshKey } from '../../src/cli/create/ssh-key.ts';
import { consoleShows, define, done } from './driver.ts';
import { addGuestRunner } from './guest-runner.ts';
import type { Instance } from './instance.ts';

/** Behind the guest's word that it is up; a copy of one that was saved sooner waits for the rest. */
const runnerUpMs = 5000;

/** Gives the path of its disk. */
export async function saveWarm(instance: Instance, memory = '128MiB'): Promise<string> {
  const path = (name: string): string => join(instance.paths.images, name);
  const guest = addGuestRunner(instance.guest, path('initrd-warm.cpio'));
  const seed = { name: 'warm', instanceId: 'i', keys: [], runner: true, at: new Date() };
  writeFileSync(path('warm.iso'), seedImage({ ...seed, hostKey: makeSshKey('warm') }));
  const disk = instance.disk('warm');
  await define(
    instance,
    [
      'name: warm',
      'accel: tcg',
      `memory: ${memory}`,
      'runner: true',
      'generationId: auto',
      'disks:',
      `  - {id: root, path: ${disk}, format: qcow2}`,
      `  - {id: seed, path: ${path('warm.iso')}, format: raw, readonly: true}`,
      `boot: {kernel: ${guest.kernel}, initrd: ${guest.initrd}, cmdline: "${guest.cmdline}"}`,
      '',
    ].join('\n'),
  );
  await done(instance, 'start warm');
  await consoleShows(instance, 'warm');
  await delay(runnerUpMs);
  await done(instance, 'save warm');
  return disk;
}
