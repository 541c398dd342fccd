/** What cloud-init finds at the first start (NoCloud): name, keys, user, network. */
import { runnerCommand, runnerFiles } from '../../api/throwaway/runner-seed.ts';
import type { SshKey } from './ssh-key.ts';
import { isoImage } from '../../plan/iso9660.ts';

export interface SeedOptions {
  readonly name: string;
  /** New for each machine: cloud-init runs once for each. */
  readonly instanceId: string;
  /** Lines of authorized_keys. */
  readonly keys: readonly string[];
  /** Whom the keys are for; undefined: whom the image has. */
  readonly user?: string;
  readonly hostKey: SshKey;
  /** With what gives commands to copies of the machine. */
  readonly runner: boolean;
  readonly at: Date;
}

/** JSON is YAML, and no value ends before its quote. */
const yaml = (data: unknown): string => `${JSON.stringify(data, null, 2)}\n`;

/** An image of a disk with the label that cloud-init looks for. */
export function seedImage(options: SeedOptions): Buffer {
  const files = Object.entries(seedFiles(options));
  return isoImage(
    'cidata',
    files.map(([name, content]) => ({ name, data: Buffer.from(content) })),
    options.at,
  );
}

export function seedFiles({
  name,
  instanceId,
  keys,
  user,
  hostKey,
  runner,
}: SeedOptions): Readonly<Record<string, string>> {
  const userData = {
    hostname: name,
    ...(user === undefined ? {} : { user: { name: user } }),
    ssh_authorized_keys: keys,
    ssh_pwauth: false,
    disable_root: true,
    // The image's own keys go: every machine made of it would have them.
    ssh_deletekeys: true,
    ssh_keys: { ed25519_private: hostKey.privateKey, ed25519_public: hostKey.publicKey },
    ...(runner ? { bootcmd: [runnerCommand] } : {}),
  };
  const network = {
    version: 2,
    ethernets: { all: { match: { name: 'e*' }, dhcp4: true, dhcp6: true } },
  };
  return {
    'meta-data': yaml({ 'instance-id': instanceId, 'local-hostname': name }),
    'network-config': yaml(network),
    'user-data': `#cloud-config\n${yaml(userData)}`,
    ...(runner ? runnerFiles(false) : {}),
  };
}
