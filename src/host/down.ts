/** `qward host down`: ends the daemons; the machines were stopped before, or go on where that was asked for. */
import { existsSync, rmSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isAlive } from '../linux/process.ts';
import { forgetDaemons, type Daemon } from './daemons.ts';
import { findDaemons } from './find-daemons.ts';
import { failed, hintFor, unable, whileLocked, type HostOutcome } from './outcome.ts';
import type { HostSite } from './site.ts';

const endDeadlineMs = 40_000;
const pollMs = 5;

/** The manager first: it may still need the broker. A request under way is finished. For root alone. */
export async function hostDown(site: HostSite): Promise<HostOutcome> {
  if (!existsSync(site.roots.run)) return { ok: true, daemons: [], message: 'qward was not up', hint: '' };
  try {
    return await whileLocked(site, () => bringDown(site));
  } catch (error) {
    return failed([], unable('down', error), hintFor(error, site));
  }
}

async function bringDown(site: HostSite): Promise<HostOutcome> {
  const { daemons: found } = await findDaemons(site);
  const order = ['manager', 'broker'];
  const daemons = found.toSorted((left, right) => order.indexOf(left.name) - order.indexOf(right.name));
  for (const daemon of daemons) {
    if (!(await endDaemon(daemon)))
      return failed(
        daemons,
        `qward-${daemon.name} (pid ${daemon.pid}) does not end`,
        `kill -9 ${daemon.pid}, then again: qward host down --leave-machines`,
      );
  }
  const { apiSocket, brokerSocket, claimsSocket } = site.paths;
  for (const path of [apiSocket, brokerSocket, claimsSocket]) rmSync(path, { force: true });
  forgetDaemons(site);
  const message = daemons.length === 0 ? 'qward was not up' : 'qward is down';
  return { ok: true, daemons, message, hint: '' };
}

async function endDaemon({ pid, startTime }: Daemon): Promise<boolean> {
  const deadline = performance.now() + endDeadlineMs;
  if (isAlive(pid, startTime)) process.kill(pid, 'SIGTERM');
  while (isAlive(pid, startTime)) {
    if (performance.now() > deadline) return false;
    await delay(pollMs);
  }
  return true;
}
