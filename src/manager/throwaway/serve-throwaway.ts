/**
 * A client and its throwaway machine at one WebSocket: what the client wants, how far that is, and then bytes both ways between the
 * client and the runner in the guest, none of which is read here. The end of the connection is the end of the machine, and the reverse.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import type { ThrowawayNotice } from '../../api/stream-messages.ts';
import { throwawayWish, type ThrowawayWish } from '../../api/throwaway-contract.ts';
import type { Fault } from '../../definition/fault.ts';
import { writtenFiles } from '../../definition/written-files.ts';
import { connectQemu } from '../lifecycle/connect-qemu.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { History } from '../history/history.ts';
import type { Log } from '../log.ts';
import type { Identity } from '../roles.ts';
import { errorReply } from '../server/reply.ts';
import { awaitHello } from './await-hello.ts';
import { relay } from './relay.ts';
import type { Throwaway, Throwaways } from './throwaways.ts';

export interface ThrowawayStreamServices {
  readonly throwaways: Pick<Throwaways, 'ending' | 'reserve' | 'start' | 'release'>;
  readonly history: Pick<History, 'record'>;
  readonly log: Pick<Log, 'error'>;
  /** Names the line of the policy that a fault comes from. */
  readonly placed: (fault: Fault) => Fault;
}

const ownFault = 'a fault of qward itself';
const wishWithinMs = 30_000;
const connectTimeoutMs = 10_000;
const endGraceMs = 2000;
const maxDetails = 500;
/** Bytes. */
const maxLastWords = 600;
const normal = 1000;

export function openThrowaway(
  services: ThrowawayStreamServices,
  identity: Identity,
): Outcome<(socket: WebSocket) => void> {
  if (!identity.definer)
    return failure(
      'not-allowed',
      `user ${identity.user} may not define machines, throwaway ones neither`,
      'ask an administrator to name you under `define` in the policy',
    );
  return success((socket) => void serve(services, identity, socket));
}

type Notice = Omit<ThrowawayNotice, 'name'>;

/** What one visit has in hand. */
interface Visit extends ThrowawayStreamServices {
  readonly identity: Identity;
  readonly socket: WebSocket;
  readonly name: string;
  readonly signal: AbortSignal;
  /** The machine is to end, and why. */
  readonly end: (why: string) => void;
  readonly tell: (notice: Notice) => void;
  readonly wish: Promise<Outcome<ThrowawayWish>>;
  /** It has this place until it is cleared away. */
  readonly hold: (place: Throwaway['place']) => void;
}

async function serve(
  services: ThrowawayStreamServices,
  identity: Identity,
  socket: WebSocket,
): Promise<void> {
  const { throwaways } = services;
  // SECURITY: promise 7. Whatever ends the connection ends the machine: the client, its death, the deadline, this manager's end.
  const ending = new AbortController();
  const { signal } = ending;
  const end = (why: string): void => {
    ending.abort(new Error(why));
  };
  const onClose = (): void => end('the connection ended');
  const onEnding = (): void => end('the manager goes down');
  socket.once('close', onClose);
  throwaways.ending.addEventListener('abort', onEnding, { once: true });
  const wish = firstMessage(socket, signal);
  const reserved = await throwaways.reserve();
  const name = reserved.ok ? reserved.value : '';
  const tell: Visit['tell'] = (notice) => {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify({ ...notice, name }));
  };
  let last: Notice = { notice: 'failed', message: ownFault };
  let place: Throwaway['place'] | undefined;
  const hold: Visit['hold'] = (given) => (place = given);
  try {
    if (reserved.ok)
      last = await attend({ ...services, identity, socket, name, signal, end, tell, wish, hold });
    else last = { notice: 'failed', ...told(reserved.faults, 'no machine') };
  } finally {
    socket.off('close', onClose);
    throwaways.ending.removeEventListener('abort', onEnding);
    if (reserved.ok) await throwaways.release(name, `qward, since ${messageOf(signal)}`);
    place?.[Symbol.dispose]();
    tell(last);
    socket.resume();
    socket.close(normal);
  }
}

/** Until it is over; the last notice. */
async function attend(visit: Visit): Promise<Notice> {
  const { tell, signal, placed } = visit;
  tell({ notice: 'named', message: 'claim its files, and say what it is' });
  const wish = await visit.wish;
  const started = wish.ok ? await start(visit, wish.value) : wish;
  const refusal = started.ok ? undefined : started.faults[0];
  visit.history.record(visit.identity, {
    call: 'run',
    machine: visit.name,
    owner: visit.identity.uid,
    outcome: started.ok ? 'done' : refusal?.rule === undefined ? 'failed' : 'refused',
    code: refusal?.code ?? null,
    rule: refusal?.rule ?? null,
    details: wish.ok ? imagesOf(wish.value) : null,
  });
  if (!started.ok || !wish.ok) {
    const faults = signal.aborted || started.ok ? [] : started.faults.map(placed);
    return { notice: 'failed', ...told(faults, messageOf(signal)) };
  }
  const { ttlMs } = wish.value;
  const deadline = setTimeout(() => visit.end(`its time is over (${ttlMs / 1000} s)`), ttlMs);
  try {
    tell({ notice: 'started', message: 'every wall proved; the guest comes up' });
    const words = await live(visit, started.value);
    return { notice: 'ended', message: `${messageOf(signal)}${words}` };
  } finally {
    clearTimeout(deadline);
  }
}

