/**
 * The commands that the manager gives to guest agents, a closed set (QEMU's interop/qemu-ga-ref, 7.2): time limit, arguments,
 * and how the answer is read. SECURITY: rule QMP. What an agent says is the guest's: of the form that is promised, or nothing.
 */
import type { AgentCommandOptions } from './agent-session.ts';
import type { CommandResult } from './command-result.ts';
import { printable } from './printable.ts';
import { type Fields, memberOf, parseCount, parseFields, parseFlag, parseList, parseText } from './shape.ts';

/** Whatever asks an agent: one command at a time, within its time limit. */
export interface AgentPort {
  execute(
    command: string,
    args: Fields | undefined,
    options: AgentCommandOptions,
  ): Promise<CommandResult<unknown>>;
}

/** Of a file, bytes: two thirds of a line of the agent's. */
export const agentChunkBytes = 32 * 1024;
/** What a program may have written until it ended, both outputs together and as base64; qemu-ga itself keeps 16 MiB. */
export const maxProgramOutputBytes = 4 * 1024 * 1024;

const quickMs = 10_000;
/** Freezing waits for what the guest still has to write. */
const freezeMs = 60_000;
const maxText = 1024;

export interface ProgramRequest {
  readonly argv: readonly [string, ...string[]];
  readonly env: Readonly<Record<string, string>>;
  /** Standard input, base64. */
  readonly input: string | undefined;
}

export type ProgramState =
  | { readonly exited: false }
  | {
      readonly exited: true;
      /** Null where a signal ended it. */
      readonly exitCode: number | null;
      readonly signal: number | null;
      /** Base64. */
      readonly stdout: string;
      readonly stderr: string;
      /** The agent kept only the beginning. */
      readonly truncated: boolean;
    };

export interface GuestSystem {
  /** `Debian GNU/Linux 12 (bookworm)`. */
  readonly name: string;
  readonly kernel: string;
}

const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function parseBase64(value: unknown): string | undefined {
  return typeof value === 'string' && base64.test(value) ? value : undefined;
}

const address = /^(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f:]{2,39})$/;
const ofNoNetwork = /^(?:127\.|169\.254\.|::1$|fe[89ab])/;

function parseAddresses(value: unknown): readonly string[] | undefined {
  return parseList(value, (item) => {
    const found = memberOf(parseFields(item), 'ip-addresses') ?? [];
    return parseList(found, (one) => parseText(memberOf(parseFields(one), 'ip-address'), 45)?.toLowerCase());
  })
    ?.flat()
    .filter((text) => address.test(text) && !ofNoNetwork.test(text));
}

const orEmpty = (value: unknown): unknown => value ?? '';
const parseLine = (value: unknown): string | undefined => {
  const text = parseText(value, maxText);
  return text === undefined ? undefined : printable(text, maxText).replaceAll(/\s/g, ' ');
};

function parseProgramState(value: unknown): ProgramState | undefined {
  const fields = parseFields(value);
  const exited = parseFlag(memberOf(fields, 'exited'));
  if (exited === undefined) return undefined;
  if (!exited) return { exited };
  const [stdout, stderr] = ['out-data', 'err-data'].map((key) => parseBase64(orEmpty(memberOf(fields, key))));
  if (stdout === undefined || stderr === undefined) return undefined;
  const [exitCode = null, signal = null] = ['exitcode', 'signal'].map((key) =>
    parseCount(memberOf(fields, key)),
  );
  const truncated = ['out-truncated', 'err-truncated'].some((key) => memberOf(fields, key) === true);
  return { exited, exitCode, signal, stdout, stderr, truncated };
}

const parseAnything = (value: unknown): true | undefined => (value === undefined ? undefined : true);

