/** The images of a machine once nothing is done with them any more: what was given up is undone by its manager, which needs its files for that. */
import type { CallResult } from './calls.ts';
import type { QwardClient, Reply } from './client.ts';

const tries = 100;
const pauseMs = 200;

type Chain = CallResult<'chain'>;

/** `busy`: with what it is still not done. Undefined: not known, since it is busy all the time, or does not answer. */
export async function settledChain(
  client: Pick<QwardClient, 'call'>,
  name: string,
  busy: (work: NonNullable<Chain['busy']>) => boolean = () => true,
): Promise<Reply<Chain> | undefined> {
  for (let times = 0; times < tries; times += 1) {
    const reply = await client.call('chain', { name }).catch(() => undefined);
    if (reply?.ok !== true || reply.result.busy === null || !busy(reply.result.busy)) return reply;
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
  }
  return undefined;
}
