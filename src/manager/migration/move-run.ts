/**
 * Moving a running machine away: its QEMU writes memory and devices to the other manager while the guest works, and then exactly
 * one side goes on. Whatever ends it before the other side was given the guest leaves it as it was.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { MoveMessage } from '../../api/migration-contract.ts';
import type { Fault } from '../../definition/fault.ts';
import { definitionText } from '../../definition/format-full.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { FileMarks, Planner } from '../planner.ts';
import type { BrokerPort } from '../broker-port.ts';
import { giveFresh } from '../saved/fresh-descriptors.ts';
import { letGoOn, marksNow } from '../saved/save-run.ts';
import { whatRuns, type WhatRuns } from '../saved/what-runs.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';
import { notMoved, type Move } from './arrival.ts';
import type { MoveLink } from './move-link.ts';
import { sayIt, type MoveNotes } from './move-notes.ts';
import { StandStill } from './stand-still.ts';
import { seesHostCpu } from './what-fits.ts';

export interface MoveServices {
  readonly broker: BrokerPort;
  readonly planner: Planner;
  readonly moves: MoveNotes;
  readonly now: () => Date;
  /** Where the manager keeps UEFI variables, which go with the memory. */
  readonly varsDirectory: string;
  readonly cpu: () => string;
}

export interface MoveLimits {
  /** Bytes a second; 0: as fast as it goes. */
  readonly bandwidth: number;
  readonly downtimeMs: number;
  /** 0: never given up. */
  readonly timeoutMs: number;
}

export interface MoveRequest {
  readonly move: Move;
  readonly limits: MoveLimits;
  readonly run: Run;
  readonly record: DefinitionRecord;
  /** Gives it up; the guest goes on then. */
  readonly signal: AbortSignal;
  readonly onProgress: (percent: number) => void;
  readonly keepNote: () => Promise<Outcome<undefined>>;
  readonly link: MoveLink;
}

export interface Moved {
  /** How long the guest stood still, as far as this side knows. */
  readonly downtimeMs: number;
  readonly bytes: number;
}

interface Work extends MoveRequest {
  readonly services: MoveServices;
  readonly session: QmpSession;
  readonly what: WhatRuns;
  readonly paused: boolean;
  readonly meter: { bytes: number };
}

/** The other side launches and audits a QEMU meanwhile. */
const startMs = 300_000;
/** It has what it needs, and notes it. */
const answerMs = 60_000;
const stallMs = 120_000;
const pollMs = 50;
const descriptorName = 'move';

/** Where it succeeds its guest runs on the other host, and QEMU here waits to be ended. */
export async function moveRun(services: MoveServices, request: MoveRequest): Promise<Outcome<Moved>> {
  const { run, record } = request;
  const { session } = run;
  if (session === undefined) return notMoved('its monitor does not answer');
  // A disc that is changed meanwhile would be in no plan.
  return await run.media.alone(async () => {
    const status = await commands.queryStatus(session);
    if (!status.ok) return notMoved(status.message);
    if (status.value.status !== 'running' && status.value.status !== 'paused')
      return notMoved(`it is ${status.value.status}`, 'a guest that runs or is paused can be moved');
    const what = await whatRuns(services.planner, { run, record, aim: 'moved' });
    if (!what.ok) return asMove(what);
    const kept = await whatStays(run, what.value.definition, session);
    if (kept.length > 0) return { ok: false, faults: kept };
    const paused = !status.value.running;
    const work = { ...request, services, session, what: what.value, paused, meter: { bytes: 0 } };
    const agreed = await agree(work);
    return agreed.ok ? await sendAndGive(work) : agreed;
  });
}

/** Devices that cannot leave this host. */
async function whatStays(
  { hotplug }: Pick<Run, 'hotplug'>,
  definition: MachineDefinition,
  session: QmpSession,
): Promise<readonly Fault[]> {
  const stays = (what: string): readonly Fault[] =>
    notMoved(`it has ${what}, which stays on this host`, `take it out of the definition, and start it anew`)
      .faults;
  const hasUsb = hotplug.usb.length > 0;
  const migration = await commands.queryMigrate(session);
  const blocked = migration.ok ? migration.value.blocked : [];
  return [
    ...(definition.shares.length > 0 ? stays('shared folders') : []),
    ...(definition.tpm ? stays('a TPM') : []),
    ...(definition.hostDevices.length > 0 || hasUsb ? stays('a device of the host') : []),
    ...blocked.flatMap((reason) => notMoved(`QEMU says: ${reason}`).faults),
  ];
}

