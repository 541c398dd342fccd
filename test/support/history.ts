/** The manager's history, which is written beside the answers and not before them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { CallResult } from '../../src/api/calls.ts';
import type { QwardClient } from '../../src/api/client.ts';

type Entries = CallResult<'history'>;

/** The entries, once one of them matches, or after five seconds as they are then. Asked as whoever the test runs as. */
export async function historyOf(
  { client }: { readonly client: QwardClient },
  wanted: (entry: Entries[number]) => boolean,
): Promise<Entries> {
  const giveUpAt = performance.now() + 5000;
  for (;;) {
    const reply = await client.call('history', { limit: 10_000 });
    if (!reply.ok) throw new Error(JSON.stringify(reply.faults));
    if (reply.result.some(wanted) || performance.now() > giveUpAt) return reply.result;
    await delay(5);
  }
}
