/** Where the broker keeps what belongs to one machine. Every name is made of a machine name that was checked. */
import type { BrokerContext } from './context.ts';

export interface MachinePlaces {
  /** A tmpfs of its own with QEMU's log and sockets; the manager's group may enter, QEMU sees nothing of it. */
  readonly directory: string;
  readonly log: string;
  readonly bundle: string;
  /** The OCI runtime's state. */
  readonly runtimeState: string;
  readonly cgroup: string;
}

export function placesOf(
  context: Pick<BrokerContext, 'paths' | 'cgroupParent'>,
  machine: string,
): MachinePlaces {
  const directory = `${context.paths.machines}/${machine}`;
  return {
    directory,
    log: `${directory}/log`,
    bundle: `${context.paths.brokerRun}/bundles/${machine}`,
    runtimeState: `${runtimeRoot(context)}/${machine}`,
    cgroup: `${context.cgroupParent}/${machine}`,
  };
}

export function runtimeRoot(context: Pick<BrokerContext, 'paths'>): string {
  return `${context.paths.brokerRun}/oci`;
}
