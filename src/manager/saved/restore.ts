/**
 * Bringing a saved machine back: it is planned, jailed and audited as for any start, then its QEMU gets the memory, and the
 * state loses its name before the guest goes on. Where anything fails before that, state and disks are as they were.
 */
import { setTimeout as wait } from 'node:timers/promises';
import { parseDefinition } from '../../definition/parse.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { readQemuLog } from '../lifecycle/qemu-log.ts';
import type { Run } from '../lifecycle/run.ts';
import type { Incoming } from '../lifecycle/start-run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Planned } from '../planner.ts';
import { DamagedMemory, readMemory, type Meter } from './memory-file.ts';
import { argumentsDiffer, changedFiles, versionsDiffer } from './same-machine.ts';
import type { SavedState, SavedStates } from './saved-states.ts';
import type { StateNote } from './state-note.ts';
import { withoutIncoming } from './what-runs.ts';

const stallMs = 30_000;
const leastBytesPerSecond = 4 * 1024 ** 2;
const pollMs = 20;
const exitGraceMs = 1000;
const descriptorName = 'state';

export class Restore implements Incoming {
  readonly makesFiles = false;
  readonly note: StateNote;
  /** As it counted for the process that was saved. */
  readonly definition: MachineDefinition;
  readonly #states: SavedStates;
  readonly #onProgress: (percent: number) => void;

  private constructor(note: StateNote, definition: MachineDefinition, from: RestoreFrom) {
    this.note = note;
    this.definition = definition;
    this.#states = from.states;
    this.#onProgress = from.onProgress;
  }

  get revision(): string | null {
    return this.note.revision;
  }

  get paused(): boolean {
    return this.note.paused;
  }

  static of(machine: string, from: RestoreFrom): Outcome<Restore> {
    const state = from.states.get(machine);
    if (state === undefined)
      return failure(
        'machine-not-saved',
        `machine "${machine}" has no saved state`,
        `start it: \`qward start ${machine}\``,
      );
    const half = halfReverted(machine, state);
    if (half !== undefined) return half;
    if (!state.usable) return unusable(machine, state.reason);
    const parsed = parseDefinition(state.note.definition);
    if (!parsed.ok) return unusable(machine, parsed.faults[0]?.message ?? 'its definition cannot be read');
    if (parsed.definition.name !== machine)
      return unusable(machine, `it is of a machine "${parsed.definition.name}"`);
    return success(new Restore(state.note, parsed.definition, from));
  }

  /** Before anything is launched: whether the state fits the machine as it would come up, and its disks as they are. */
  check({ plan, marks }: Planned): Outcome<undefined> {
    const { machine, argv, files } = this.note;
    const changed = changedFiles(files, marks);
    if (changed.length > 0) return unusable(machine, changed.join('; '));
    const differs = argumentsDiffer(argv, withoutIncoming(plan.launch.argv));
    return differs === undefined
      ? success(undefined)
      : unusable(machine, `this host would give it another machine: ${differs}`);
  }

