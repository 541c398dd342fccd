/** How long a new manager takes to have all machines of one that was killed: in an instance of its own, whose uids suffice. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checkout } from '../test/support/checkout.ts';
import { startInstance, type Instance } from '../test/support/instance.ts';
import { granted, killProcess, smallMachine } from '../test/support/small-machine.ts';
import { timed } from './measure.ts';

const deadlineMs = 60_000;

/** Milliseconds of each round, from `qward host up` until every machine's monitor has answered. */
export async function adoptionRounds(machines: number, rounds: number): Promise<readonly number[]> {
  const bundled = existsSync(join(checkout, 'dist/qward.js'));
  await using instance = await startInstance({ purpose: 'bench', ...(bundled ? { bundles: 'dist' } : {}) });
  for (let index = 0; index < machines; index += 1) {
    const name = `adopted-${index}`;
    granted(await instance.client.call('define', { source: smallMachine(name) }));
    granted(await instance.client.call('start', { name, paused: true }));
  }
  const values: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    await killProcess(instance.daemon('manager'));
    values.push(
      await timed(async () => {
        await instance.up();
        await untilAdopted(instance, machines);
      }),
    );
  }
  return values;
}

async function untilAdopted(instance: Instance, machines: number): Promise<void> {
  const deadline = performance.now() + deadlineMs;
  for (;;) {
    const rows = granted(await instance.client.call('list'));
    if (rows.filter(({ state }) => state === 'paused').length === machines) return;
    if (performance.now() > deadline) throw new Error(`not adopted within ${deadlineMs / 1000} s`);
    await delay(5);
  }
}
