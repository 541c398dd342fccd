import { statSync } from 'node:fs';
import { basename, isAbsolute, resolve } from 'node:path';
import { errnoText } from '../../api/errno-text.ts';
import type { RunOptions } from '../../api/throwaway/open-throwaway.ts';
import { parsePlaces } from '../../api/throwaway/places.ts';
import { RunFault } from '../../api/throwaway/run-fault.ts';
import type { ThrowawayNotice } from '../../api/stream-messages.ts';
import { parseByteSize } from '../../definition/byte-size.ts';
import { defineCommand, type CommandFault } from '../command.ts';
import type { Context } from '../context.ts';
import { findImage, storesOf } from '../images/image-store.ts';
import { parseEnvironment } from '../guest/environment.ts';
import { interruptible } from '../interruptible.ts';
import { relativePath } from '../remote-paths.ts';
import { failed, printed, usage } from '../results.ts';
import { joinCommand, terminalSize } from '../throwaway/join-command.ts';

/** As of ssh and `exec`: no program of the guest's can be told from it but one that uses it too. */
const notRun = 255;
const defaultTtlMs = 600_000;
const workPlace = '/work';

interface Copy {
  readonly from: string;
  readonly to: string;
}

export const run = defineCommand({
  name: 'run',
  summary: 'Run a command in a throwaway machine.',
  details:
    'The machine starts from the image, which stays as it is, and is gone with all that it wrote when the command ends, when this command ends or is ' +
    'killed, or when its time is over. It has no network unless --net gives it one. Its walls are those of every machine. Standard input, output and ' +
    "error go through as they come, and the exit status is the command's. The image needs cloud-init, as every image of the catalogue has it. On another " +
    'host (-H) image, kernel and RAM disk are absolute paths there; --copy, and connections of --net allow=, are from here.',
  arguments: {
    IMAGE: {
      help: 'An image of `qward image list`, or the path of a qcow2 file; with --from a saved machine.',
      complete: 'file',
    },
    COMMAND: { help: 'The program and its arguments.', complete: 'none', repeated: true, verbatim: 'rest' },
  },
  options: {
    net: {
      kind: 'text',
      short: 'n',
      value: 'KIND',
      complete: 'none',
      help:
        '"none" (the default), "user": a network of its own, to which the host is closed, or "allow=HOST:PORT,…": no network, but TCP ' +
        'connections to these, which this command makes; NAME:PORT/private is a name that may lead into a private network.',
    },
    from: {
      kind: 'flag',
      help:
        'IMAGE is a saved machine of `qward create --runner`: the machine is a copy of it, and goes on where it was. Its memory, CPUs and kernel are ' +
        'those of the saved one.',
    },
    ttl: {
      kind: 'duration',
      value: 'TIME',
      help: 'How long it may be there at most, from its start on. Default: 10m.',
    },
    memory: {
      kind: 'text',
      short: 'm',
      value: 'SIZE',
      complete: 'none',
      help: 'Its memory; default: what the image needs.',
    },
    cpus: { kind: 'number', short: 'c', value: 'COUNT', help: 'Virtual CPUs; default: 1.' },
    copy: {
      kind: 'texts',
      value: 'DIR[:TO]',
      complete: 'directory',
      help: `A directory to copy into the guest, by default into ${workPlace}, where the command then begins.`,
    },
    env: {
      kind: 'texts',
      short: 'E',
      value: 'NAME=VALUE',
      complete: 'none',
      help: 'A variable of its environment.',
    },
    workdir: {
      kind: 'text',
      short: 'w',
      value: 'DIR',
      complete: 'none',
      help: 'Where in the guest the command begins.',
    },
    terminal: { kind: 'flag', short: 't', help: 'Give the command this terminal.' },
    kernel: {
      kind: 'text',
      value: 'FILE',
      complete: 'file',
      help: 'A Linux kernel to boot directly: faster than by the boot loader of the image.',
    },
    initrd: { kind: 'text', value: 'FILE', complete: 'file', help: 'The initial RAM disk for --kernel.' },
    cmdline: { kind: 'text', value: 'TEXT', complete: 'none', help: 'The command line for --kernel.' },
  },
  exits: {
    [notRun]:
      'the command was not run, or not seen to end; else its own status, or 128 and the number of the signal that ended it',
  },
  examples: [
    { line: 'qward run debian-12 uname -a', meaning: 'a program, and nothing of it stays' },
    { line: "qward run debian-12 --copy . -- sh -c 'make test'", meaning: 'with what is here' },
    { line: 'qward run debian-12 --net user -t bash', meaning: 'a shell with a network' },
    {
      line: 'qward run debian-12 --net allow=pypi.org:443,files.pythonhosted.org:443 -- pip download six',
      meaning: 'with two servers, and no network beside them',
    },
    { line: 'qward run alpine-3.23 --ttl 1m wc -c', meaning: 'of what comes in by standard input' },
    {
      line: 'qward run --from warm uname -a',
      meaning: 'in a copy of the saved machine "warm", which is up already',
    },
  ],
  async run(context, { arguments: { IMAGE: image, COMMAND: argv }, options }) {
    const { kernel, initrd } = options;
    const files = [
      ...(options.from ? [] : [image]),
      ...[kernel, initrd].filter((path) => path !== undefined),
    ];
    const there = relativePath(context, files);
    if (there !== undefined) return usage(`run: ${there}`);
    const environment = parseEnvironment(options.env);
    const copies = options.copy.map(copyOf);
    const net = netOf(options.net ?? 'none');
    const faults = [
      ...(typeof net === 'object' && 'message' in net ? [net] : []),
      ...(environment.ok ? [] : [fault(`--env: NAME=VALUE expected, not "${environment.word}"`)]),
      ...(options.memory === undefined || parseByteSize(options.memory) !== undefined
        ? []
        : [fault(`--memory: a size such as 2GiB is expected, not "${options.memory}"`)]),
      ...copies.flatMap(faultsOfCopy),
      ...(options.from ? faultsBesideFrom(options) : []),
      ...(options.terminal && !context.io.isTerminal(0)
        ? [fault('--terminal: standard input is no terminal', 'leave it out')]
        : []),
    ];
    if (faults.length > 0) return failed(faults, 2);
    if (typeof net === 'object' && 'message' in net) return failed([net], 2);
    const wish = await wishOf(context, image, { ...options, argv, net });
    if ('faults' in wish) return failed(wish.faults, notRun);
    return await interruptible(async (signal) => {
      const { terminal } = options;
      try {
        const machine = await context.progressing('a throwaway machine', (progress) =>
          context.client.run({
            ...wish,
            signal,
            onProgress: (notice) => progress.label(labelOf(notice)),
            onClosedName: (message) => context.warn(`--net: ${message}\n`),
          }),
        );
        await using gone = machine;
        signal.addEventListener('abort', () => void gone[Symbol.asyncDispose](), { once: true });
        for (const { from, to } of copies) await context.during(`copying ${from}`, machine.copyIn(from, to));
        const cwd = options.workdir ?? copies[0]?.to;
        const command = machine.spawn(argv, {
          env: {
            ...(terminal ? { TERM: context.io.env['TERM'] ?? 'linux' } : {}),
            ...(environment.ok ? environment.env : {}),
          },
          ...(cwd === undefined ? {} : { cwd }),
          ...(terminal ? { terminal: terminalSize() } : {}),
        });
        return printed(await joinCommand(context, command, { terminal }));
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof RunFault && error.faults.length > 0) return failed(error.faults, notRun);
        if (!(error instanceof Error) || 'code' in error) throw error;
        return failed([fault(error.message)], notRun);
      }
    }, 'interrupted: the machine is gone');
  },
});

