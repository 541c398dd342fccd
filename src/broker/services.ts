/** What stands behind each of the broker's two sockets. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { FileProbe } from '../protocol/broker.ts';
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

/** What anybody may do without end: nothing was taken back, all was claimed already. */
const changesNothing = (result: unknown): boolean =>
  Array.isArray(result) &&
  result.every((one) => ['known', 'by-policy'].includes(String(Reflect.get(Object(one), 'outcome'))));

/** Does what is asked for and records it; `said` is what the log tells of the request. */
async function handled(
  log: BrokerLog,
  said: { readonly call: string; readonly uid: number } & Readonly<Record<string, unknown>>,
  handle: () => HandlerOutcome | Promise<HandlerOutcome>,
): Promise<HandlerOutcome> {
  const { idle, ...outcome } = { idle: undefined, ...(await settled(handle)) };
  if (!outcome.ok) log({ ...said, ok: false, refusals: outcome.refusals });
  else if (!quiet.has(said.call) && !changesNothing(outcome.result)) log({ ...said, ok: true, idle });
  return outcome;
}

/** Refusals that are remembered as logged, and those that a line tells of. */
const [maxTold, maxOfLine] = [1000, 8];

/** Logs the files that probes were refused, each reason once: a manager that looks for what it may not have is seen. */
function probeLog(log: BrokerLog): (said: object, result: readonly FileProbe[]) => void {
  const told = new Set<string>();
  return (said, result) => {
    const refusals = result
      .flatMap((file) => (file.ok ? [] : [{ path: file.path, code: file.refusal.code }]))
      .filter(({ path, code }) => !told.has(`${code} ${path}`));
    if (refusals.length === 0) return;
    if (told.size + refusals.length > maxTold) told.clear();
    for (const { path, code } of refusals.slice(0, maxTold)) told.add(`${code} ${path}`);
    const few = refusals.slice(0, maxOfLine);
    log({ ...said, ok: false, refusals: few, more: refusals.length - few.length });
  };
}

/** For the manager's user and root. */
export function managerService({ context, log, onActivity }: ServiceOptions): Service {
  const logProbe = probeLog(log);
  return {
    admits: (uid) => uid === context.managerUid || uid === 0,
    // Root is heard also while a taken-over manager holds all that it may.
    limits: { ofUser: 112, ofAll: 128 },
    log,
    onActivity,
    answer: async (body, { uid }) => {
      const request = parseRequest(body);
      const relaxed = request.call === 'launch' ? (request.launch.relaxed ?? []) : [];
      const given = relaxed.length === 0 ? {} : { relaxed: relaxed.map(({ relax, to }) => `${relax} ${to}`) };
      const said = { call: request.call, machine: subjectOf(request), uid, ...given };
      const outcome = await handled(log, said, () => dispatch(context, request));
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what handleProbe gives
      if (outcome.ok && request.call === 'probe') logProbe(said, outcome.result as readonly FileProbe[]);
      return outcome;
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
    const { v: _version, call, ...more } = request;
    const machine = 'machine' in more ? more.machine : null;
    // What the user did not choose comes first: a line is shown as far as it says who did what.
    const said = { call, machine, uid, pid, ok: true, ...more };
    return await handled(log, said, () => handleClaimRequest(context, request, uid));
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
