/** What jobs of an earlier manager left: processes, uids, and parts of images. Found by the names that only jobs have. */
import type { BrokerStatus } from '../../protocol/broker.ts';
import { diskJobPattern, diskJobPrefix } from '../../protocol/disk-job.ts';
import { hookJobPrefix } from '../../protocol/hook.ts';
import { servedNetwork, serverPrefix } from '../../protocol/networks.ts';
import { shareJobPrefix, tpmJobPrefix } from '../../protocol/side-servers.ts';
import { passtJobPrefix } from '../../protocol/passt.ts';
import type { BrokerPort } from '../broker-port.ts';

export interface SweepOptions {
  readonly broker: BrokerPort;
  /** Jobs of this manager. */
  readonly running: (job: string) => boolean;
}

/** A run of an image tool or of a hook, or a network helper: no machine of anybody's. */
export const isJob = (machine: string): boolean =>
  [diskJobPrefix, hookJobPrefix, passtJobPrefix, serverPrefix, tpmJobPrefix, shareJobPrefix].some((prefix) =>
    machine.startsWith(prefix),
  );

/** Network helpers and servers of networks of machines that run: they go on, whoever began them. */
function helpersOfRunning({ machines, networks }: BrokerStatus): ReadonlySet<string> {
  const alive = new Set(machines.filter((one) => one.alive).map(({ machine }) => machine));
  const helpers = machines.filter(({ launch }) =>
    launch.descriptors.some((one) => one.kind === 'netdev' && alive.has(one.machine)),
  );
  const up = new Set(networks.filter((one) => one.up).map(({ name }) => name));
  const servers = machines.filter(({ machine }) => up.has(servedNetwork(machine) ?? ''));
  return new Set([...helpers, ...servers].map(({ machine }) => machine));
}

/** Below a root. */
const maxDepth = 3;
const maxDirectories = 1000;
const partPattern = /^\.(.+)\.(qward-disk-[a-z0-9]{12,32})$/;

/** SECURITY: promise 7. Nothing half made stays, whatever died: the processes go first, then what they wrote. */
export async function sweepJobs({ broker, running }: SweepOptions, status: BrokerStatus): Promise<void> {
  const helping = helpersOfRunning(status);
  const dead = (machine: string): boolean => isJob(machine) && !running(machine) && !helping.has(machine);
  for (const { machine } of status.machines) if (dead(machine)) await broker.call('kill', { machine });
  for (const { machine } of status.slots) if (dead(machine)) await broker.call('forget', { machine });
  for (const { path, access } of status.storageRoots)
    if (access === 'rw') await sweepParts({ broker, running }, path);
}

async function sweepParts({ broker, running }: SweepOptions, root: string): Promise<void> {
  let level = [root];
  for (let depth = 0; depth <= maxDepth && level.length > 0; depth++) {
    const below: string[] = [];
    for (const directory of level.slice(0, maxDirectories)) {
      const listing = await broker.call('list-directory', { path: directory });
      if (!listing.ok) continue;
      for (const entry of listing.value.entries) {
        if (entry.directory) below.push(`${directory}/${entry.name}`);
        const [, name = '', machine = ''] = partPattern.exec(entry.name) ?? [];
        if (entry.directory || !diskJobPattern.test(machine) || running(machine)) continue;
        await broker.call('part', { machine, path: `${directory}/${name}`, action: 'discard' });
      }
    }
    level = below;
  }
}
