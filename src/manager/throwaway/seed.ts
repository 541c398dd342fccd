/** The seed of a throwaway machine: by it cloud-init (NoCloud) starts the runner, before there is a network and anything that waits for one. */
import { isoImage } from '../../plan/iso9660.ts';
import { runnerProgram } from './runner-program.ts';

export interface SeedOptions {
  readonly name: string;
  /** Whether it has network cards: the runner then waits until there is a route. */
  readonly network: boolean;
  readonly at: Date;
}

/** JSON is YAML. */
const yaml = (data: unknown): string => `${JSON.stringify(data, null, 2)}\n`;

const place = '/run/qward-seed';

/** What a guest without cloud-init does as well, as the demo guest of the tests (docs/throwaway.md). */
const start = (network: boolean): string => `#!/bin/sh
exec python3 -I -S ${place}/runner.py${network ? ' --network' : ''}
`;

export function throwawaySeed({ name, network, at }: SeedOptions): Buffer {
  const userData = {
    hostname: name,
    ssh_pwauth: false,
    // A command that is over is no reason to have written the image's caches anew.
    package_update: false,
    // The runner adds names to it.
    manage_etc_hosts: false,
    bootcmd: [`mkdir -p ${place}; mount -o ro LABEL=cidata ${place}; sh ${place}/start.sh`],
  };
  const ethernets = network ? { all: { match: { name: 'e*' }, dhcp4: true, dhcp6: true } } : {};
  const files = {
    // "local": cloud-init's first stage does all of it, and does not wait for a network.
    'meta-data': yaml({ 'instance-id': name, 'local-hostname': name, dsmode: 'local' }),
    'network-config': yaml({ version: 2, ethernets }),
    'user-data': `#cloud-config\n${yaml(userData)}`,
    'start.sh': start(network),
    'runner.py': runnerProgram,
  };
  return isoImage(
    'cidata',
    Object.entries(files).map(([file, content]) => ({ name: file, data: Buffer.from(content) })),
    at,
  );
}