/** The other side looks whether it fits, and launches a QEMU that waits. */
async function agree(work: Work): Promise<Outcome<undefined>> {
  const { link, services, move, what, session, signal, paused } = work;
  const { launch } = what.planned.plan;
  const marks = await marksOfMove(work);
  if (!marks.ok) return marks;
  const written = new Set(
    launch.descriptors.flatMap((one) => (one.kind === 'file' && one.access === 'rw' ? [one.path] : [])),
  );
  const offer: MoveMessage = {
    kind: 'offer',
    version: 1,
    definition: definitionText(what.definition),
    revision: what.revision,
    argv: [...launch.argv],
    qemu: session.version,
    cpu: seesHostCpu(launch.argv) ? services.cpu() : null,
    paused,
    files: Object.fromEntries(
      Object.entries(marks.value).map(([path, mark]) => [path, { ...mark, written: written.has(path) }]),
    ),
  };
  if (Buffer.byteLength(JSON.stringify(offer)) > maxOfferBytes)
    return notMoved(`the definition of machine "${move.machine}" is too long`, 'shorten it');
  link.send(offer);
  const answer = await link.receive(['ready', 'failed'], { timeoutMs: startMs, signal });
  if (!answer.ok) return notMoved(answer.why);
  return answer.message.kind === 'ready' ? success(undefined) : theirs(answer.message);
}

const maxOfferBytes = 60 * 1024;

async function sendAndGive(work: Work): Promise<Outcome<Moved>> {
  const { run, session, services, paused, link } = work;
  // A manager that dies from here on is followed by one that lets the guest go on, until it was given.
  run.saving = paused ? 'paused' : 'running';
  const kept = await work.keepNote();
  const fresh = await giveFresh(services.broker, { run, session, aim: 'moved' });
  const begun = kept.ok ? fresh.given : kept;
  const sent = begun.ok ? await send(work) : asMove(begun);
  const moved = sent.ok ? await give(work, sent.value) : sent;
  if (moved.ok || isElsewhere(services.moves, run)) return moved;
  // What this manager lets go of is the next one's to set right.
  if (run.released.aborted) return moved;
  link.send({
    kind: 'failed',
    ran: false,
    faults: [{ code: 'migration-failed', message: 'it was given up', hint: '' }],
  });
  const stuck = await letGoOn(work, paused, fresh.sets);
  run.saving = undefined;
  await work.keepNote();
  if (stuck === undefined || !run.process.alive) return moved;
  return {
    ok: false,
    faults: moved.faults.map((fault) => ({ ...fault, message: `${fault.message}; ${stuck}` })),
  };
}

/** Its guest was given away, and is there, or may be: it does not go on here. */
export function isElsewhere(moves: MoveNotes, { launched: { machine, launchedAt } }: Run): boolean {
  const note = moves.get(machine);
  return note?.launchedAt === launchedAt && (note.kind === 'given' || note.kind === 'gone');
}

interface Sent {
  /** When the guest was seen to stand still, and for how long before. */
  readonly at: number;
  readonly downtimeMs: number;
  readonly files: FileMarks;
}

async function send(work: Work): Promise<Outcome<Sent>> {
  const { run, session, limits, link, meter } = work;
  const { socket, taken } = await run.handed.open(session, descriptorName);
  try {
    if (!taken.ok) return notMoved(taken.message);
    const carrying = (async () => {
      for await (const piece of socket as AsyncIterable<Buffer>) {
        meter.bytes += piece.length;
        await link.sendBytes(piece);
      }
    })().catch(() => undefined);
    const limited = await commands.limitMigration(session, limits);
    if (!limited.ok) return notMoved(limited.message);
    const begun = await commands.migrate(session, { name: descriptorName });
    if (!begun.ok) {
      await commands.closeDescriptor(session, { name: descriptorName });
      return notMoved(begun.message);
    }
    const watched = await watch(work);
    if (!watched.ok) return watched;
    const at = performance.now();
    const late = wait(answerMs, 'late' as const, { ref: false });
    if ((await Promise.race([carrying, late])) === 'late')
      return notMoved('QEMU said that all was written, and did not end');
    link.send({ kind: 'eof', bytes: meter.bytes });
    const status = await commands.queryStatus(session);
    if (!status.ok || status.value.status !== 'postmigrate')
      return notMoved(status.ok ? `its guest is ${status.value.status}` : status.message);
    // SECURITY: promise 7. The disks are looked at when QEMU has let go of them: these they must be on the other host.
    const files = await marksOfMove(work);
    return files.ok ? success({ at, downtimeMs: watched.value, files: files.value }) : files;
  } finally {
    socket.destroy();
  }
}

