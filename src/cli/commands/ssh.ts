import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { interruptible } from '../interruptible.ts';
import { oneMachine } from '../machine-arguments.ts';
import { failed, printed, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';
import { awaitSshd } from '../ssh/await-sshd.ts';
import { loginPlace, readLogin } from '../ssh/machine-login.ts';
import { sshAddress, type MissingPiece, type SshAddress } from '../ssh/ssh-address.ts';
import { sshConfig, sshHost, sshUser, sshWords, type SshTarget } from '../ssh/ssh-words.ts';

const defaultWaitMs = 120_000;

export const ssh = defineCommand({
  name: 'ssh',
  summary: 'Log in to the guest, or run a command there, by ssh.',
  details:
    "Through the machine's forward to port 22 (`kind: user`), else at its address. The key of a guest that `qward create` made is known " +
    'before the first connection; of another the first that is seen is kept. Keys are kept for each machine, apart from those of hosts. ' +
    'Neither your agent nor your screen is forwarded. A guest that is still coming up is waited for.',
  arguments: {
    NAME: oneMachine,
    COMMAND: {
      help: 'What to run there; none: a shell.',
      complete: 'none',
      repeated: true,
      optional: true,
      verbatim: true,
    },
  },
  options: {
    user: {
      kind: 'text',
      short: 'l',
      value: 'USER',
      complete: 'none',
      help: 'Whom to log in as; default: whom `qward create` made.',
    },
    address: { kind: 'text', short: 'a', value: 'ADDRESS', complete: 'none', help: 'Where the guest is.' },
    port: {
      kind: 'number',
      short: 'p',
      value: 'PORT',
      help: 'Port of its sshd, with --address; default: 22.',
    },
    wait: {
      kind: 'duration',
      short: 'w',
      value: 'TIME',
      help: 'How long to wait for its sshd; default: 2m.',
    },
    config: { kind: 'flag', help: 'Print it as a block for ~/.ssh/config, for scp, rsync and others.' },
  },
  examples: [
    { line: 'qward ssh web', meaning: 'a shell in the guest' },
    { line: 'qward ssh web uname -a', meaning: 'one command; its exit status is that of qward' },
    { line: 'qward ssh --config web >> ~/.ssh/config', meaning: 'then: scp FILE web.qward:' },
  ],
  exits: { 255: 'ssh failed; any other is that of the command in the guest' },
  async run(context, { arguments: { NAME: name, COMMAND: command }, options }) {
    const { user, address, port, wait = defaultWaitMs, config } = options;
    if (user !== undefined && !sshUser.test(user)) return usage(`ssh: "${user}" is not a user`);
    if (address !== undefined && !sshHost.test(address)) return usage(`ssh: "${address}" is not an address`);
    if (port !== undefined && (address === undefined || !(port >= 1 && port <= 65_535)))
      return usage('ssh: --port is from 1 to 65535, and belongs to --address');
    const place = address === undefined ? undefined : { host: address, port: port ?? 22 };
    const target = await targetOf(context, { name, user, place });
    if ('ok' in target) return target;
    if (config) {
      context.print(sshConfig(target));
      return printed();
    }
    return await interruptible(async (signal) => {
      const up = await context.during(`waiting for the sshd of ${name}`, awaitSshd(target, wait, signal));
      if (!up) return noSshd(name, target);
      if (!target.known && !context.quiet)
        context.warn(`The key of the guest is not known yet: the one that it shows now is kept.\n`);
      return await runSsh(context, sshWords(target, command));
    }, 'interrupted');
  },
});

interface Wanted {
  readonly name: string;
  readonly user: string | undefined;
  readonly place: SshAddress | undefined;
}

async function targetOf(context: Context, { name, user, place }: Wanted): Promise<SshTarget | CommandResult> {
  const status = await withNearestName(context, name, await context.client.call('status', { name }));
  if (!status.ok) return failed(status.faults);
  if (status.result.state !== 'running')
    return failed([
      {
        code: 'machine-not-running',
        message: `machine "${name}" is ${status.result.state}`,
        hint:
          status.result.state === 'paused'
            ? `let it go on: qward resume ${name}`
            : `start it: qward start ${name}`,
      },
    ]);
  const found = place ?? (await addressOf(context, name));
  if ('message' in found) return failed([found]);
  const info = await context.client.call('info', {});
  if (!info.ok) return failed(info.faults);
  const login = loginPlace(context, info.result.instance, name);
  if ('message' in login) return failed([login]);
  const kept = readLogin(login);
  return {
    ...found,
    user: user ?? kept.user,
    identity: kept.identity !== undefined && existsSync(kept.identity) ? kept.identity : undefined,
    knownHosts: login.knownHosts,
    hostKeyAlias: login.hostKeyAlias,
    known: existsSync(login.knownHosts),
  };
}

async function addressOf(context: Context, name: string): Promise<SshAddress | MissingPiece> {
  const reply = await context.client.call('definition', { name });
  if (!reply.ok) return reply.faults[0] ?? { message: 'the definition cannot be read', hint: '' };
  const { parseDefinition } = await import('../../definition/parse.ts');
  const parsed = parseDefinition(reply.result.source);
  if (!parsed.ok)
    return { message: `the definition of "${name}" is one of another version`, hint: 'say --address' };
  const named = sshAddress(parsed.definition);
  const found = 'host' in named ? named : ((await leaseOf(context, name)) ?? named);
  // SECURITY: promise 4. The manager's word becomes an argument: it is held against what an address is.
  if ('host' in found && !sshHost.test(found.host))
    return { message: `"${found.host}" is not an address`, hint: '' };
  return found;
}

/** In a managed network; what a guest itself or a neighbour says of addresses is not taken for one. */
async function leaseOf(context: Context, name: string): Promise<SshAddress | undefined> {
  const reply = await context.client.call('status', { name });
  const host = reply.ok ? reply.result.networks.find(({ address }) => address !== null)?.address : undefined;
  return typeof host === 'string' ? { host, port: 22 } : undefined;
}

const noSshd = (name: string, { host, port }: SshAddress): CommandResult =>
  failed(
    [
      {
        message: `no sshd answers for machine "${name}" at ${host} port ${port}`,
        hint: `see what the guest does: qward console ${name}`,
      },
    ],
    255,
  );

/** Its terminal is this one's; Ctrl-C is the guest's. */
function runSsh(context: Context, words: readonly string[]): Promise<CommandResult> {
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore);
  return new Promise<CommandResult>((resolve) => {
    const child = spawn('ssh', words, { stdio: 'inherit', env: context.io.env });
    child.once('error', (error) => {
      const missing = 'code' in error && error.code === 'ENOENT';
      const message = missing ? 'ssh is not installed' : `ssh cannot be run: ${error.message}`;
      resolve(failed([{ message, hint: missing ? 'apt-get install openssh-client' : '' }], 255));
    });
    child.once('close', (status) => resolve(printed(status ?? 255)));
  }).finally(() => process.off('SIGINT', ignore));
}