  /** The memory into a QEMU that waits for it, and whose walls are proved. Its guest still stands. */
  async load(run: Run, session: QmpSession, signal: AbortSignal): Promise<Outcome<undefined>> {
    const { note } = this;
    const version = versionsDiffer(note, session.version);
    if (version !== undefined) return unusable(note.machine, version);
    const late = await commands.activateLate(session);
    if (!late.ok) return await this.#failed(run, late.message);
    const { socket, taken } = await run.handed.open(session, descriptorName);
    try {
      const begun = taken.ok ? await commands.migrateIncoming(session, { name: descriptorName }) : taken;
      if (!begun.ok) return await this.#failed(run, begun.message);
      const meter: Meter = { bytes: 0 };
      const ending = new AbortController();
      // SECURITY: promise 2. A QEMU that reads nothing and says that it has all of it holds up nobody who ends the start.
      const over = AbortSignal.any([signal, ending.signal, run.released]);
      over.addEventListener('abort', () => socket.destroy(), { once: true });
      let damage: string | undefined;
      const reading = readMemory(this.#states.memoryPath(note), note, socket, {
        meter,
        signal: over,
      }).catch((error: unknown) => {
        if (error instanceof DamagedMemory) damage = error.message;
      });
      const why = await this.#watch(session, meter, () => (over.aborted ? 'the start was ended' : damage));
      if (why !== undefined) ending.abort();
      // What QEMU does not want any more is read for its sum alone.
      else if ((await Promise.race([reading, wait(stallMs, 'late' as const, { ref: false })])) === 'late')
        socket.destroy();
      await reading;
      // SECURITY: promise 7. QEMU may have taken all of it in: a guest goes on only with the very bytes that were saved.
      if (damage !== undefined) return unusable(note.machine, `its memory is damaged: ${damage}`);
      return why === undefined ? success(undefined) : await this.#failed(run, why);
    } finally {
      socket.destroy();
    }
  }

  /** SECURITY: promise 7. From here on nobody resumes it a second time, whoever dies. */
  async take(): Promise<Outcome<void>> {
    return await this.#states.take(this.note.machine);
  }

  /** QEMU did not let the guest go on, and says so: the state is there as before. */
  async giveBack(session: QmpSession): Promise<void> {
    const status = await commands.queryStatus(session);
    if (status.ok && !status.value.running) await this.#states.giveBack(this.note);
  }

  /** The guest has what it was; the rest goes. */
  async done(): Promise<void> {
    await this.#states.discard(this.note.machine);
  }

  async #watch(
    session: QmpSession,
    meter: Meter,
    damage: () => string | undefined,
  ): Promise<string | undefined> {
    const { plainBytes } = this.note.memory;
    const giveUpAt = performance.now() + 60_000 + (plainBytes / leastBytesPerSecond) * 1000;
    let [bytes, movedAt] = [0, performance.now()];
    for (;;) {
      const migration = await commands.queryMigrate(session);
      if (!migration.ok) return migration.message;
      const { status, error } = migration.value;
      if (status === 'completed') return undefined;
      if (status === 'failed') return error === '' ? 'QEMU did not take it' : error;
      const fault = damage();
      if (fault !== undefined) return fault;
      if (plainBytes > 0) this.#onProgress(Math.min(100, (100 * meter.bytes) / plainBytes));
      const now = performance.now();
      if (meter.bytes !== bytes) [bytes, movedAt] = [meter.bytes, now];
      if (now - movedAt > stallMs) return `QEMU read nothing for ${stallMs / 1000} s`;
      if (now > giveUpAt) return 'QEMU reads too slowly';
      await wait(pollMs);
    }
  }

  /** A QEMU that does not like what it reads says so in its log, and ends (QEMU 7.2, migration.c). */
  async #failed(run: Run, why: string): Promise<Outcome<never>> {
    await run.process.gone(run.session === undefined ? exitGraceMs : 0);
    const { lines } = await readQemuLog(run.launched.log, 0);
    const words = lines.slice(-3).join(' | ');
    return unusable(this.note.machine, words === '' ? why : `QEMU says: ${words}`);
  }
}

export interface RestoreFrom {
  readonly states: SavedStates;
  /** From 0 to 100. */
  readonly onProgress: (percent: number) => void;
}

/** A machine that was going back to a snapshot, or just to this one: no word but going there again lets it start. */
export function halfReverted(
  machine: string,
  saved: SavedState | undefined,
  snapshot?: string,
): Outcome<never> | undefined {
  const reverting = saved?.usable === false ? saved.reverting : undefined;
  return reverting === undefined || (snapshot !== undefined && snapshot !== reverting)
    ? undefined
    : interrupted(machine, reverting);
}

/** SECURITY: promise 7. Some of its disks may be at the snapshot, and others not. */
const interrupted = (machine: string, snapshot: string): Outcome<never> =>
  failure(
    'state-unusable',
    `machine "${machine}" does not start: going back to snapshot "${snapshot}" was interrupted, and part of its disks may be there`,
    `go back again: \`qward snapshot revert ${machine} ${snapshot}\``,
  );

/** The state stays: what stands in its way may go. */
export function unusable(machine: string, reason: string): Outcome<never> {
  return failure(
    'state-unusable',
    `the saved state of machine "${machine}" cannot be resumed: ${reason}; it is kept, and the disks are as they were`,
    `set right what differs, or start without it, as after a crash: \`qward start --fresh ${machine}\``,
  );
}