/** Until QEMU says that all is written: how long its guest stood still then. What it says is not believed for ever. */
async function watch(work: Work): Promise<Outcome<number>> {
  const { session, limits, signal, link, meter, onProgress, paused } = work;
  const stand = new StandStill(limits.downtimeMs);
  const giveUpAt = limits.timeoutMs === 0 ? Infinity : performance.now() + limits.timeoutMs;
  let [bytes, movedAt] = [0, performance.now()];
  for (;;) {
    const migration = await commands.queryMigrate(session);
    if (signal.aborted) return notMoved('it was given up', 'move it again');
    if (link.closed.aborted) return notMoved(link.why);
    if (!migration.ok) return notMoved(migration.message);
    if (link.early === 'failed') {
      const told = await link.receive(['failed'], { timeoutMs: answerMs });
      return told.ok ? theirs(told.message) : notMoved(told.why);
    }
    const guest = await commands.queryStatus(session);
    const { status, total, remaining, error, downtimeMs } = migration.value;
    if (status === 'completed') return success(downtimeMs);
    if (status !== 'active') return notMoved(error === '' ? 'QEMU gave it up' : error);
    if (total > 0) onProgress(Math.max(0, Math.min(100, (100 * (total - remaining)) / total)));
    const now = performance.now();
    if (meter.bytes !== bytes) [bytes, movedAt] = [meter.bytes, now];
    if (now - movedAt > stallMs) return notMoved(`nothing went for ${stallMs / 1000} s`);
    if (!paused && stand.isTooLong(!guest.ok || guest.value.running, now))
      return notMoved(
        `its guest stood still for ${stand.limitMs / 1000} s, and not all had gone over`,
        'look at the way to the other host, or give it a longer --downtime',
      );
    if (now > giveUpAt)
      return notMoved(
        `its memory changes faster than it goes over: ${limits.timeoutMs / 1000} s were not enough`,
        'give it more with --timeout, --bandwidth or --downtime',
      );
    await wait(pollMs);
  }
}

/** SECURITY: promise 7. The one moment in which the guest changes hosts: noted here before the other side hears of it. */
async function give(work: Work, { at, downtimeMs, files }: Sent): Promise<Outcome<Moved>> {
  const { link, signal, services, move, run, paused, meter } = work;
  const loaded = await link.receive(['loaded', 'failed'], { timeoutMs: answerMs, signal });
  if (!loaded.ok) return notMoved(loaded.why);
  if (loaded.message.kind === 'failed') return theirs(loaded.message);
  if (!run.process.alive || run.released.aborted) return notMoved('its QEMU ended');
  const { machine, token, peer, by } = move;
  const note = {
    version: 1,
    machine,
    token,
    peer,
    by,
    at: services.now().toISOString(),
    launchedAt: run.launched.launchedAt,
    paused,
  } as const;
  const before = services.moves.get(machine);
  const given = await services.moves.put({ ...note, kind: 'given' });
  if (!given.ok) {
    // It may have got its name all the same.
    const undone = await services.moves.restore(machine, before);
    return undone.ok ? given : { ok: false, faults: [...given.faults, ...undone.faults] };
  }
  if (!link.send({ kind: 'go', files })) {
    // Nobody there has heard of it, or will.
    const undone = await services.moves.restore(machine, before);
    return undone.ok ? notMoved(link.why) : undone;
  }
  const answer = await link.receive(['running', 'failed'], { timeoutMs: answerMs });
  if (!answer.ok) return undecided(move, answer.why);
  if (answer.message.kind === 'failed' && !answer.message.ran) {
    const undone = await services.moves.restore(machine, before);
    return undone.ok ? theirs(answer.message) : undone;
  }
  const gone = await services.moves.put({ ...note, kind: 'gone' });
  if (!gone.ok) return gone;
  if (answer.message.kind === 'failed') return crashedThere(move, answer.message);
  return success({ downtimeMs: Math.round(downtimeMs + performance.now() - at), bytes: meter.bytes });
}

/** Of all its files but the manager's own: what those hold goes with the memory. */
async function marksOfMove({ services, move, what }: Work): Promise<Outcome<FileMarks>> {
  const marks = await marksNow(services.broker, move.machine, what.planned.plan.launch);
  if (!marks.ok) return asMove(marks);
  const own = `${services.varsDirectory}/`;
  return success(Object.fromEntries(Object.entries(marks.value).filter(([path]) => !path.startsWith(own))));
}

const undecided = ({ machine, peer }: Move, why: string): Outcome<never> =>
  failure(
    'migration-undecided',
    `machine "${machine}" was given to ${peer}, and whether it runs there was not heard: ${why}; it stands still here`,
    `ask there: \`qward migrate ${machine} ${peer}\`; or ${sayIt(machine)}`,
  );

/** It was given away, and there its QEMU ended as its guest went on, or before: nobody knows what it wrote. */
const crashedThere = (
  { machine, peer }: Move,
  { faults }: Extract<MoveMessage, { kind: 'failed' }>,
): Outcome<never> =>
  failure(
    'machine-moved',
    `machine "${machine}" is on ${peer}, where it crashed as it came: ${faults.map(({ message }) => message).join('; ')}`,
    'start it there',
  );

/** What the other host has against it, in its own words. */
function theirs({ faults }: Extract<MoveMessage, { kind: 'failed' }>): Outcome<never> {
  return {
    ok: false,
    faults: faults.map(({ message, hint }) => ({
      code: 'migration-failed',
      message: `the other host says: ${message}`,
      hint: hint === '' ? '' : `the other host says: ${hint}`,
    })),
  };
}

const asMove = ({ faults }: { readonly ok: false; readonly faults: readonly Fault[] }): Outcome<never> => ({
  ok: false,
  faults: faults.map((fault) => ({ ...fault, code: 'migration-failed' })),
});
