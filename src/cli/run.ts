/** One call of the CLI, from words to exit status. */
import { TransportError } from '../api/http.ts';
import type { Command, CommandResult, OptionSpecs } from './command.ts';
import { commandNames, findCommand } from './command-table.ts';
import { createContext, formatJson, type Context } from './context.ts';
import { nearest } from '../definition/suggest.ts';
import { exitStatus } from './exit-status.ts';
import { globalOptions } from './global-options.ts';
import { chooseSocket } from './instance.ts';
import type { Io } from './io.ts';
import { parseArguments, type Parsed } from './parse-arguments.ts';
import type { BeyondSockets } from './remote/beyond-sockets.ts';
import type { RemoteHost } from './remote/remote-host.ts';
import type { SshReach } from './remote/ssh-reach.ts';
import { renderFaults } from './render/faults.ts';
import { failed } from './results.ts';

/** Where the command's name stands: behind global options. -1: there is none. */
function commandIndex(words: readonly string[]): number {
  let index = 0;
  while (index < words.length && words[index]?.startsWith('-') === true) {
    index += ['--socket', '--host', '-H'].includes(words[index] ?? '') ? 2 : 1;
  }
  return index < words.length ? index : -1;
}

function usageError(io: Io, json: boolean, message: string): number {
  io.write(2, json ? formatJson({ faults: [{ message, hint: '' }] }) : `qward: ${message}\n`);
  return exitStatus.usage;
}

const connectReasons: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such socket',
  ECONNREFUSED: 'nothing listens on it',
  EACCES: 'you may not connect to it',
};

function reasonOf(error: TransportError): string {
  const { cause } = error;
  const code = cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? cause.code : '';
  return connectReasons[code] ?? error.message;
}

function unreachable(context: Context, error: TransportError): CommandResult {
  const path = context.client.reach.name;
  const { cause } = error;
  if (context.remote !== undefined && cause instanceof Error && 'hint' in cause)
    return failed([
      { code: 'manager-unreachable', message: `${path}: ${cause.message}`, hint: String(cause.hint) },
    ]);
  const absent = error.code === 'unreachable';
  return failed([
    {
      code: 'manager-unreachable',
      message: `the manager does not answer on ${path}: ${reasonOf(error)}`,
      hint: absent
        ? `Start it${context.remote === undefined ? '' : ' there'}: systemctl start qward-manager, or without systemd: qward host up. Another socket: --socket PATH.`
        : `See its log: ${logOf(path)}.`,
    },
  ]);
}

/** Of the manager that listens there. */
function logOf(socket: string): string {
  if (!socket.startsWith('/run/user/')) return 'journalctl -u qward-manager';
  return `journalctl --user -u qward-session, or ${socket.slice(0, socket.lastIndexOf('/'))}/manager.log where a command brought it up`;
}

function report(context: Context, result: CommandResult): number {
  if (!result.ok) {
    if (context.json) context.warn(formatJson({ faults: result.faults }));
    else context.warn(renderFaults(result.faults, context.errorStyle));
  } else if (context.json) {
    if (result.data !== undefined) context.print(formatJson(result.data));
  } else {
    context.print(result.text(context.style));
  }
  return result.exit;
}

interface Remote {
  readonly host: RemoteHost;
  readonly reach: SshReach;
  /** The command needs more than a connection. */
  readonly beyond: BeyondSockets | undefined;
}

/** Who works on another host: -H, or QWARD_HOST where no socket of this host is named. What is wrong with it is a string. */
async function remoteOf(command: Command, input: Parsed, io: Io): Promise<Remote | string | undefined> {
  const { host, socket, session, system } = input.globals;
  if (host !== undefined && socket !== undefined) return '--host and --socket together: give one of them';
  const named = typeof host === 'string' ? host : socket === undefined ? io.env['QWARD_HOST'] : undefined;
  if (named === undefined || named === '') return undefined;
  const [{ beyondOf }, { parseRemoteHost }, { sshReach }] = await Promise.all([
    import('./remote/beyond-sockets.ts'),
    import('./remote/remote-host.ts'),
    import('./remote/ssh-reach.ts'),
  ]);
  const beyond = beyondOf(command.name, input);
  if (beyond?.runs === 'here') return undefined;
  const parsed = parseRemoteHost(named);
  if (typeof parsed === 'string') return parsed;
  const instance = session === true ? 'session' : system === true ? 'system' : undefined;
  const reach = sshReach(parsed, { quiet: command.name === '__complete', instance });
  return { host: parsed, reach, beyond };
}

async function carryOut(command: Command, input: Parsed, where: Where): Promise<CommandResult> {
  const { context, remote } = where;
  if (remote?.beyond === undefined) return await command.run(context, input);
  const { runThere } = await import('./remote/run-there.ts');
  return await runThere(context, { ...remote, beyond: remote.beyond, command, input });
}

interface Where {
  readonly context: Context;
  readonly remote: Remote | undefined;
}

async function runCommand(command: Command, input: Parsed, io: Io): Promise<number> {
  const { globals } = input;
  const json = globals['json'] === true;
  const remote = await remoteOf(command, input, io);
  if (typeof remote === 'string') return usageError(io, json, remote);
  const chosen = remote === undefined ? await chooseSocket(command.name, globals, io) : { socket: undefined };
  const context = createContext(io, {
    remote: remote?.reach,
    socket: 'socket' in chosen ? chosen.socket : undefined,
    json,
    noColor: globals['noColor'] === true,
    quiet: globals['quiet'] === true,
  });
  try {
    if ('fault' in chosen) return report(context, failed([chosen.fault], chosen.exit));
    return report(context, await carryOut(command, input, { context, remote }));
  } catch (error) {
    if (error instanceof TransportError) return report(context, unreachable(context, error));
    throw error;
  } finally {
    context.client.close();
  }
}

/** The exit status. Only a bug throws. */
export async function runCli(words: readonly string[], io: Io): Promise<number> {
  const index = commandIndex(words);
  const before = index === -1 ? words : words.slice(0, index);
  const wantsVersion = before.includes('--version') || before.includes('-V');
  const name = index === -1 ? (wantsVersion ? 'version' : 'help') : (words[index] ?? '');
  // Of words that are not understood; what stands behind "--" is not qward's own.
  const end = words.indexOf('--');
  const json = words.slice(0, end === -1 ? words.length : end).includes('--json');
  const load = findCommand(name);
  if (load === undefined) {
    const near = nearest(name, commandNames);
    const cure = near === undefined ? '"qward help" lists them' : `did you mean "${near}"?`;
    return usageError(io, json, `no command "${name}"; ${cure}`);
  }
  const command = await load();
  const meaningless = index === -1 ? ['--version', '-V', '--help', '-h'] : [];
  const given = before.filter((word) => !meaningless.includes(word));
  const rest = index === -1 ? [] : words.slice(index + 1);
  const globals: OptionSpecs = globalOptions;
  const parsed = parseArguments(command, globals, [...given, ...rest]);
  if (!parsed.ok) return usageError(io, json, `${name}: ${parsed.message}`);
  if (parsed.input.globals['help'] === true) {
    const { commandHelp } = await import('./render/help.ts');
    io.write(1, commandHelp(command));
    return exitStatus.done;
  }
  return runCommand(command, parsed.input, io);
}
