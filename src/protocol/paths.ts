/** Every path that qward itself uses, below three roots that tests and other instances can move. docs/files.md lists owners and modes. */

export interface Roots {
  /** The administrator's: policy. */
  readonly config: string;
  /** Gone with a reboot: sockets, what runs. */
  readonly run: string;
  /** Kept: definitions, slots, images. */
  readonly state: string;
}

export const systemRoots: Roots = { config: '/etc/qward', run: '/run/qward', state: '/var/lib/qward' };

/** Which instance a command means that does not say. */
export const instancesFile = '/etc/qward/instances.json';

export interface Paths {
  readonly policy: string;
  /** Any user may connect; who is granted nothing is refused everything. */
  readonly apiSocket: string;
  /** For the manager's user only. */
  readonly brokerSocket: string;
  /** Any user may connect, to say which files a machine may open with the user's rights. */
  readonly claimsSocket: string;
  /** One directory a machine: a tmpfs with `log` and `sockets/`. */
  readonly machines: string;
  /** root's alone: launch records, OCI bundles and runtime state. */
  readonly brokerRun: string;
  /** root's alone: slots, the broker's own log. */
  readonly brokerState: string;
  /** The manager's alone: definitions, scroll-back, logs. */
  readonly managerState: string;
  /** The manager's alone, forgotten with a reboot: the result of the KVM proof. */
  readonly managerRun: string;
  /** UEFI variable stores, the manager's; a built-in storage root. */
  readonly vars: string;
  /** The default storage root. */
  readonly images: string;
  /** Directories of qward's own state, which no storage root may hold or lie in. */
  readonly own: readonly string[];
}

export function pathsBelow(roots: Roots): Paths {
  return {
    policy: `${roots.config}/policy.json`,
    apiSocket: `${roots.run}/api.sock`,
    brokerSocket: `${roots.run}/broker.sock`,
    claimsSocket: `${roots.run}/claims.sock`,
    machines: `${roots.run}/machines`,
    brokerRun: `${roots.run}/broker`,
    brokerState: `${roots.state}/broker`,
    managerState: `${roots.state}/manager`,
    managerRun: `${roots.run}/manager`,
    vars: `${roots.state}/vars`,
    images: `${roots.state}/images`,
    own: [
      roots.config,
      roots.run,
      ...['broker', 'manager', 'vars'].map((directory) => `${roots.state}/${directory}`),
    ],
  };
}
