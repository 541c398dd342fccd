/**
 * The processes of a session's machine, of which no cgroup tells: those whose root is the very directory that was made for it.
 * Its first process is pid 1 of a pid namespace: with it all others end.
 */
import { readdirSync, statSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { cgroupExists } from '../../jail/cgroups.ts';
import { unlessMissing } from '../../linux/errno.ts';
import { killVerified } from '../../linux/pidfd.ts';
import { isAlive, startTimeOf } from '../../linux/process.ts';
import type { BrokerContext } from '../context.ts';
import type { LaunchRecord } from '../records.ts';
import { skeletonOf } from './skeleton.ts';

const deadlineMs = 10_000;
const pollMs = 2;

/** What is gone or another user's shows no root. */
const lookAt = (path: string): { dev: number; ino: number } | undefined =>
  unlessMissing(() => statSync(path), ['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR']);

export function processesOf(context: BrokerContext, machine: string): number[] {
  const root = lookAt(skeletonOf(context, machine));
  if (root === undefined) return [];
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && isIn(Number(entry), root))
    .map(Number)
    .filter((pid) => startTimeOf(pid) !== undefined);
}

function isIn(pid: number, root: { readonly dev: number; readonly ino: number }): boolean {
  const found = lookAt(`/proc/${pid}/root`);
  return found !== undefined && found.dev === root.dev && found.ino === root.ino;
}

/** False where one did not end in time. */
export async function endProcesses(
  context: BrokerContext,
  machine: string,
  record: LaunchRecord | undefined,
): Promise<boolean> {
  const { pid = 0, startTime = 0, cgroup = '' } = record ?? {};
  const root = lookAt(skeletonOf(context, machine));
  const began = performance.now();
  for (;;) {
    if (pid !== 0) killVerified(pid, () => isAlive(pid, startTime));
    const left = processesOf(context, machine);
    for (const one of left) killVerified(one, () => root !== undefined && isIn(one, root));
    const lives = left.length > 0 || (pid !== 0 && isAlive(pid, startTime));
    // systemd removes the cgroup of a scope, and only then its name is free again.
    if (!lives && (cgroup === '' || !cgroupExists(context.cgroups, cgroup))) return true;
    if (performance.now() - began > deadlineMs) return !lives;
    await delay(pollMs);
  }
}
