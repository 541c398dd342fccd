/**
 * Debian's sshd on a port of the loopback interface, with keys, accounts and configuration of a test's own; the account database
 * is bound over the host's in a mount namespace of sshd's own. What it needs lies below the instance's directory.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, chmodSync, existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import type { Instance } from './instance.ts';

export interface SshAccount {
  readonly name: string;
  readonly uid: number;
  readonly shell: string;
  readonly groups?: readonly string[];
}

export interface Sshd extends AsyncDisposable {
  readonly port: number;
  /** PATH of a client that has the key of every account, and knows the host. */
  readonly clientPath: string;
  /** The client with a configuration of the test's own in place of the user's. */
  readonly ssh: string;
  readonly log: string;
  readonly pid: number;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

function script(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

/** `snippet`: configuration of accounts, where /usr/bin/qward, /etc/ssh/qward-remote and the host's instance stand for the instance's own. */
export async function startSshd(
  instance: Instance,
  { accounts, snippet }: { readonly accounts: readonly SshAccount[]; readonly snippet: string },
): Promise<Sshd> {
  const directory = join(instance.directory, 'ssh');
  for (const name of ['', 'bin', 'client', 'keys']) mkdirSync(join(directory, name));
  const port = await freePort();
  const [passwd, group] = [join(instance.directory, 'passwd'), join(instance.directory, 'group')];
  const lines = accounts.map(
    ({ name, uid, shell }) => `${name}:x:${uid}:${uid}::${join(instance.directory, 'home', name)}:${shell}`,
  );
  const shared = new Set(accounts.flatMap(({ groups = [] }) => groups));
  const members = [...shared].map((name, at) => {
    const inside = accounts.filter(({ groups = [] }) => groups.includes(name));
    return `${name}:x:${910_000_100 + at}:${inside.map((one) => one.name).join(',')}`;
  });
  // In place: what is bound elsewhere is the same file.
  const daemon = 'sshd:x:102:65534::/run/sshd:/usr/sbin/nologin';
  writeFileSync(passwd, ['root:x:0:0:root:/root:/bin/sh', daemon, ...lines, ''].join('\n'));
  appendFileSync(group, ['nogroup:x:65534:', ...members, ''].join('\n'));
  for (const key of ['host', 'client/key'])
    execFileSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(directory, key)]);
  const publicKey = execFileSync('cat', [join(directory, 'client/key.pub')], { encoding: 'utf8' });
  for (const { name } of accounts) writeFileSync(join(directory, 'keys', name), publicKey, { mode: 0o644 });
  const qward = join(directory, 'bin/qward');
  const words = instance.program.map((word) => `'${word}'`).join(' ');
  script(qward, `QWARD_SOCKET='${instance.paths.apiSocket}' exec ${words} "$@"`);
  const config = join(directory, 'sshd_config');
  const log = join(directory, 'sshd.log');
  writeFileSync(
    config,
    [
      'ListenAddress 127.0.0.1',
      `Port ${port}`,
      `HostKey ${join(directory, 'host')}`,
      'PidFile none',
      'UsePAM no',
      'PasswordAuthentication no',
      'KbdInteractiveAuthentication no',
      `AuthorizedKeysFile ${join(directory, 'keys/%u')}`,
      `SetEnv PATH=${join(directory, 'bin')}:/usr/bin:/bin`,
      'Subsystem sftp internal-sftp',
      'LogLevel VERBOSE',
      snippet
        .replaceAll('/usr/bin/qward', qward)
        .replaceAll(' --system', '')
        .replaceAll('/etc/ssh/qward-remote', join(directory, 'keys')),
      '',
    ].join('\n'),
  );
  const madeRun = !existsSync('/run/sshd');
  if (madeRun) mkdirSync('/run/sshd', { mode: 0o755 });
  const mounts = `mount --bind ${passwd} /etc/passwd && mount --bind ${group} /etc/group`;
  const child = spawn(
    '/usr/bin/unshare',
    ['--mount', '/bin/sh', '-c', `${mounts} && exec /usr/sbin/sshd -D -f ${config} -E ${log}`],
    { stdio: ['ignore', 'inherit', 'inherit'] },
  );
  await answers(port, child);
  const hostKey = execFileSync('cat', [join(directory, 'host.pub')], { encoding: 'utf8' });
  writeFileSync(join(directory, 'client/known_hosts'), `[127.0.0.1]:${port} ${hostKey}`);
  writeFileSync(
    join(directory, 'client/config'),
    [
      `IdentityFile ${join(directory, 'client/key')}`,
      `UserKnownHostsFile ${join(directory, 'client/known_hosts')}`,
      'GlobalKnownHostsFile none',
      'IdentitiesOnly yes',
      'StrictHostKeyChecking yes',
      '',
    ].join('\n'),
  );
  const ssh = join(directory, 'client/ssh');
  script(ssh, `exec /usr/bin/ssh -F '${join(directory, 'client/config')}' "$@"`);
  return {
    port,
    ssh,
    log,
    pid: child.pid ?? -1,
    clientPath: `${join(directory, 'client')}:/usr/sbin:/usr/bin:/sbin:/bin`,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      if (madeRun) rmdirSync('/run/sshd');
    },
  };
}

async function answers(port: number, child: { readonly exitCode: number | null }): Promise<void> {
  const { connect } = await import('node:net');
  for (;;) {
    if (child.exitCode !== null) throw new Error('sshd ended');
    const socket = connect(port, '127.0.0.1');
    const there = await once(socket, 'connect').then(
      () => true,
      () => false,
    );
    socket.destroy();
    if (there) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
