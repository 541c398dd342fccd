/** One move from its beginning to the word of both managers. */
import { randomBytes } from 'node:crypto';
import type { MoveEnd } from '../../api/migration-contract.ts';
import { errorKinds, type ErrorCode } from '../../api/errors.ts';
import type { CallResult } from '../../api/calls.ts';
import type { QwardClient, Reply } from '../../api/client.ts';
import { TransportError } from '../../api/http.ts';
import { carry } from './carry.ts';
import { defineThere } from './define-there.ts';
import { patienceMs, retryMs, settle, untilAnswered } from './settle.ts';

export interface MoveLimits {
  readonly bandwidth?: number;
  readonly downtimeMs?: number;
  readonly timeoutMs?: number;
}

/** Undefined where not known: it was found out afterwards that it runs there. */
export interface MovedMachine {
  readonly downtimeMs?: number;
  readonly bytes?: number;
}

export interface Hosts {
  readonly here: QwardClient;
  readonly there: QwardClient;
}

/** What each of the two notes of the other. */
const peerOf = (host: QwardClient): string => host.reach.name.slice(0, 256);

export interface MoveWish {
  readonly name: string;
  readonly limits: MoveLimits;
  /** Gives it up: the guest goes on here, if it was not given away by then. */
  readonly signal: AbortSignal;
}

export async function moveMachine({ here, there }: Hosts, wish: MoveWish): Promise<Reply<MovedMachine>> {
  const { name } = wish;
  const before = await settleBefore({ here, there }, name);
  if (before !== undefined) return before;
  const defined = await defineThere(here, there, name);
  if (!defined.ok) return defined;
  const moved = await move({ here, there }, wish);
  const mayBeThere = ['migration-undecided', 'machine-moved'];
  if (!moved.ok && !moved.faults.some(({ code }) => mayBeThere.includes(code))) await defined.result.undo();
  return moved;
}

/** An earlier move whose end was not heard comes first; undefined: there was none, or its guest goes on here. */
async function settleBefore({ here, there }: Hosts, name: string): Promise<Reply<MovedMachine> | undefined> {
  const status = await here.call('status', { name });
  if (!status.ok) return status;
  const note = status.result.moved;
  if (note?.kind !== 'given') return undefined;
  // SECURITY: promise 7. Another host has not seen it, whatever it says.
  if (peerOf(there) !== note.peer)
    return fault(
      'machine-moved',
      `machine "${name}" was given to ${note.peer}, and whether it runs there was not heard; ${there.reach.name} cannot say it`,
      `ask there first: \`qward migrate ${name} ${note.peer}\``,
    );
  const settled = await settle(here, there, { name, token: note.token });
  if (!settled.ok) return settled;
  return settled.result.arrived ? { ok: true, result: {} } : undefined;
}

async function move(
  { here, there }: Hosts,
  { name, limits, signal }: MoveWish,
): Promise<Reply<MovedMachine>> {
  const token = randomBytes(16).toString('hex');
  const arriving = await there.arrive({ name, token, peer: peerOf(here) });
  if (!arriving.ok) return arriving;
  const leaving = await here.migrate({ name, token, peer: peerOf(there), ...limits });
  if (!leaving.ok) {
    arriving.result.close();
    return leaving;
  }
  const giveUp = (): void => leaving.result.close();
  signal.addEventListener('abort', giveUp, { once: true });
  if (signal.aborted) giveUp();
  const end = await carry(leaving.result, arriving.result);
  if (end?.kind === 'done') {
    const { downtimeMs, bytes } = end;
    return { ok: true, result: { downtimeMs, bytes } };
  }
  if (end !== undefined && !end.undecided) return { ok: false, status: 409, faults: faultsOf(end) };
  return await findOut({ here, there }, { name, token, interrupted: signal.aborted, end });
}

/** The connection ended before the end was told, or the manager itself does not know it. */
async function findOut(
  { here, there }: Hosts,
  asked: {
    readonly name: string;
    readonly token: string;
    readonly interrupted: boolean;
    readonly end: Extract<MoveEnd, { kind: 'ended' }> | undefined;
  },
): Promise<Reply<MovedMachine>> {
  const { name, token } = asked;
  const status = await untilOver(here, name);
  if (!status.ok) return status;
  const note = status.result.moved;
  const ofThis = note?.token === token ? note.kind : undefined;
  if (ofThis === 'gone') return { ok: true, result: {} };
  try {
    const settled = ofThis === 'given' ? await settle(here, there, { name, token }) : undefined;
    if (settled?.ok === false) return settled;
    if (settled?.result.arrived === true) return { ok: true, result: {} };
  } catch (error) {
    if (!(error instanceof TransportError) || asked.end === undefined) throw error;
    return { ok: false, status: 409, faults: faultsOf(asked.end) };
  }
  const why = asked.interrupted ? 'it was interrupted' : 'the connection ended';
  return fault(
    'migration-failed',
    `machine "${name}" was not moved: ${why}; it goes on where it was`,
    'move it again',
  );
}

/** What is noted is of this move only when the manager has heard that its connection ended. */
async function untilOver(here: QwardClient, name: string): Promise<Reply<CallResult<'status'>>> {
  const giveUpAt = Date.now() + patienceMs;
  for (;;) {
    const status = await untilAnswered(() => here.call('status', { name }));
    if (!status.ok || status.result.progress?.doing !== 'moving') return status;
    if (Date.now() > giveUpAt)
      return fault(
        'migration-undecided',
        `machine "${name}" is still being moved`,
        `where it is: \`qward status ${name}\`; then the same again`,
      );
    await new Promise((resolve) => setTimeout(resolve, retryMs));
  }
}

function faultsOf({
  faults,
}: Extract<MoveEnd, { kind: 'ended' }>): Extract<Reply<never>, { ok: false }>['faults'] {
  const codeOf = (code: string): ErrorCode =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a key of the object
    Object.hasOwn(errorKinds, code) ? (code as ErrorCode) : 'migration-failed';
  return faults.map(({ code, message, hint }) => ({ code: codeOf(code), message, hint }));
}

const fault = (code: ErrorCode, message: string, hint: string): Reply<never> => ({
  ok: false,
  status: 409,
  faults: [{ code, message, hint }],
});
