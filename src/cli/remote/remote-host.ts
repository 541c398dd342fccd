/** `[ssh://][USER@]HOST[:PORT][/SOCKET]` and the words with which ssh is called for it. Pure. */
import { quotedForShell } from './remote-words.ts';

export interface RemoteHost {
  /** As messages name it. */
  readonly name: string;
  readonly user: string | undefined;
  readonly host: string;
  readonly port: number | undefined;
  /** The manager's socket there; undefined: as the qward there finds it. */
  readonly socket: string | undefined;
}

/** Of the instances there; undefined: what is configured there. */
export type RemoteInstance = 'system' | 'session' | undefined;

/**
 * SECURITY: promise 4. None begins with "-" (ssh would take it for an option: CVE-2017-1000117) and none holds what a shell
 * reads: ssh_config may put host and user into a command (ProxyCommand, CVE-2023-51385), and the socket goes through the login shell there.
 */
const form =
  /^(?:ssh:\/\/)?(?:([A-Za-z0-9_][A-Za-z0-9_.+@-]{0,127})@)?([A-Za-z0-9_][A-Za-z0-9_.-]{0,252}|\[[0-9A-Fa-f:.]{2,45}(?:%[A-Za-z0-9_.-]{1,32})?\])(?::(\d{1,5}))?(\/[A-Za-z0-9_./-]{1,100})?\/?$/;

/** The host, or what is wrong with the text. */
export function parseRemoteHost(text: string): RemoteHost | string {
  const expected = `"${text}" is not a host: ssh://[user@]host[:port] expected`;
  const [, user, host = '', digits, socket] = form.exec(text) ?? [];
  if (host === '') return expected;
  const port = digits === undefined ? undefined : Number(digits);
  if (port !== undefined && (port < 1 || port > 65_535)) return `${expected}, with a port from 1 to 65535`;
  return {
    name: text.startsWith('ssh://') ? text : `ssh://${text}`,
    user,
    host: host.replace(/^\[(.*)\]$/, '$1'),
    port,
    socket,
  };
}

const noForwarding = ['-a', '-x', '-e', 'none', '-o', 'ClearAllForwardings=yes', '-o', 'RemoteCommand=none'];

/** Arguments of ssh for the connection; no shell of this host sees them. `quiet`: nothing is asked, and it gives up soon. */
export function sshArguments(host: RemoteHost, quiet: boolean, instance?: RemoteInstance): string[] {
  const remote = ['qward', 'dial-stdio', ...(instance === undefined ? [] : [`--${instance}`])];
  return [
    '-T',
    ...(quiet ? ['-o', 'BatchMode=yes', '-o', 'ConnectTimeout=2', '-o', 'LogLevel=QUIET'] : []),
    ...sshWords(host, [...remote, ...(host.socket === undefined ? [] : ['--socket', host.socket])]),
  ];
}

/** The same for a command that runs there as a whole; `terminal`: on a terminal there too. */
export function sshArgumentsThere(host: RemoteHost, terminal: boolean, words: readonly string[]): string[] {
  // Its own, whatever QWARD_HOST says there.
  const socket = host.socket === undefined ? '--host=' : `--socket=${host.socket}`;
  return [terminal ? '-t' : '-T', ...sshWords(host, [quotedForShell(['qward', socket, ...words])])];
}

/** No escape character, and nothing of this host is forwarded, whatever ssh_config says. */
const sshWords = ({ user, host, port }: RemoteHost, remote: readonly string[]): string[] => [
  ...noForwarding,
  ...(port === undefined ? [] : ['-p', String(port)]),
  ...(user === undefined ? [] : ['-l', user]),
  '--',
  host,
  ...remote,
];
