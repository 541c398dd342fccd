/** The words with which ssh is called for a guest, and the same as a block of ssh_config(5). Pure. */

export interface SshTarget {
  readonly host: string;
  readonly port: number;
  /** Undefined: as ssh has it. */
  readonly user: string | undefined;
  readonly identity: string | undefined;
  readonly knownHosts: string;
  readonly hostKeyAlias: string;
  /** The guest's key is known; else the one that it shows first is taken. */
  readonly known: boolean;
}

/** SECURITY: promise 4. Neither begins with "-", and neither holds what a shell or ssh would read as more than a name. */
export const sshUser = /^[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,127}$/;
export const sshHost = /^[A-Za-z0-9][A-Za-z0-9.:-]{0,252}$/;

/** A path in a file's or an option's value: in quotes, and without what ssh replaces. */
const quoted = (path: string): string => `"${path.replaceAll('%', '%%')}"`;

/**
 * SECURITY: rule guest. A guest is hostile: it gets neither the agent nor the screen of the user, whatever ssh_config says, and
 * stands for no other host than itself.
 */
function options({
  knownHosts,
  hostKeyAlias,
  known,
  identity,
  port,
  user,
}: SshTarget): readonly (readonly [string, string])[] {
  return [
    ['Port', String(port)],
    ...(user === undefined ? [] : ([['User', user]] as const)),
    ...(identity === undefined ? [] : ([['IdentityFile', quoted(identity)]] as const)),
    ['HostKeyAlias', hostKeyAlias],
    ['UserKnownHostsFile', quoted(knownHosts)],
    ['GlobalKnownHostsFile', '/dev/null'],
    ['StrictHostKeyChecking', known ? 'yes' : 'accept-new'],
    ['HashKnownHosts', 'no'],
    ['UpdateHostKeys', 'no'],
    ['VerifyHostKeyDNS', 'no'],
    ['CheckHostIP', 'no'],
    ['ForwardAgent', 'no'],
    ['ForwardX11', 'no'],
    ['PermitLocalCommand', 'no'],
    ['ProxyJump', 'none'],
  ];
}

export function sshWords(target: SshTarget, command: readonly string[]): string[] {
  return [
    ...options(target).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
    '--',
    target.host,
    ...command,
  ];
}

export function sshConfig(target: SshTarget): string {
  const lines = [['HostName', target.host] as const, ...options(target)].map(
    ([key, value]) => `  ${key} ${value}`,
  );
  return `Host ${target.hostKeyAlias}\n${lines.join('\n')}\n`;
}
