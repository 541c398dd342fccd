/** Calls about what was done: the history, and the broker's log beside it. */
import type { WebSocket } from 'ws';
import { historyOutcomes, type HistoryEntry } from '../../api/contract.ts';
import { maxLogLines } from '../../protocol/broker.ts';
import type { BrokerPort } from '../broker-port.ts';
import { parseClaimLine } from '../history/claim-line.ts';
import { compareWithBroker, parseBrokerLine } from '../history/compare.ts';
import type { History } from '../history/history.ts';
import type { EntryFilter, KeptEntry } from '../history/messages.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { mayOnHost, type Identity } from '../roles.ts';
import type { Handlers } from '../server/call.ts';

type HistoryCalls = 'history' | 'historyCompare';

export interface HistoryHandlerServices {
  readonly history: History;
  readonly broker: BrokerPort;
  readonly now: () => Date;
}

const dayMs = 86_400_000;
/** The last of what users said to the broker themselves. */
const claimsShown = 200;
/** A request that was sent before the first line that is compared may have been answered after it. */
const longestRequestMs = 120_000;

export function createHistoryHandlers({
  history,
  broker,
  now,
}: HistoryHandlerServices): Pick<Handlers, HistoryCalls> {
  return {
    history: async ({ identity, query }) => {
      const since = query.since === undefined ? null : Date.parse(query.since);
      const filter = { ...filterOf(identity, query), since, limit: query.limit };
      const read = await reading(() => history.entries(filter));
      return read.ok ? success(read.value.map(toEntry)) : read;
    },
    historyCompare: async ({ query }) => {
      const since = query.since === undefined ? now().getTime() - dayMs : Date.parse(query.since);
      const asked = { since: new Date(since).toISOString(), limit: maxLogLines };
      const [lines, claims] = await Promise.all([
        broker.call('history', { ...asked, log: 'broker' }),
        broker.call('history', { ...asked, log: 'claims', limit: claimsShown }),
      ]);
      if (!lines.ok) return lines;
      if (!claims.ok) return claims;
      const entries = lines.value.flatMap((line) => parseBrokerLine(line) ?? []);
      // Where the broker has more than it gives, both are compared from its first line on.
      const from = lines.value.length < maxLogLines ? since : (entries[0]?.at ?? since);
      const actions = await reading(() => history.actions(from - longestRequestMs));
      if (!actions.ok) return actions;
      const differences = compareWithBroker(actions.value, entries).filter(({ at }) => at >= from);
      return success({
        same: differences.length === 0,
        from: new Date(from).toISOString(),
        compared: entries.length,
        differences: differences.map((one) => ({ ...one, at: new Date(one.at).toISOString() })),
        claims: claims.value.flatMap((line) => parseClaimLine(line) ?? []),
      });
    },
  };
}

interface HistoryQuery {
  readonly machine?: string | undefined;
  readonly user?: string | undefined;
  readonly refused: boolean;
}

function filterOf(
  identity: Identity,
  { machine, user, refused }: HistoryQuery,
): Omit<EntryFilter, 'since' | 'limit'> {
  const visibleTo = mayOnHost(identity, 'history') ? null : identity.uid;
  return { machine: machine ?? null, user: user ?? null, refused, visibleTo };
}

/** A listener that does not read is let go: what it missed is in the history. */
const maxUnsentBytes = 1024 * 1024;
const tooSlow = 1008;

/** Each entry that matches, once it is kept, as a text frame. */
export function followHistory(
  socket: WebSocket,
  { history, identity, query }: { history: History; identity: Identity; query: HistoryQuery },
): void {
  const filter = filterOf(identity, query);
  const end = history.subscribe((entry) => {
    if (!matches(entry, filter)) return;
    if (socket.bufferedAmount > maxUnsentBytes) socket.close(tooSlow, 'this client is too slow');
    else socket.send(JSON.stringify(toEntry(entry)));
  });
  socket.once('close', end);
}

/** As the database selects. */
function matches(entry: KeptEntry, filter: ReturnType<typeof filterOf>): boolean {
  const { machine, user, refused, visibleTo } = filter;
  return (
    (visibleTo === null || entry.uid === visibleTo || entry.owner === visibleTo) &&
    (machine === null || entry.machine === machine) &&
    (user === null || entry.user === user || String(entry.uid) === user) &&
    (!refused || entry.outcome === 'refused')
  );
}

function toEntry({ owner: _owner, stranger: _stranger, ...entry }: KeptEntry): HistoryEntry {
  return {
    ...entry,
    at: new Date(entry.at).toISOString(),
    outcome: historyOutcomes.find((outcome) => outcome === entry.outcome) ?? 'failed',
  };
}

async function reading<Value>(work: () => Promise<Value>): Promise<Outcome<Value>> {
  try {
    return success(await work());
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return failure(
      'state-unwritable',
      `the history cannot be read: ${reason}`,
      'see `qward doctor`; calls go on without it',
    );
  }
}
