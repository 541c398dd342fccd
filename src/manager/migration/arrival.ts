/**
 * A machine that comes from another host: planned, launched, jailed and audited as for any start, then its QEMU takes the memory
 * from there, and its guest goes on when both managers have noted whose it is.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { Fault } from '../../definition/fault.ts';
import { parseDefinition } from '../../definition/parse.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { BrokerPort } from '../broker-port.ts';
import { readQemuLog } from '../lifecycle/qemu-log.ts';
import type { Run } from '../lifecycle/run.ts';
import type { Incoming } from '../lifecycle/start-run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { fileMarks, type FileMarks, type Planned } from '../planner.ts';
import { changedFiles } from '../saved/same-machine.ts';
import { filesNow } from '../saved/save-run.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';
import { beyondDefined, isDefined } from './beyond-defined.ts';
import type { MoveLink } from './move-link.ts';
import type { MoveNote, MoveNotes } from './move-notes.ts';
import { notTheDisks, whatDoesNotFit, type Offer } from './what-fits.ts';

export interface ArrivalServices {
  readonly broker: BrokerPort;
  readonly moves: MoveNotes;
  readonly now: () => Date;
  /** Where the manager keeps UEFI variables, which come with the memory. */
  readonly varsDirectory: string;
  /** As `cpuOf` has it. */
  readonly cpu: () => string;
  readonly onProgress: (percent: number) => void;
}

export interface Move {
  readonly machine: string;
  readonly token: string;
  /** The other host, as the user called it. */
  readonly peer: string;
  readonly by: string;
}

type Files = LaunchedMachine['files'];

/** Nothing comes from there for so long. */
const stallMs = 120_000;
const pollMs = 20;
const exitGraceMs = 1000;
const descriptorName = 'move';

export class Arrival implements Incoming {
  readonly makesFiles = true;
  readonly definition: MachineDefinition;
  readonly revision: string | null;
  readonly paused: boolean;
  readonly move: Move;
  readonly #offer: Offer;
  readonly #link: MoveLink;
  readonly #services: ArrivalServices;
  readonly #abandoned = new AbortController();
  #launch: LaunchRequest | undefined;
  #launchedAt: string | null = null;
  #session: QmpSession | undefined;
  #opened: Files = {};
  /** Of the start that it is: somebody ends it. */
  #ending: AbortSignal | undefined;
  #state: 'coming' | 'abandoned' | 'taking' | 'taken' | 'given back' = 'coming';

  private constructor(
    move: Move,
    offer: Offer,
    { definition, revision }: Pick<Incoming, 'definition' | 'revision'>,
    { link, services }: ArrivalParts,
  ) {
    this.move = move;
    this.definition = definition;
    this.revision = revision;
    this.paused = offer.paused;
    this.#offer = offer;
    this.#link = link;
    this.#services = services;
  }

  /** `record`: what its owner defined here, beyond which it does not come. */
  static of(move: Move, offer: Offer, record: DefinitionRecord, parts: ArrivalParts): Outcome<Arrival> {
    const parsed = parseDefinition(offer.definition);
    if (!parsed.ok) return parsed;
    if (parsed.definition.name !== move.machine)
      return notMoved(`what comes is a machine "${parsed.definition.name}"`, 'move it to that name');
    const faults = beyondDefined(parsed.definition, record.definition);
    if (faults.length > 0) return { ok: false, faults };
    const revision = isDefined(parsed.definition, record.definition) ? record.revision : null;
    return success(new Arrival(move, offer, { definition: parsed.definition, revision }, parts));
  }

  /** Whether its guest may have run here: then it is this host's, whatever became of the start. */
  get isHere(): boolean {
    return this.#state === 'taken';
  }

