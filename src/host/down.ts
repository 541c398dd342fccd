/** `qward host down`: ends the daemons; the machines were stopped before, or go on where that was asked for. */
import { rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive } from '../linux/process.ts';
import { forgetDaemons, livingDaemons } from './daemons.ts';
import type { HostSite } from './site.ts';
import type { HostOutcome } from './up.ts';

const endDeadlineMs = 40_000;
const pollMs = 5;

/** The manager first: it may still need the broker. A request under way is finished. */
export async function hostDown(site: HostSite): Promise<HostOutcome> {
  if (process.getuid?.() !== 0)
    return {
      ok: false,
      daemons: [],
      message: 'only root can bring qward down',
      hint: 'sudo qward host down',
    };
  const order = ['manager', 'broker'];
  const daemons = livingDaemons(site).sort(
    (left, right) => order.indexOf(left.name) - order.indexOf(right.name),
  );
  for (const { name, pid, startTime } of daemons) {
    process.kill(pid, 'SIGTERM');
    const deadline = performance.now() + endDeadlineMs;
    while (isAlive(pid, startTime)) {
      if (performance.now() > deadline)
        return {
          ok: false,
          daemons,
          message: `qward-${name} (pid ${pid}) does not end`,
          hint: `kill -9 ${pid}`,
        };
      await delay(pollMs);
    }
  }
  for (const path of [site.paths.apiSocket, site.paths.brokerSocket]) rmSync(path, { force: true });
  forgetDaemons(site);
  return {
    ok: true,
    daemons,
    message: daemons.length === 0 ? 'qward was not up' : 'qward is down',
    hint: '',
  };
}
