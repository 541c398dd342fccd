/**
 * Saving a running machine: the guest is stopped, QEMU writes its memory and devices to the manager, and the state is whole
 * and on disk before its process is ended. What fails leaves the guest as it was.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { definitionText } from '../../definition/format-full.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { FileProbe } from '../../protocol/broker.ts';
import type { BrokerPort } from '../broker-port.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { fileMarks, type FileMarks, type Planner } from '../planner.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';
import { giveFresh, takeFresh } from './fresh-descriptors.ts';
import { TooMuchMemory, writeMemory, type Meter, type Written } from './memory-file.ts';
import type { Part, SavedStates } from './saved-states.ts';
import { mostStateBytes, type Space } from './space.ts';
import type { StateNote } from './state-note.ts';
import { whatRuns, type WhatRuns } from './what-runs.ts';

export interface SaveServices {
  readonly broker: BrokerPort;
  readonly planner: Planner;
  readonly states: SavedStates;
  readonly space: Space;
  readonly now: () => Date;
  /** Default: half a minute. */
  readonly stallMs?: number;
}

export interface SaveRequest {
  readonly run: Run;
  readonly record: DefinitionRecord;
  readonly by: string;
  /** Gives it up; the guest goes on then. */
  readonly signal: AbortSignal;
  /** Of the memory, from 0 to 100. */
  readonly onProgress: (percent: number) => void;
  /** Keeps what a successor must know of the run. */
  readonly keepNote: () => Promise<Outcome<undefined>>;
  /** For a snapshot: its state is kept elsewhere, and the guest goes on in any case. */
  readonly aside?: Aside;
}

export interface Aside {
  readonly begin: () => Promise<Outcome<Part>>;
  readonly abandon: (part: Part) => Promise<void>;
  readonly commit: (note: StateNote) => Promise<Outcome<void>>;
  /** What else is kept, while the guest stands still; and taken back. */
  readonly take: () => Promise<Outcome<undefined>>;
  readonly undo: () => Promise<void>;
}

interface Work extends SaveRequest {
  readonly services: SaveServices;
  readonly session: QmpSession;
  readonly maxBytes: number;
}

/** Nothing comes from QEMU for so long: it hangs, or wants us to. */
const defaultStallMs = 30_000;
/** What a disk takes at the least; a QEMU that drips is given up after the memory at this rate, and a minute. */
const leastBytesPerSecond = 4 * 1024 ** 2;
const pollMs = 50;
const cancelMs = 10_000;
/** Under which QEMU knows our socket. */
const descriptorName = 'state';

/** Where it succeeds the state is kept and QEMU waits to be ended. */
export async function saveRun(services: SaveServices, request: SaveRequest): Promise<Outcome<StateNote>> {
  const { run, record } = request;
  const { session } = run;
  if (session === undefined) return monitorFailure(run, 'its monitor does not answer');
  // QEMU 7.2 would say so too, at the end: what virtiofsd knows of open files is in no stream.
  if (run.launched.launch.descriptors.some(({ kind }) => kind === 'netdev'))
    return failure(
      'save-failed',
      `machine "${run.launched.machine}" has shared folders, and QEMU saves no machine that has one`,
      'take `shares` out of its definition, and start it anew',
    );
  // QEMU 7.2 would save it, and leave the guest without the device when it goes on.
  if (run.hotplug.usb.length > 0)
    return failure(
      'save-failed',
      `machine "${run.launched.machine}" has a USB device of the host, which would be gone when it goes on`,
      `detach it first: \`qward detach ${run.launched.machine} ${run.hotplug.usb[0]?.id ?? ''}\``,
    );
  // A disc that is changed meanwhile would be in no plan.
  return await run.media.alone(async () => {
    const status = await commands.queryStatus(session);
    if (!status.ok) return monitorFailure(run, status.message);
    if (status.value.status !== 'running' && status.value.status !== 'paused')
      return failure(
        'machine-busy',
        `machine "${run.launched.machine}" cannot be saved as it is: ${status.value.status}`,
        'a guest that runs or is paused can be saved; `qward reset` or `qward kill` ends another condition',
      );
    const what = await whatRuns(services.planner, { run, record, aim: 'saved' });
    if (!what.ok) return what;
    const maxBytes = mostStateBytes(what.value.definition);
    const room = await services.space.promise(run.launched.machine, maxBytes);
    if (!room.ok) return room;
    const paused = !status.value.running;
    try {
      return await stopAndSave({ ...request, services, session, maxBytes }, what.value, paused);
    } finally {
      room.value();
    }
  });
}

