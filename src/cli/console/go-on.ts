/** A console whose manager went away: it goes on with the next one, where it was, as long as the machine is the same process. */
import { setTimeout as delay } from 'node:timers/promises';
import { TransportError } from '../../api/http.ts';
import type { ConsoleStream } from '../../api/streams.ts';
import type { Context } from '../context.ts';

export interface GoOnOptions {
  readonly name: string;
  /** The machine's, when the console was opened; null: not known. */
  readonly pid: number | null;
  /** Up to where its output was shown. */
  readonly offset: number | undefined;
  readonly watch: boolean;
  readonly say: (text: string) => void;
}

/** A manager that is started again is there in a second or two; an upgrade of the package takes longer. */
const waitMs = 60_000;
const retryMs = 200;

interface Process {
  /** Null: it does not run, or is not told. */
  readonly pid: number | null;
  /** The manager answers. */
  readonly reached: boolean;
  /** The manager has not yet asked it how it is. */
  readonly unsettled: boolean;
}

export async function processOf({ client }: Pick<Context, 'client'>, name: string): Promise<Process> {
  try {
    const reply = await client.call('status', { name });
    if (!reply.ok) return { pid: null, reached: true, unsettled: false };
    const { pid, state } = reply.result;
    return { pid, reached: true, unsettled: state === 'unreachable' };
  } catch (error) {
    if (!(error instanceof TransportError)) throw error;
    return { pid: null, reached: false, unsettled: false };
  }
}

/** The console again; undefined: it is over, with its machine or since no manager came. */
export async function goOn(
  context: Pick<Context, 'client'>,
  { name, pid, offset, watch, say }: GoOnOptions,
): Promise<ConsoleStream | undefined> {
  if (pid === null) return undefined;
  let told = false;
  for (const giveUpAt = performance.now() + waitMs; performance.now() < giveUpAt; await delay(retryMs)) {
    const now = await processOf(context, name);
    if (now.reached && now.pid !== pid) return undefined;
    if (!now.reached && !told) {
      say('the manager went away; waiting for the next one');
      told = true;
    }
    if (!now.reached || now.unsettled) continue;
    const opened = await context.client
      .console({
        name,
        mode: watch ? 'watch' : 'write',
        ...(offset === undefined ? { replay: false } : { from: offset }),
      })
      .catch(() => undefined);
    if (opened === undefined) continue;
    if (!opened.ok) return undefined;
    say('attached again; what the guest wrote while no manager was there is lost');
    return opened.result;
  }
  return undefined;
}
