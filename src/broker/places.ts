/** Where the broker keeps what belongs to one machine. Every name is made of a machine name that was checked. */
import type { BrokerContext } from './context.ts';

export interface MachinePlaces {
  /** With QEMU's log and sockets, as root a tmpfs of its own; the manager's group may enter, QEMU sees nothing of it. */
  readonly directory: string;
  readonly log: string;
  readonly bundle: string;
  /** The OCI runtime's state. */
  readonly runtimeState: string;
  /** Below the mount of each hierarchy. */
  readonly cgroup: string;
  /** The same as the OCI runtime is told it: under systemd slice, prefix and name, of which it makes a scope. */
  readonly cgroupsPath: string;
}

export function placesOf(
  context: Pick<BrokerContext, 'paths' | 'cgroupParent' | 'scopes' | 'scopeBase' | 'logDirectory'>,
  machine: string,
): MachinePlaces {
  const directory = `${context.paths.machines}/${machine}`;
  const plain = context.cgroupParent === '' ? '' : `${context.cgroupParent}/${machine}`;
  const prefix = context.cgroupParent.slice(1);
  return {
    directory,
    log: context.logDirectory === null ? `${directory}/log` : `${context.logDirectory}/${machine}.log`,
    bundle: `${context.paths.brokerRun}/bundles/${machine}`,
    runtimeState: `${runtimeRoot(context)}/${machine}`,
    cgroup: context.scopes ? `${context.scopeBase}/${prefix}.slice/${prefix}-${machine}.scope` : plain,
    cgroupsPath: context.scopes ? `${prefix}.slice:${prefix}:${machine}` : plain,
  };
}

export function runtimeRoot(context: Pick<BrokerContext, 'paths'>): string {
  return `${context.paths.brokerRun}/oci`;
}