  /** It will not come any more, if it is not here by now. */
  abandon(): void {
    if (this.#state !== 'coming') return;
    this.#state = 'abandoned';
    this.#abandoned.abort();
  }

  noteOf(kind: MoveNote['kind']): MoveNote {
    const { machine, token, peer, by } = this.move;
    const at = this.#services.now().toISOString();
    return {
      version: 1,
      machine,
      kind,
      token,
      peer,
      by,
      at,
      paused: this.paused,
      launchedAt: this.#launchedAt,
    };
  }

  check({ plan, marks }: Planned): Outcome<undefined> {
    this.#launch = plan.launch;
    const { argv } = plan.launch;
    const faults = whatDoesNotFit(this.#offer, { argv, marks, qemu: null, cpu: this.#services.cpu() });
    return faults.length === 0 ? success(undefined) : { ok: false, faults };
  }

  async load(run: Run, session: QmpSession, signal: AbortSignal): Promise<Outcome<undefined>> {
    this.#launchedAt = run.launched.launchedAt;
    this.#session = session;
    this.#opened = run.launched.files;
    this.#ending = signal;
    const { argv } = run.launched.launch;
    const fits = whatDoesNotFit(
      { ...this.#offer, files: {} },
      { argv, marks: {}, qemu: session.version, cpu: this.#services.cpu() },
    );
    if (fits.length > 0) return { ok: false, faults: fits };
    const late = await commands.activateLate(session);
    if (!late.ok) return notMoved(late.message);
    const { socket, taken } = await run.handed.open(session, descriptorName);
    const over = AbortSignal.any([signal, this.#abandoned.signal, this.#link.closed, run.released]);
    let bytes = 0;
    try {
      const begun = taken.ok ? await commands.migrateIncoming(session, { name: descriptorName }) : taken;
      if (!begun.ok) return await failed(run, begun.message);
      socket.on('drain', () => this.#link.drained());
      socket.once('close', () => this.#link.drained());
      // What QEMU does not want any more is let go by.
      this.#link.sink = (piece) => {
        bytes += piece.length;
        return !socket.writable || socket.write(piece);
      };
      this.#link.send({ kind: 'ready' });
      const why = await this.#watch(session, over, () => bytes);
      if (why !== undefined) return await failed(run, why);
      const all = await this.#link.receive(['eof', 'failed'], { timeoutMs: stallMs, signal: over });
      if (!all.ok) return notMoved(all.why);
      if (all.message.kind === 'failed') return notMoved('it was given up');
      // SECURITY: promise 7. QEMU says that it has all; so must the one who sent it.
      if (all.message.bytes !== bytes)
        return notMoved(`of ${all.message.bytes} bytes of its memory ${bytes} came`);
      return success(undefined);
    } finally {
      this.#link.sink = undefined;
      socket.destroy();
    }
  }

  /** SECURITY: promise 7. From here on its guest is this host's, whoever dies. */
  async take(): Promise<Outcome<void>> {
    this.#link.send({ kind: 'loaded' });
    const signal = AbortSignal.any([
      this.#abandoned.signal,
      ...(this.#ending === undefined ? [] : [this.#ending]),
    ]);
    const given = await this.#link.receive(['go', 'failed'], { timeoutMs: stallMs, signal });
    if (!given.ok) return notMoved(given.why);
    if (given.message.kind === 'failed') return notMoved('it was given up');
    if (this.#state !== 'coming') return notMoved('it was given up');
    this.#state = 'taking';
    const same = await this.#sameFiles(given.message.files);
    const stands = same.ok ? await this.#stillStands() : same;
    const taken = stands.ok ? await this.#services.moves.put(this.noteOf('arrived')) : stands;
    this.#state = taken.ok ? 'taken' : 'given back';
    return taken;
  }

  /** QEMU did not let the guest go on, and says so: not one instruction of it ran. */
  async giveBack(session: QmpSession): Promise<void> {
    const status = await commands.queryStatus(session);
    if (status.ok && !status.value.running) this.#state = 'given back';
  }

  done(): Promise<void> {
    this.#link.send({ kind: 'running' });
    return Promise.resolve();
  }

  /** A QEMU that has ended meanwhile never let it run: it goes on where it was. */
  async #stillStands(): Promise<Outcome<undefined>> {
    const status = this.#session === undefined ? undefined : await commands.queryStatus(this.#session);
    return status?.ok === true ? success(undefined) : notMoved('its QEMU on the other host ended');
  }

  /** SECURITY: promise 7. Its disks, by the very marks that they had when the other side let go of them: a copy is another disk. */
  async #sameFiles(there: FileMarks): Promise<Outcome<undefined>> {
    if (this.#launch === undefined) return notMoved('it was not planned');
    const { broker, varsDirectory } = this.#services;
    const here = await filesNow(broker, this.move.machine, this.#launch);
    if (!here.ok) return here;
    const own = (path: string): boolean => path.startsWith(`${varsDirectory}/`);
    const written = this.#launch.descriptors.flatMap((one) =>
      one.kind === 'file' && one.access === 'rw' && !own(one.path) ? [one.path] : [],
    );
    const changed = [
      ...changedFiles(there, fileMarks(here.value)),
      ...notTheDisks({ written, there, here: here.value, opened: this.#opened }),
    ];
    if (changed.length === 0) return success(undefined);
    return notMoved(
      `on the other host ${changed.join('; ')}`,
      'the disks of a machine that moves must be the same files on both hosts',
    );
  }

  async #watch(session: QmpSession, over: AbortSignal, bytes: () => number): Promise<string | undefined> {
    const size = this.definition.memory;
    let [seen, movedAt] = [0, performance.now()];
    for (;;) {
      const migration = await commands.queryMigrate(session);
      if (this.#link.closed.aborted) return this.#link.why;
      if (over.aborted || this.#link.early === 'failed') return 'it was given up';
      if (!migration.ok) return migration.message;
      const { status, error } = migration.value;
      if (status === 'completed') return undefined;
      if (status === 'failed') return error === '' ? 'QEMU did not take it' : error;
      this.#services.onProgress(Math.min(100, (100 * bytes()) / size));
      const now = performance.now();
      if (bytes() !== seen) [seen, movedAt] = [bytes(), now];
      if (now - movedAt > stallMs) return `nothing came for ${stallMs / 1000} s`;
      await wait(pollMs);
    }
  }
}

interface ArrivalParts {
  readonly link: MoveLink;
  readonly services: ArrivalServices;
}

/** A QEMU that does not like what it reads says so in its log, and ends (QEMU 7.2, migration.c). */
async function failed(run: Run, why: string): Promise<Outcome<never>> {
  await run.process.gone(run.session === undefined ? exitGraceMs : 0);
  const { lines } = await readQemuLog(run.launched.log, 0);
  const words = lines.slice(-3).join(' | ');
  return notMoved(words === '' ? why : `QEMU there says: ${words}`);
}

export function notMoved(
  why: string,
  hint = 'set right what it says, and move it again',
): { readonly ok: false; readonly faults: readonly Fault[] } {
  return failure('migration-failed', `it was not moved: ${why}`, hint);
}
