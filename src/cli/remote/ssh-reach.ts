/** An instance on another host: every connection is a channel of one ssh process, which is started with the first. */
import { spawn, type ChildProcess } from 'node:child_process';
import { PassThrough, type Readable } from 'node:stream';
import { StringDecoder } from 'node:string_decoder';
import { TransportError } from '../../api/http.ts';
import type { Reach } from '../../api/reach.ts';
import { escapeLines } from '../render/escape.ts';
import { readGreeting, type Greeting } from './greeting.ts';
import { Mux, type Channel } from './mux.ts';
import { sshArguments, type RemoteHost, type RemoteInstance } from './remote-host.ts';
import { remoteTargets } from './target-channel.ts';

/** The host cannot be reached; `hint` says the cure. ssh's own words are on standard error already. */
export class RemoteFault extends Error {
  readonly hint: string;
  constructor(message: string, hint: string) {
    super(message);
    this.hint = hint;
  }
}

interface Line {
  readonly mux: Mux;
  readonly greeting: Promise<Greeting>;
  readonly child: ChildProcess;
}

const lastWordsMs = 300;

export interface SshOptions {
  /** Nothing is asked, nothing is said, and it gives up soon: somebody presses Tab. */
  readonly quiet: boolean;
  readonly instance?: RemoteInstance;
}

export interface SshReach extends Reach {
  /** Whether the account makes files there; one that may use the sockets alone does not. */
  hasFiles(): Promise<boolean>;
}

export function sshReach(host: RemoteHost, options: SshOptions): SshReach {
  let line: Line | undefined;
  const open = (name: string): Channel => (line ??= dial(host, options)).mux.open(name);
  const greeting = (): Promise<Greeting> =>
    (line ??= dial(host, options)).greeting.catch((cause: unknown) => {
      throw new TransportError('unreachable', `${host.name} cannot be reached`, { cause });
    });
  return {
    name: host.name,
    connect: open,
    uid: async () => (await greeting()).uid,
    hasFiles: async () => (await greeting()).files,
    targets: remoteTargets(async () => ((await greeting()).files ? open('files') : undefined)),
    // ssh ends at once, and with it the other side.
    close: () => void line?.child.kill(),
  };
}

function dial(host: RemoteHost, { quiet, instance }: SshOptions): Line {
  // Host keys and passwords are between ssh and its user, on the terminal; its other words, and those of the other host, go through here.
  const child = spawn('ssh', sshArguments(host, quiet, instance), {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  if (quiet) child.stderr.resume();
  else showWords(child.stderr);
  // A master that stays behind (ControlPersist) keeps it open, and "close" would not come.
  child.once('exit', () => setTimeout(() => child.stderr.destroy(), lastWordsMs));
  const input = new PassThrough();
  const greeting = Promise.withResolvers<Greeting>();
  greeting.promise.catch(() => undefined);
  let failure: Error | undefined;
  const mux = new Mux({
    input,
    output: child.stdin,
    onEnd: (error) => {
      greeting.reject(error ?? new Error('the connection ended'));
      child.kill();
    },
  });
  const fail = (error: Error): void => {
    failure ??= error;
    mux.end(failure);
  };
  let head: Buffer | undefined = Buffer.alloc(0);
  child.stdout.on('data', (piece: Buffer) => {
    if (head === undefined) {
      mux.receive(piece);
      return;
    }
    head = Buffer.concat([head, piece]);
    const read = readGreeting(head);
    if (read.kind === 'wrong') fail(new RemoteFault(read.message, read.hint));
    if (read.kind !== 'greeting') return;
    head = undefined;
    greeting.resolve(read.greeting);
    mux.receive(read.rest);
  });
  child.on('error', (error) => fail(notRun(error)));
  child.on('close', (status, signal) => fail(ended(host, status, signal)));
  return { mux, greeting: greeting.promise, child };
}

/** SECURITY: rule guest. What the other host writes there, ssh passes on as it is: it is shown, and steers no terminal. */
function showWords(words: Readable): void {
  const decoder = new StringDecoder('utf8');
  // A line of ssh's own ends in both; where the pieces part between them, the first would be shown.
  let held = '';
  const show = (text: string): void => {
    const all = held + text;
    held = all.endsWith('\r') ? '\r' : '';
    process.stderr.write(escapeLines(held === '' ? all : all.slice(0, -1)));
  };
  words.on('data', (piece: Buffer) => show(decoder.write(piece)));
  words.on('end', () => process.stderr.write(escapeLines(held + decoder.end())));
  words.on('error', () => undefined);
}

function notRun(error: Error): RemoteFault {
  return new RemoteFault(
    `ssh cannot be run: ${error.message}`,
    'Install it: apt-get install openssh-client.',
  );
}

/** ssh(1): 255 for its own failures, else the status of what it ran. A shell says 127 for a program that is not there. */
function ended({ name }: RemoteHost, status: number | null, signal: string | null): RemoteFault {
  if (status === 255)
    return new RemoteFault(
      'ssh could not connect, or lost the connection; its own words are above',
      `Try: ssh ${sshWords(name)}`,
    );
  if (status === 127 || status === 126)
    return new RemoteFault(
      'there is no program `qward` that the account there can run',
      'Install qward there.',
    );
  const how = signal === null ? `status ${status ?? 0}` : signal;
  return new RemoteFault(
    `the other side ended (${how})`,
    'Try: the same command again, or on that host itself.',
  );
}

const sshWords = (name: string): string => name.replace(/(ssh:\/\/[^/]*).*/, '$1');