/** From which files, or which saved machine, it is made, for the history. */
function imagesOf(wish: ThrowawayWish): string | null {
  if ('from' in wish) return JSON.stringify({ from: wish.from });
  const files = writtenFiles(wish.source)?.files ?? [];
  return files.length === 0 ? null : JSON.stringify(files.map(({ path }) => path)).slice(0, maxDetails);
}

async function start(
  { throwaways, log, identity, name, signal, tell, hold }: Visit,
  wish: ThrowawayWish,
): Promise<Outcome<Throwaway>> {
  try {
    return await throwaways.start({
      identity,
      name,
      wish,
      signal,
      hold,
      onPlace: (before) => tell({ notice: 'waiting', message: `${before} start before it`, before }),
      onStarting: () => tell({ notice: 'starting', message: 'its turn has come' }),
    });
  } catch (error) {
    log.error('a throwaway machine failed', { machine: name, error });
    return failure('internal', ownFault, 'please report it, with the log of qward-manager');
  }
}

const told = (faults: readonly Fault[], otherwise: string): Pick<ThrowawayNotice, 'message' | 'faults'> => {
  const [first] = faults;
  if (first === undefined) return { message: otherwise };
  return { message: first.message, faults: errorReply(faults).body.faults };
};

/** Until the machine or the connection ends. Of a guest that did not come up, what it said last. */
async function live({ socket, signal, end, tell }: Visit, { machine, place }: Throwaway): Promise<string> {
  const { run } = machine;
  if (run === undefined) {
    end(machine.life.lastEnd?.message ?? 'it ended at once');
    return '';
  }
  void machine.life.ended(run).then(() => end(machine.life.lastEnd?.message ?? 'the machine ended'));
  let heard = false;
  const ready = (): void => {
    heard = true;
    place.up();
    tell({ notice: 'ready', message: 'the runner in the guest hears' });
  };
  socket.on('message', (_data, isBinary) => {
    if (!isBinary) end('its user ended it');
  });
  const fault = await speak(run, { socket, signal, ready });
  // The guest's side ends a moment before the end of its process is known, and that says more.
  if (fault === undefined && !signal.aborted) await Promise.race([aborted(signal), wait(endGraceMs)]);
  end(fault ?? 'the guest ended its side');
  return heard ? '' : await lastWords(run);
}

async function lastWords({ console }: Run): Promise<string> {
  const { output } = await console.scrollBack.read();
  const text = output.subarray(-maxLastWords).toString('latin1');
  const words = text.replaceAll(/\u001b\[[0-9;?]*[A-Za-z]|[^\u0020-\u007e]+/g, ' ').trim();
  return words === '' ? '' : `; its console said last: ${words}`;
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));

interface Talk {
  readonly socket: WebSocket;
  readonly signal: AbortSignal;
  readonly ready: () => void;
}

/** Until one side ends; why, where nobody else knows. */
async function speak(run: Run, { socket, signal, ready }: Talk): Promise<string | undefined> {
  const { launched, process } = run;
  const connected = await connectQemu({
    path: launched.sockets.runner ?? '',
    uid: launched.uid,
    timeoutMs: connectTimeoutMs,
    signal,
    alive: () => process.alive,
  });
  if (!connected.ok) return connected.message;
  const guest = connected.socket;
  const leave = (): void => void guest.destroy();
  signal.addEventListener('abort', leave, { once: true });
  try {
    const hello = await awaitHello(guest);
    if (!hello.ok) return hello.message;
    ready();
    await relay(guest, socket, hello.rest);
    return undefined;
  } finally {
    signal.removeEventListener('abort', leave);
    guest.destroy();
  }
}

const messageOf = ({ reason }: AbortSignal): string =>
  reason instanceof Error ? reason.message : 'the guest ended its side';

function firstMessage(socket: WebSocket, signal: AbortSignal): Promise<Outcome<ThrowawayWish>> {
  return new Promise((resolve) => {
    const settle = (outcome: Outcome<ThrowawayWish>): void => {
      clearTimeout(timer);
      socket.off('message', hear);
      resolve(outcome);
    };
    const none = (): void => settle(failure('timed-out', 'no wish came', 'send `{source, ttlMs}` first'));
    const hear = (data: unknown, isBinary: boolean): void => settle(parseWish(data, isBinary));
    const timer = setTimeout(none, wishWithinMs);
    socket.on('message', hear);
    signal.addEventListener('abort', none, { once: true });
  });
}

function parseWish(data: unknown, isBinary: boolean): Outcome<ThrowawayWish> {
  const wrong = (message: string): Outcome<never> =>
    failure('request-invalid', message, 'see docs/throwaway.md for what a client sends');
  if (isBinary || !Buffer.isBuffer(data)) return wrong('text expected first');
  try {
    const parsed = throwawayWish.safeParse(JSON.parse(data.toString('utf8')));
    return parsed.success ? success(parsed.data) : wrong(parsed.error.issues[0]?.message ?? 'no wish');
  } catch {
    return wrong('the first text is not JSON');
  }
}