async function stopAndSave(work: Work, what: WhatRuns, paused: boolean): Promise<Outcome<StateNote>> {
  const { run, services, aside } = work;
  const { machine } = run.launched;
  const part = await (aside?.begin() ?? services.states.begin(machine));
  if (!part.ok) return part;
  // A manager that dies from here on is followed by one that lets the guest go on.
  run.saving = paused ? 'paused' : 'running';
  const kept = await work.keepNote();
  if (!kept.ok) {
    run.saving = undefined;
    await (aside?.abandon(part.value) ?? services.states.abandon(machine, part.value));
    return kept;
  }
  const fresh = await giveFresh(services.broker, { run, session: work.session, aim: 'saved' });
  const saved = fresh.given.ok ? await save(work, { what, paused, part: part.value }) : fresh.given;
  if (!saved.ok) await (aside?.abandon(part.value) ?? services.states.abandon(machine, part.value));
  const stuck = saved.ok && aside === undefined ? undefined : await letGoOn(work, paused, fresh.sets);
  if (!saved.ok) {
    await aside?.undo();
    if (stuck !== undefined && run.process.alive)
      return {
        ok: false,
        faults: saved.faults.map((fault) => ({ ...fault, message: `${fault.message}; ${stuck}` })),
      };
  }
  // What this manager lets go of is the next one's to set right.
  if (!run.released.aborted) {
    run.saving = undefined;
    await work.keepNote();
  }
  if (saved.ok && stuck !== undefined) return monitorFailure(run, `all of it is kept, and ${stuck}`);
  return saved;
}

/** As it was before; what keeps it from that is a string. */
export async function letGoOn(
  { run, session }: { readonly run: Run; readonly session: QmpSession },
  paused: boolean,
  sets: readonly number[],
): Promise<string | undefined> {
  const stuck = await goOn(run, paused);
  // Of a guest that does not go on yet the images are opened when it does.
  if (!paused && stuck === undefined) await takeFresh(session, sets);
  return stuck;
}

async function save(
  work: Work,
  { what, paused, part }: { readonly what: WhatRuns; readonly paused: boolean; readonly part: Part },
): Promise<Outcome<StateNote>> {
  const { run, session, services, by, aside } = work;
  const { machine, launchedAt } = run.launched;
  const stopped = await commands.stop(session);
  if (!stopped.ok) return monitorFailure(run, stopped.message);
  const taken = await aside?.take();
  if (taken?.ok === false) return taken;
  const written = await takeMemory(work, part);
  if (!written.ok) return written;
  // SECURITY: promise 7. The disks are looked at when QEMU has let go of them, and are what they are from here on.
  const status = await commands.queryStatus(session);
  if (!status.ok || status.value.status !== 'postmigrate')
    return monitorFailure(run, status.ok ? `its guest is ${status.value.status}` : status.message);
  const { launch } = what.planned.plan;
  const files = await marksNow(services.broker, machine, launch);
  if (!files.ok) return files;
  const note: StateNote = {
    version: 1,
    machine,
    savedAt: services.now().toISOString(),
    by,
    paused,
    launchedAt,
    qemu: session.version,
    argv: [...launch.argv],
    definition: definitionText(what.definition),
    revision: what.revision,
    files: files.value,
    memory: { file: part.file, ...written.value },
  };
  const kept = await (aside?.commit(note) ?? services.states.commit(note));
  if (kept.ok) return success(note);
  if (aside !== undefined) return kept;
  // It may have got its name all the same, and the guest goes on.
  const gone = await services.states.discard(machine);
  return gone.ok ? kept : { ok: false, faults: [...kept.faults, ...gone.faults] };
}

async function takeMemory(work: Work, part: Part): Promise<Outcome<Written>> {
  const { run, session, maxBytes, signal } = work;
  const { socket, taken } = await run.handed.open(session, descriptorName);
  const ending = new AbortController();
  const meter: Meter = { bytes: 0 };
  let fault: string | undefined;
  const writing = writeMemory(socket, part, {
    maxBytes,
    meter,
    signal: AbortSignal.any([signal, ending.signal, run.released]),
  }).catch((error: unknown) => {
    fault = whyNotWritten(error, maxBytes);
  });
  const giveUp = async (why: string): Promise<Outcome<never>> => {
    ending.abort();
    socket.destroy();
    await writing;
    return monitorFailure(run, fault !== undefined && !ended(fault) ? fault : why);
  };
  if (!taken.ok) return await giveUp(taken.message);
  await commands.unlimitMigration(session);
  const begun = await commands.migrate(session, { name: descriptorName });
  if (!begun.ok) {
    await commands.closeDescriptor(session, { name: descriptorName });
    return await giveUp(begun.message);
  }
  const why = await watch(work, meter, () => fault);
  if (why !== undefined) return await giveUp(why);
  const late = wait(work.services.stallMs ?? defaultStallMs, 'late' as const, { ref: false });
  const written = await Promise.race([writing, late]);
  if (written === 'late') return await giveUp('QEMU said that all was written, and did not end');
  return written === undefined ? await giveUp(fault ?? 'the memory was not written') : success(written);
}