const fault = (message: string, hint = ''): CommandFault => ({ message, hint });

function copyOf(word: string): Copy {
  const [, from = word, to = workPlace] = /^(.*?):(\/.*)$/.exec(word) ?? [];
  return { from: resolve(from), to };
}

function faultsOfCopy({ from }: Copy): readonly CommandFault[] {
  try {
    return statSync(from).isDirectory() ? [] : [fault(`--copy: ${from} is no directory`)];
  } catch (error) {
    return [fault(`--copy: ${from}: ${errnoText(error)}`)];
  }
}

function netOf(word: string): NonNullable<RunOptions['net']> | CommandFault {
  if (word === 'none' || word === 'user') return word;
  const allow = /^allow=(.*)$/.exec(word)?.[1]?.split(',');
  if (allow === undefined) return fault(`--net: "${word}" is not one of none, user, allow=HOST:PORT,…`);
  const places = parsePlaces(allow);
  return typeof places === 'string' ? fault(`--net: ${places}`) : { allow };
}

/** What is the saved machine's to say. */
function faultsBesideFrom(options: Omit<Wishes, 'argv' | 'net'> & { readonly net: string | undefined }) {
  const given = (['memory', 'cpus', 'kernel', 'initrd', 'cmdline'] as const).filter(
    (key) => options[key] !== undefined,
  );
  return [...given, ...(options.net === 'user' ? ['net user'] : [])].map((key) =>
    fault(`--from and --${key} together: a copy has what the saved machine has`, 'leave one out'),
  );
}

interface Wishes {
  readonly from: boolean;
  readonly argv: readonly string[];
  readonly net: NonNullable<RunOptions['net']>;
  readonly ttl: number | undefined;
  readonly memory: string | undefined;
  readonly cpus: number | undefined;
  readonly kernel: string | undefined;
  readonly initrd: string | undefined;
  readonly cmdline: string | undefined;
}

async function wishOf(
  context: Context,
  image: string,
  { from, argv, net, ttl, memory, cpus, kernel, initrd, cmdline }: Wishes,
): Promise<RunOptions | { readonly faults: readonly CommandFault[] }> {
  const common = {
    net,
    ttlMs: ttl ?? defaultTtlMs,
    description: `${basename(image)}: ${argv.join(' ')}`.replaceAll(/[^\u0020-\u007e]/g, '?').slice(0, 200),
  };
  if (from) return { ...common, from: image };
  const path = isAbsolute(image) || image.includes('/') ? resolve(image) : undefined;
  const stores = path === undefined ? await storesOf(context) : undefined;
  if (stores !== undefined && 'faults' in stores) return stores;
  const stored = stores === undefined ? undefined : findImage(stores, image);
  if (path === undefined && stored === undefined)
    return {
      faults: [fault(`there is no image "${image}" here`, `qward image add ${image}, or qward image list`)],
    };
  const wanted = memory ?? stored?.memory ?? undefined;
  return {
    ...common,
    image: path ?? stored?.path ?? image,
    ...(wanted === undefined ? {} : { memory: wanted }),
    ...(cpus === undefined ? {} : { cpus }),
    ...(kernel === undefined ? {} : { kernel: resolve(kernel) }),
    ...(initrd === undefined ? {} : { initrd: resolve(initrd) }),
    ...(cmdline === undefined ? {} : { cmdline }),
  };
}

function labelOf({ notice, before = 0 }: ThrowawayNotice): string {
  if (notice === 'waiting' && before > 0) return `waiting: ${before} start before it`;
  if (notice === 'waiting') return 'waiting for room';
  return notice === 'started' ? 'the guest comes up' : 'starting a throwaway machine';
}
