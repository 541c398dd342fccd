/** The dispatch table: each call to its handler. What changes a machine is one at a time for that machine. */
import type { BrokerCall, BrokerRequest } from '../protocol/broker.ts';
import { readBrokerLog } from './log.ts';
import { refuse, type BrokerContext, type HandlerOutcome } from './context.ts';
import { withRegister } from './requests/claims.ts';
import { handleListDirectory, handlePart } from './requests/images.ts';
import { handleLaunch } from './requests/launch.ts';
import { helpedBy } from './sweep.ts';
import { handleForget, handleKill, handlePin, handleReap, handleRename } from './requests/lifecycle.ts';
import { handleOpen } from './requests/open.ts';
import { handleInspect, handleInspectPid, handleProbe, handleStatus } from './requests/look.ts';

type Handlers = {
  readonly [Call in BrokerCall]: (
    context: BrokerContext,
    request: Extract<BrokerRequest, { call: Call }>,
  ) => HandlerOutcome | Promise<HandlerOutcome>;
};

const handlers: Handlers = {
  launch: (context, { launch }) =>
    exclusively(context, [launch.machine, ...helpedBy(launch)], () => handleLaunch(context, launch)),
  kill: (context, { machine }) => exclusively(context, [machine], () => handleKill(context, machine)),
  reap: (context, { machine }) => exclusively(context, [machine], () => handleReap(context, machine)),
  forget: (context, { machine }) => exclusively(context, [machine], () => handleForget(context, machine)),
  'autostart-off': (context, { machine }) =>
    withRegister(() => {
      const disabled = context.autostart.disable(machine);
      return { ok: true, result: { disabled }, idle: !disabled };
    }),
  rename: (context, { machine, to }) =>
    exclusively(context, [machine, to], () => handleRename(context, machine, to)),
  pin: (context, { machine }) => handlePin(context, machine),
  inspect: (context, { machine }) => handleInspect(context, machine),
  'inspect-pid': (_context, { pid }) => handleInspectPid(pid),
  probe: (context, request) => handleProbe(context, request),
  open: (context, request) => exclusively(context, [request.machine], () => handleOpen(context, request)),
  status: (context) => handleStatus(context),
  history: ({ paths }, { log, since, limit }) => ({
    ok: true,
    result: readBrokerLog(`${paths.brokerState}/${log}.log`, since, limit),
  }),
  part: (context, request) => handlePart(context, request),
  'list-directory': (context, { path }) => handleListDirectory(context, path),
};

/** Machines that a request names: for the log. */
export function subjectOf(request: BrokerRequest): string {
  if (request.call === 'launch') return request.launch.machine;
  return 'machine' in request ? request.machine : '';
}

export async function dispatch(context: BrokerContext, request: BrokerRequest): Promise<HandlerOutcome> {
  // The table is typed by call; the compiler cannot join a union of requests with the table's union of handlers.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const handler = handlers[request.call] as (
    context: BrokerContext,
    request: BrokerRequest,
  ) => HandlerOutcome | Promise<HandlerOutcome>;
  return await handler(context, request);
}

async function exclusively(
  { busy }: BrokerContext,
  machines: readonly string[],
  handle: () => HandlerOutcome | Promise<HandlerOutcome>,
): Promise<HandlerOutcome> {
  const held = machines.find((machine) => busy.has(machine));
  if (held !== undefined)
    return refuse('machine-busy', `another request for machine "${held}" is under way`, 'wait for it to end');
  for (const machine of machines) busy.add(machine);
  try {
    return await handle();
  } finally {
    for (const machine of machines) busy.delete(machine);
  }
}
