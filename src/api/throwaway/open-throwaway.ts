/** Asks for a throwaway machine, and waits until commands can be given to it. */
import { writtenFiles } from '../../definition/written-files.ts';
import { callRequest } from '../call-request.ts';
import { readReply, type QwardClient } from '../client.ts';
import { endpoints } from '../endpoints.ts';
import { parseTrusted } from '../json.ts';
import type { ThrowawayNotice } from '../stream-messages.ts';
import { openMessageStream, type MessageStream, type StreamMessage } from '../web-socket.ts';
import { findImageFile } from './image-file.ts';
import { parsePlaces } from './places.ts';
import { RunFault } from './run-fault.ts';
import { ThrowawayMachine } from './throwaway-machine.ts';

export interface RunOptions {
  /** The name of an image of `qward image`, or the absolute path of a file; none: the machine has no disk. */
  readonly image?: string;
  /**
   * A saved machine with a runner: the machine is a copy of it, and goes on where it was. Image, memory, cpus, kernel, definition and a network
   * of its own are then that machine's to say.
   */
  readonly from?: string;
  /** Of a file; default: qcow2. */
  readonly format?: 'qcow2' | 'raw';
  /** As a definition has it: `512MiB`. Default: 1GiB. */
  readonly memory?: string;
  readonly cpus?: number;
  /**
   * `user`: a network of its own, by passt. `allow`: no network, but TCP connections to these, each `HOST:PORT`, or `NAME:PORT/private` for
   * a name that may lead into a private network; this process makes them. Default: none.
   */
  readonly net?: 'none' | 'user' | { readonly allow: readonly string[] };
  /** A Linux kernel to boot directly, absolute paths. */
  readonly kernel?: string;
  readonly initrd?: string;
  readonly cmdline?: string;
  /** How long it may be there, milliseconds. Default: ten minutes. */
  readonly ttlMs?: number;
  /** A line for `qward list`. */
  readonly description?: string;
  /** Further keys of its definition (docs/definition.md). */
  readonly definition?: Readonly<Record<string, unknown>>;
  /** How far it is. */
  readonly onProgress?: (notice: ThrowawayNotice) => void;
  /** Told once of each name of `allow` that leads to no address that it may lead to, with the addresses and the cure. */
  readonly onClosedName?: (message: string) => void;
  /** Gives up, as long as it is not ready. */
  readonly signal?: AbortSignal;
}

/** Throws RunFault, TransportError, RangeError for options that cannot be, and the reason of the signal. */
export async function openThrowaway(client: QwardClient, options: RunOptions): Promise<ThrowawayMachine> {
  const { signal, net } = options;
  signal?.throwIfAborted();
  const places = typeof net === 'object' ? parsePlaces(net.allow) : [];
  if (typeof places === 'string') throw new RangeError(`net.allow: ${places}`);
  const second = options.from === undefined ? undefined : besideFrom(options);
  if (second !== undefined) throw new RangeError(`from: what it is copied from says ${second}`);
  const disk = options.image === undefined ? undefined : await findImageFile(client, options.image);
  const opened = await openMessageStream(
    () => client.reach.connect('api'),
    callRequest(endpoints.run, {}).path,
  );
  if ('status' in opened) {
    const reply = readReply<never>(opened);
    const faults = reply.ok ? [] : reply.faults;
    throw new RunFault(faults[0]?.message ?? 'the manager refused', faults);
  }
  const stream = opened;
  const giveUp = (): void => stream.close();
  signal?.addEventListener('abort', giveUp, { once: true });
  let machine: ThrowawayMachine | undefined;
  try {
    const up = await comeUp(client, stream, { ...options, ...(disk === undefined ? {} : { image: disk }) });
    if (options.from !== undefined) up.freshen();
    if (places.length > 0) await up.open(places, options.onClosedName);
    machine = up;
    return machine;
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
    if (machine === undefined) stream.close();
  }
}

async function comeUp(
  client: QwardClient,
  stream: MessageStream,
  options: RunOptions,
): Promise<ThrowawayMachine> {
  const messages = stream[Symbol.asyncIterator]();
  for (let next = await messages.next(); next.done !== true; next = await messages.next()) {
    const notice = noticeOf(next.value);
    if (notice === undefined) continue;
    options.onProgress?.(notice);
    if (notice.notice === 'named') await wish(client, stream, { name: notice.name, options });
    else if (notice.notice === 'ready') return new ThrowawayMachine(notice.name, stream, messages);
    else if (notice.notice === 'failed' || notice.notice === 'ended')
      throw new RunFault(notice.message, notice.faults ?? []);
  }
  throw new RunFault('the manager went away before the machine was up', []);
}

const noticeOf = (message: StreamMessage): ThrowawayNotice | undefined =>
  message.kind === 'text' ? parseTrusted<ThrowawayNotice>(message.text) : undefined;

/** The first option that a copy cannot have. */
const besideFrom = (options: RunOptions): string | undefined =>
  (['image', 'format', 'memory', 'cpus', 'kernel', 'initrd', 'cmdline', 'definition'] as const).find(
    (key) => options[key] !== undefined,
  ) ?? (options.net === 'user' ? 'net' : undefined);

/** The caller's files are claimed for this machine, to be read: what it writes is thrown away. */
async function wish(
  client: QwardClient,
  stream: MessageStream,
  { name, options }: { readonly name: string; readonly options: RunOptions },
): Promise<void> {
  const { from, ttlMs } = options;
  const source = from === undefined ? sourceOf(name, options) : await savedDefinition(client, from);
  const files = writtenFiles(source)?.files ?? [];
  if (files.length > 0 && (await client.reach.uid()) !== 0) {
    const claims = await client.claims();
    const claimed = await claims.claim(
      name,
      files.map(({ path }) => ({ path, access: 'ro' })),
    );
    if (!claimed.ok) throw new RunFault(claimed.faults[0]?.message ?? 'a claim was refused', claimed.faults);
  }
  const what = from === undefined ? { source } : { from, description: options.description };
  stream.sendText(JSON.stringify({ ...what, ...(ttlMs === undefined ? {} : { ttlMs }) }));
}

/** A copy is made of what was saved, whatever was edited since. */
async function savedDefinition(client: QwardClient, machine: string): Promise<string> {
  const reply = await client.call('definition', { name: machine, saved: true });
  if (!reply.ok) throw new RunFault(reply.faults[0]?.message ?? 'the manager refused', reply.faults);
  return reply.result.source;
}

/** JSON is YAML. */
function sourceOf(name: string, options: RunOptions): string {
  const { image, format = 'qcow2', memory, cpus, net = 'none', kernel, initrd, cmdline } = options;
  const boot = { kernel, initrd, cmdline };
  return JSON.stringify({
    description: options.description ?? 'a throwaway machine',
    ...(memory === undefined ? {} : { memory }),
    ...(cpus === undefined ? {} : { cpu: { count: cpus } }),
    ...(image === undefined ? {} : { disks: [{ id: 'root', path: image, format }] }),
    ...(kernel === undefined ? {} : { boot }),
    ...(net === 'user' ? { nics: [{ id: 'net', kind: 'user' }] } : {}),
    ...options.definition,
    name,
    tags: ['throwaway'],
  });
}
