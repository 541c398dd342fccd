/** A command that needs more of the other host than its sockets: run by the qward there, over ssh. */
import { spawn } from 'node:child_process';
import { StringDecoder } from 'node:string_decoder';
import type { Readable } from 'node:stream';
import type { Command, CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { exitStatus } from '../exit-status.ts';
import type { Parsed } from '../parse-arguments.ts';
import { failed, printed } from '../results.ts';
import type { BeyondSockets } from './beyond-sockets.ts';
import { sshArgumentsThere, type RemoteHost } from './remote-host.ts';
import { wordsOf } from './remote-words.ts';
import type { SshReach } from './ssh-reach.ts';

export interface Errand {
  readonly host: RemoteHost;
  readonly reach: SshReach;
  readonly command: Command;
  readonly input: Parsed;
  readonly beyond: BeyondSockets;
}

const sshFailed = 255;

/** Whoever has the sockets alone there would be given a connection, whatever is asked for: that is found out first. */
export async function runThere(context: Context, errand: Errand): Promise<CommandResult> {
  const { host, reach, command, input, beyond } = errand;
  const mayRun = await reach.hasFiles();
  reach.close();
  if (!mayRun) {
    const message = `qward ${beyond.words} needs more of ${host.name} than its sockets: ${beyond.why}`;
    const hint = 'the account there has the sockets alone: use one that has a shell, or that host itself';
    return failed([{ message, hint }], exitStatus.refused);
  }
  const words = wordsOf(command, input);
  const status = isLogin(command, input)
    ? await withTerminal(context, host, words)
    : await shown(context, host, words);
  if (status !== sshFailed || command.name === 'ssh') return printed(status);
  const message = `${host.name}: ssh could not connect, or lost the connection`;
  return failed([{ code: 'manager-unreachable', message, hint: 'its own words are above' }]);
}

/** Goes on to a prompt in the guest. */
const isLogin = ({ name }: Command, { options }: Parsed): boolean =>
  name === 'ssh' || options['login'] === true;

/** Whose terminal is that of the guest: what comes is as it is, as with ssh itself. */
function withTerminal({ io }: Context, host: RemoteHost, words: readonly string[]): Promise<number> {
  const ignore = (): void => undefined;
  process.on('SIGINT', ignore);
  const terminal = io.isTerminal(0) && io.isTerminal(1);
  const child = spawn('ssh', sshArgumentsThere(host, terminal, words), { stdio: 'inherit' });
  return statusOf(child).finally(() => process.off('SIGINT', ignore));
}

/** SECURITY: rule guest. What the other host writes is shown, and steers no terminal. */
function shown(context: Context, host: RemoteHost, words: readonly string[]): Promise<number> {
  const child = spawn('ssh', sshArgumentsThere(host, false, words), { stdio: ['inherit', 'pipe', 'pipe'] });
  passOn(child.stdout, (text) => context.print(text));
  passOn(child.stderr, (text) => context.warn(text));
  return statusOf(child);
}

function passOn(words: Readable, show: (text: string) => void): void {
  const decoder = new StringDecoder('utf8');
  words.on('data', (piece: Buffer) => show(decoder.write(piece)));
  words.on('end', () => show(decoder.end()));
}

function statusOf(child: ReturnType<typeof spawn>): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (status) => resolve(status ?? sshFailed));
  });
}