/** Why a stream ended that we ended ourselves is no reason. */
const ended = (fault: string): boolean => /abort/i.test(fault);

function whyNotWritten(error: unknown, maxBytes: number): string {
  if (error instanceof TooMuchMemory)
    return `QEMU wrote more than the ${Math.ceil(maxBytes / 1024 ** 2)} MiB that its machine can have`;
  return error instanceof Error ? error.message : 'the memory was not written';
}

/** Until QEMU says that all is written; else why that will not come. What it says is not believed for ever. */
async function watch(work: Work, meter: Meter, fault: () => string | undefined): Promise<string | undefined> {
  const { session, maxBytes, signal, onProgress } = work;
  const { stallMs = defaultStallMs } = work.services;
  const giveUpAt = performance.now() + 60_000 + (maxBytes / leastBytesPerSecond) * 1000;
  let [bytes, movedAt] = [0, performance.now()];
  for (;;) {
    const migration = await commands.queryMigrate(session);
    if (signal.aborted) return 'it was given up';
    if (!migration.ok) return migration.message;
    const { status, total, remaining, error } = migration.value;
    if (status === 'completed') return undefined;
    const failed = fault();
    if (failed !== undefined) return failed;
    if (status !== 'active') return error === '' ? 'QEMU gave it up' : error;
    if (total > 0) onProgress(Math.max(0, Math.min(100, (100 * (total - remaining)) / total)));
    const now = performance.now();
    if (meter.bytes !== bytes) [bytes, movedAt] = [meter.bytes, now];
    if (now - movedAt > stallMs) return `QEMU wrote nothing for ${stallMs / 1000} s`;
    if (now > giveUpAt) return 'QEMU writes too slowly';
    await wait(pollMs);
  }
}

/** The guest as it was before, where QEMU still has it; else why not. */
export async function goOn(run: Run, paused: boolean): Promise<string | undefined> {
  const { session } = run;
  if (session === undefined || run.released.aborted) return undefined;
  await commands.migrateCancel(session);
  const giveUpAt = performance.now() + cancelMs;
  for (;;) {
    const migration = await commands.queryMigrate(session);
    if (!migration.ok || migration.value.status !== 'active' || performance.now() > giveUpAt) break;
    await wait(pollMs);
  }
  if (paused) return undefined;
  const going = await commands.cont(session);
  return going.ok
    ? undefined
    : `its guest is paused now (${going.message}): \`qward resume ${run.launched.machine}\``;
}

/** Of each file of a launch, as the broker finds it now. */
export async function marksNow(
  broker: BrokerPort,
  machine: string,
  launch: LaunchRequest,
): Promise<Outcome<FileMarks>> {
  const found = await filesNow(broker, machine, launch);
  return found.ok ? success(fileMarks(found.value)) : found;
}

/** Each file of a launch, as the broker finds it now by its path. */
export async function filesNow(
  broker: BrokerPort,
  machine: string,
  { descriptors }: LaunchRequest,
): Promise<Outcome<readonly FileProbe[]>> {
  const files = descriptors.flatMap((one) => (one.kind === 'file' ? [one] : []));
  // Of a file that is there twice, the entry with more rights.
  const widest = new Map(
    files
      .toSorted((one, other) => (one.access < other.access ? -1 : 1))
      .map(({ path, access, claimant }) => [path, { path, access, claimant }]),
  );
  if (widest.size === 0) return success([]);
  const probed = await broker.call('probe', { machine, paths: [...widest.values()], head: 1024 });
  if (!probed.ok) return probed;
  const marks = fileMarks(probed.value);
  const missing = [...widest.keys()].find((path) => marks[path] === undefined);
  return missing === undefined
    ? success(probed.value)
    : failure('file-unreadable', `${missing} cannot be looked at any more`, 'look at it, and try again');
}

function monitorFailure({ launched: { machine } }: Run, message: string): Outcome<never> {
  return failure(
    'save-failed',
    `machine "${machine}" was not saved: ${message}`,
    `\`qward logs ${machine}\` shows what QEMU said`,
  );
}
