/** The seed of a throwaway machine: by it cloud-init (NoCloud) starts the runner, before there is a network and anything that waits for one. */
import { runnerCommand, runnerFiles } from '../../api/throwaway/runner-seed.ts';
import { isoImage } from '../../plan/iso9660.ts';

export interface SeedOptions {
  readonly name: string;
  /** Whether it has network cards: the runner then waits until there is a route. */
  readonly network: boolean;
  readonly at: Date;
}

/** JSON is YAML. */
const yaml = (data: unknown): string => `${JSON.stringify(data, null, 2)}\n`;

export function throwawaySeed({ name, network, at }: SeedOptions): Buffer {
  const userData = {
    hostname: name,
    ssh_pwauth: false,
    // A command that is over is no reason to have written the image's caches anew.
    package_update: false,
    // The runner adds names to it.
    manage_etc_hosts: false,
    bootcmd: [runnerCommand],
  };
  const ethernets = network ? { all: { match: { name: 'e*' }, dhcp4: true, dhcp6: true } } : {};
  const files = {
    // "local": cloud-init's first stage does all of it, and does not wait for a network.
    'meta-data': yaml({ 'instance-id': name, 'local-hostname': name, dsmode: 'local' }),
    'network-config': yaml({ version: 2, ethernets }),
    'user-data': `#cloud-config\n${yaml(userData)}`,
    ...runnerFiles(network),
  };
  return isoImage(
    'cidata',
    Object.entries(files).map(([file, content]) => ({ name: file, data: Buffer.from(content) })),
    at,
  );
}
