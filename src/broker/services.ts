/** What stands behind each of the broker's two sockets. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { BrokerContext, HandlerOutcome } from './context.ts';
import { dispatch, subjectOf } from './dispatch.ts';
import type { BrokerLog } from './log.ts';
import { parseClaimRequest } from './parse-claims.ts';
import { parseRequest } from './parse.ts';
import { handleClaimRequest } from './requests/claims.ts';
import { settled, type Service } from './server.ts';

export interface ServiceOptions {
  readonly context: BrokerContext;
  readonly log: BrokerLog;
  readonly onActivity: (change: 1 | -1) => void;
}

/** Calls that only look: they are logged when refused. */
const quiet: ReadonlySet<string> = new Set(['status', 'probe', 'inspect', 'claims', 'history']);

/** Does what is asked for and records it; `said` is what the log tells of the request. */
async function handled(
  log: BrokerLog,
  said: { readonly call: string; readonly uid: number } & Readonly<Record<string, unknown>>,
  handle: () => HandlerOutcome | Promise<HandlerOutcome>,
): Promise<HandlerOutcome> {
  const outcome = await settled(handle);
  if (!outcome.ok) log({ ...said, ok: false, refusals: outcome.refusals });
  else if (!quiet.has(said.call)) log({ ...said, ok: true });
  return outcome;
}

/** For the manager's user and root. */
export function managerService({ context, log, onActivity }: ServiceOptions): Service {
  return {
    admits: (uid) => uid === context.managerUid || uid === 0,
    // Root is heard also while a taken-over manager holds all that it may.
    limits: { ofUser: 112, ofAll: 128 },
    log,
    onActivity,
    answer: async (body, { uid }) => {
      const request = parseRequest(body);
      const said = { call: request.call, machine: subjectOf(request), uid };
      return await handled(log, said, () => dispatch(context, request));
    },
  };
}

/** For every user. */
export function claimsService({ context, log, onActivity }: ServiceOptions): Service {
  let last: Promise<unknown> = Promise.resolve();
  const handle = async (body: Buffer, uid: number, pid: number): Promise<HandlerOutcome> => {
    // SECURITY: rule manager. One at a time, and what came on the manager's socket first: a flood of claims delays only claims.
    await nextTurn();
    const request = parseClaimRequest(body);
    const { v: _version, ...said } = request;
    return await handled(log, { ...said, uid, pid }, () => handleClaimRequest(context, request, uid));
  };
  return {
    admits: () => true,
    limits: { ofUser: 16, ofAll: 512 },
    log,
    onActivity,
    answer: (body, { uid, pid }) => {
      const mine = last.then(() => handle(body, uid, pid));
      last = mine.catch(() => undefined);
      return mine;
    },
  };
}