export const agentCommands = {
  ping: command('guest-ping', quickMs, () => undefined, parseAnything),
  /** Gives the guest's pid of the program. */
  exec: command(
    'guest-exec',
    quickMs,
    ({ argv: [path, ...arg], env, input }: ProgramRequest) => ({
      path,
      arg,
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      ...(input === undefined ? {} : { 'input-data': input }),
      'capture-output': true,
    }),
    (value) => parseCount(memberOf(parseFields(value), 'pid')),
  ),
  execStatus: command(
    'guest-exec-status',
    quickMs,
    ({ pid }: { readonly pid: number }) => ({ pid }),
    parseProgramState,
    maxProgramOutputBytes,
  ),
  /** Gives a handle of the agent's. */
  fileOpen: command(
    'guest-file-open',
    quickMs,
    ({ path, mode }: { readonly path: string; readonly mode: 'r' | 'w' }) => ({ path, mode }),
    parseCount,
  ),
  fileRead: command(
    'guest-file-read',
    quickMs,
    ({ handle }: { readonly handle: number }) => ({ handle, count: agentChunkBytes }),
    (value) => {
      const fields = parseFields(value);
      const data = parseBase64(memberOf(fields, 'buf-b64'));
      const eof = parseFlag(memberOf(fields, 'eof'));
      if (data === undefined || eof === undefined) return undefined;
      const bytes = Buffer.from(data, 'base64');
      return bytes.length > agentChunkBytes ? undefined : { bytes, eof };
    },
  ),
  /** Gives how many bytes were written, which may be fewer. */
  fileWrite: command(
    'guest-file-write',
    quickMs,
    ({ handle, bytes }: { readonly handle: number; readonly bytes: Buffer }) => ({
      handle,
      'buf-b64': bytes.toString('base64'),
    }),
    (value) => parseCount(memberOf(parseFields(value), 'count')),
  ),
  fileClose: command(
    'guest-file-close',
    quickMs,
    ({ handle }: { readonly handle: number }) => ({ handle }),
    parseAnything,
  ),
  /** Gives the number of file systems. Until they are thawed the agent does little else. */
  freeze: command('guest-fsfreeze-freeze', freezeMs, () => undefined, parseCount),
  thaw: command('guest-fsfreeze-thaw', freezeMs, () => undefined, parseCount),
  frozen: command(
    'guest-fsfreeze-status',
    quickMs,
    () => undefined,
    (value) => (value === 'frozen' || value === 'thawed' ? value : undefined),
  ),
  /** Of its cards, in its own words: those of loopback and of links alone left out. */
  addresses: command('guest-network-get-interfaces', quickMs, () => undefined, parseAddresses),
  setTime: command(
    'guest-set-time',
    quickMs,
    // Nanoseconds; a double has them to some 200.
    ({ ms }: { readonly ms: number }) => ({ time: ms * 1e6 }),
    parseAnything,
  ),
  version: command(
    'guest-info',
    quickMs,
    () => undefined,
    (value) => parseLine(memberOf(parseFields(value), 'version')),
  ),
  hostName: command(
    'guest-get-host-name',
    quickMs,
    () => undefined,
    (value) => parseLine(memberOf(parseFields(value), 'host-name')),
  ),
  system: command(
    'guest-get-osinfo',
    quickMs,
    () => undefined,
    (value): GuestSystem | undefined => {
      const fields = parseFields(value);
      const [name, kernel] = ['pretty-name', 'kernel-release'].map((key) =>
        parseLine(orEmpty(memberOf(fields, key))),
      );
      return name === undefined || kernel === undefined ? undefined : { name, kernel };
    },
  ),
} as const;

function command<Args, Value>(
  name: string,
  timeoutMs: number,
  encode: (args: Args) => Fields | undefined,
  parse: (value: unknown) => Value | undefined,
  maxLineBytes?: number,
) {
  return async (
    agent: AgentPort,
    args: Args,
    options: Partial<AgentCommandOptions> = {},
  ): Promise<CommandResult<Value>> => {
    const limits = { timeoutMs, ...(maxLineBytes === undefined ? {} : { maxLineBytes }), ...options };
    const result = await agent.execute(name, encode(args), limits);
    if (!result.ok) return result;
    const value = parse(result.value);
    if (value !== undefined) return { ok: true, value };
    return {
      ok: false,
      code: 'malformed',
      message: `the agent's answer to "${name}" does not have the form that it has in QEMU 7.2`,
    };
  };
}
