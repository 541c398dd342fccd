/** One machine: its definition, its state, and what may be done with it when. */
import type { Done, MachineState, MachineStatus } from '../../api/contract.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import { commands } from '../../qmp/commands.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import { gaveNoAnswer } from '../broker-port.ts';
import type { HostPhase } from '../host-phase.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';
import type { RunNote } from '../store/run-notes.ts';
import { halfReverted, Restore } from '../saved/restore.ts';
import { setsOf, takeFresh } from '../saved/fresh-descriptors.ts';
import { saveRun, type SaveRequest, type SaveServices } from '../saved/save-run.ts';
import type { StateNote } from '../saved/state-note.ts';
import type { SavedState } from '../saved/saved-states.ts';
import { Arrival, notMoved, type Move } from '../migration/arrival.ts';
import type { MoveLink } from '../migration/move-link.ts';
import type { MoveNote } from '../migration/move-notes.ts';
import { moveRun, type Moved, type MoveRequest, type MoveServices } from '../migration/move-run.ts';
import { keepHere, openNote, whetherItCame } from '../migration/settle-move.ts';
import type { Offer } from '../migration/what-fits.ts';
import { MachineLog } from './machine-log.ts';
import { killRun } from './end-run.ts';
import { Life, type LifeServices } from './life.ts';
import { Operations } from './operations.ts';
import { resetGuest } from './reset-guest.ts';
import type { PendingRestart } from './restarts.ts';
import type { Run } from './run.ts';
import {
  startRun,
  type Incoming,
  type StartOutcome,
  type StartRequest,
  type StartServices,
} from './start-run.ts';
import { askToStop } from './stop-run.ts';

export type MachineServices = LifeServices &
  StartServices &
  SaveServices &
  MoveServices & { readonly phase: HostPhase };

export interface StartOptions {
  readonly paused: boolean;
  /** Who asks, for the machine's log. */
  readonly by: string;
  /** The restart that it is; undefined: somebody asks for it. */
  readonly restart?: PendingRestart;
  /** Its saved state: goes on with it where there is one (the default), or only then, or throws it away. */
  readonly state?: 'use' | 'require' | 'discard';
  /** From elsewhere: another host, or the state of another machine. */
  readonly incoming?: Incoming;
}

export type MemoryProgress = NonNullable<MachineStatus['progress']>;

export interface ChangeOptions {
  /** Touches no disk: allowed of a machine whose guest is, or may be, on another host. */
  readonly evenElsewhere?: boolean;
  /** Waits for what comes from another host, as long as that takes; else it is refused at once. */
  readonly afterArrival?: boolean;
}

export interface SaveOptions {
  readonly by: string;
  /** Gives it up; the guest goes on then. */
  readonly signal?: AbortSignal;
}

export class Machine {
  readonly name: string;
  readonly log: MachineLog;
  readonly life: Life;
  readonly #services: MachineServices;
  readonly #operations: Operations;
  #record: DefinitionRecord | null;
  #killing: Promise<Outcome<string>> | undefined;
  #starting: MachineDefinition | null = null;
  #progress: MemoryProgress | null = null;
  #arrival: Arrival | undefined;
  /** The broker did not say what came of the last start: it may have a QEMU whose guest never ran. */
  #mayBeLeft = false;

  /** `record` is null for a machine that runs and is not defined: it can be seen and ended, nothing else. */
  constructor(name: string, record: DefinitionRecord | null, services: MachineServices) {
    this.name = name;
    this.#record = record;
    this.#services = services;
    this.log = new MachineLog(services.managerState, name);
    this.life = new Life(name, this.log, services, {
      definition: () => this.#record?.definition,
      restart: (pending) => void this.#restart(pending),
    });
    this.#operations = new Operations((error) => {
      services.log.error('an operation failed', { machine: name, error });
      this.life.settle('failed');
      return failure(
        'internal',
        `machine "${name}": a fault of qward itself`,
        'please report it, with the log of qward-manager',
      );
    });
  }

  get record(): DefinitionRecord | null {
    return this.#record;
  }

  set record(record: DefinitionRecord | null) {
    this.#record = record;
    this.#services.onChanged(this.name);
  }

  /** The definition that a start under way was begun with. */
  get starting(): MachineDefinition | null {
    return this.#starting;
  }

  /** How far its memory is written or read. */
  get progress(): MemoryProgress | null {
    return this.#progress;
  }

  /** The state that is kept of it. */
  get saved(): SavedState | undefined {
    return this.#services.states.get(this.name);
  }

  /** What is noted of its last move between hosts. */
  get moved(): MachineStatus['moved'] {
    const note = this.#services.moves.get(this.name);
    if (note === undefined) return null;
    const { kind, token, peer, at, by } = note;
    return { kind, token, peer, at, by };
  }

  get state(): MachineState {
    return this.life.state;
  }

  get run(): Run | undefined {
    return this.life.run;
  }

  /** Succeeds where it runs already, or where another start under way succeeds. */
  async start(options: StartOptions): Promise<Outcome<Done>> {
    for (;;) {
      const operation = this.#operations.current;
      if (operation?.kind === 'start') {
        const isArrival = this.#arrival !== undefined;
        const outcome = await operation.done;
        // That a guest did not come from another host is not the answer to who asks for a start here.
        if (outcome.ok || !isArrival) return this.#report(outcome);
        continue;
      }
      const record = this.#record;
      const elsewhere = this.#services.moves.refusal(this.name);
      const refusal = this.#services.phase.refusal(this.name);
      if (operation !== undefined) await operation.done;
      else if (this.#killing !== undefined) await this.#killing;
      else if (this.life.finishing !== undefined) await this.life.finishing;
      else if (this.life.connecting !== undefined) await this.life.connecting;
      else if (elsewhere !== undefined) return elsewhere;
      else if (this.run !== undefined) return this.#report(success('already running'));
      else if (record === null) return this.#undefined();
      else if (refusal !== undefined) return refusal;
      else
        return this.#report(
          await this.#operations.begin('start', (signal) => this.#start(record, options, signal)).done,
        );
    }
  }

  /** Power button, time limit, kill. A start under way is ended instead. */
  async stop(timeoutMs: number, by: string): Promise<Outcome<Done>> {
    for (;;) {
      const operation = this.#operations.current;
      if (operation?.kind === 'stop') return this.#report(await operation.done);
      if (operation?.kind === 'start') {
        operation.abort();
        const outcome = await operation.done;
        if (!outcome.ok && this.run === undefined) return this.#report(success('start ended'));
      } else if (operation !== undefined) {
        if (operation.kind === 'move') operation.abort();
        await operation.done;
      } else if (this.life.finishing !== undefined) await this.life.finishing;
      // Its guest is there: what stands here of it is not let go on to hear of a shutdown.
      else if (this.run !== undefined && this.#services.moves.get(this.name)?.kind === 'gone')
        return await this.kill(by);
      else if (this.#elsewhere !== undefined) return this.#elsewhere;
      else if (this.run === undefined)
        return this.state === 'unreachable' ? this.#unreached() : this.#report(this.#stopped(by));
      else {
        const { run } = this;
        return this.#report(await this.#operations.begin('stop', () => this.#stop(run, timeoutMs, by)).done);
      }
    }
  }

  /** Keeps memory and devices, and ends the process. A guest that cannot be saved goes on as it was. */
  async save({ by, signal }: SaveOptions): Promise<Outcome<Done>> {
    for (;;) {
      const operation = this.#operations.current;
      if (operation?.kind === 'save') return this.#report(await operation.done);
      if (operation !== undefined) await operation.done;
      else if (this.#killing !== undefined) await this.#killing;
      else if (this.life.finishing !== undefined) await this.life.finishing;
      else if (this.life.connecting !== undefined) await this.life.connecting;
      else if (this.run === undefined && this.saved !== undefined)
        return this.#report(success('already saved'));
      else {
        const session = this.session();
        const { run } = this;
        if (!session.ok || run === undefined) return session.ok ? this.#undefined() : session;
        const record = this.#record;
        if (record === null) return this.#undefined();
        return this.#report(
          await this.#operations.begin('save', (own) =>
            this.#save(run, record, by, signal === undefined ? own : AbortSignal.any([own, signal])),
          ).done,
        );
      }
    }
  }

  /** Gives its guest to another host, and ends it here; where that fails before it was given, it goes on as it was. */
  async moveAway(asked: Pick<MoveRequest, 'move' | 'limits' | 'link'>): Promise<Outcome<Moved>> {
    while (this.#underWay !== undefined) await this.#underWay;
    const elsewhere = this.#services.moves.refusal(this.name);
    if (elsewhere !== undefined) return elsewhere;
    const session = this.session();
    const [run, record] = [this.run, this.#record];
    if (!session.ok) return session;
    if (run === undefined || record === null) return this.#undefined();
    let moved: Outcome<Moved> = notMoved('it did not begin');
    const outcome = await this.#operations.begin('move', async (signal) => {
      moved = await this.#moveAway(run, { ...asked, record, signal });
      return moved.ok ? success('moved') : moved;
    }).done;
    // A fault of qward's own is in the outcome alone.
    return moved.ok || outcome.ok ? moved : outcome;
  }

  async #moveAway(
    run: Run,
    asked: Pick<MoveRequest, 'move' | 'limits' | 'link' | 'record' | 'signal'>,
  ): Promise<Outcome<Moved>> {
    const { by, peer } = asked.move;
    this.life.note(`move to ${peer} asked for by ${by}`);
    run.moving = true;
    const moved = await this.working('moving', (onProgress) =>
      moveRun(this.#services, { ...asked, run, onProgress, keepNote: () => this.life.keepNote() }),
    ).finally(() => (run.moving = false));
    this.life.note(
      moved.ok ? `it runs on ${peer} now` : moved.faults.map(({ message }) => message).join('; '),
    );
    if (this.#services.moves.get(this.name)?.kind === 'gone') {
      // Its guest is there: what stands here is ended by each probe that comes, where this does not.
      const ended = await this.life.kill(run, 'moved');
      if (!ended.ok && this.run === run) this.life.settle('paused');
    } else if (this.run === run && run.ending === 'none') await this.life.probe();
    return moved;
  }

  /** Takes its guest over from another host. `ran`: where that fails, it may have run here; undefined: that is not sure yet. */
  async arrive(
    move: Move,
    offer: Offer,
    link: MoveLink,
  ): Promise<{ readonly outcome: Outcome<string>; readonly ran: boolean | undefined }> {
    const onProgress = (percent: number): void => {
      this.#progress = { doing: 'arriving', percent };
    };
    const services = { ...this.#services, onProgress };
    while (this.#underWay !== undefined) await this.#underWay;
    const record = this.#record;
    const refusal = this.#mayNotArrive();
    if (refusal !== undefined) return { outcome: refusal, ran: false };
    if (record === null) return { outcome: this.#undefined(), ran: false };
    const arrival = Arrival.of(move, offer, record, { link, services });
    if (!arrival.ok) return { outcome: arrival, ran: false };
    this.life.after.restarts.cancel(move.by);
    const before = this.#services.moves.get(this.name);
    let isUndone = false;
    const arriveOrUndo = async (signal: AbortSignal): Promise<Outcome<string>> => {
      const arrived = await this.#arrive(record, arrival.value, signal);
      if (arrived.ok || arrival.value.isHere) return arrived;
      const undone = await this.#undoArrival(before);
      isUndone = undone.ok;
      return undone.ok ? arrived : { ok: false, faults: [...arrived.faults, ...undone.faults] };
    };
    const outcome = await this.#operations.begin('start', (signal) => {
      this.#arrival = arrival.value;
      return arriveOrUndo(signal).finally(() => (this.#arrival = undefined));
    }).done;
    if (arrival.value.isHere) return { outcome, ran: true };
    return { outcome, ran: isUndone ? false : undefined };
  }

  #mayNotArrive(): Outcome<never> | undefined {
    const { phase, moves } = this.#services;
    const refusal = phase.refusal(this.name);
    if (refusal !== undefined) return refusal;
    // What is not known of an earlier move is not forgotten for this one.
    if (['given', 'unreadable'].includes(moves.get(this.name)?.kind ?? '')) return moves.refusal(this.name);
    if (this.run !== undefined || this.state === 'unreachable' || this.#killing !== undefined)
      return failure(
        'machine-running',
        `a machine "${this.name}" runs there`,
        `stop it there, or rename one of the two: \`qward rename\``,
      );
    return this.saved === undefined
      ? undefined
      : failure(
          'machine-saved',
          `the machine "${this.name}" there has a saved state, which would be lost`,
          `throw it away there: \`qward discard-state ${this.name}\``,
        );
  }

  async #arrive(record: DefinitionRecord, arrival: Arrival, signal: AbortSignal): Promise<Outcome<string>> {
    const noted = await this.#services.moves.put(arrival.noteOf('arriving'));
    if (!noted.ok) return noted;
    const { by } = arrival.move;
    return await this.#start(record, { paused: false, by, incoming: arrival }, signal);
  }

  /** SECURITY: promise 7. Only what is known to be ended may be started again, and its guest go on where it was. */
  async #undoArrival(before: MoveNote | undefined): Promise<Outcome<unknown>> {
    const { moves, broker } = this.#services;
    const ended = await killRun(broker, this.name);
    return ended.ok ? await moves.restore(this.name, before) : ended;
  }

  /** What came of a move whose end the other side did not hear; or what is said of it here. */
  async settleMove(
    token: string,
    verdict: 'ask' | 'keep' | 'gone',
    by: string,
  ): Promise<Outcome<{ readonly arrived: boolean; readonly outcome: string }>> {
    const { moves } = this.#services;
    if (verdict === 'ask') {
      if (this.#arrival?.move.token === token) this.#arrival.abandon();
      while (this.#underWay !== undefined) await this.#underWay;
      const runs = this.run !== undefined || this.state === 'unreachable';
      const came = whetherItCame({ moves, machine: this.name, token, runs });
      if (!came.ok) return came;
      return success({ arrived: came.value, outcome: came.value ? 'arrived here' : 'did not arrive' });
    }
    while (this.#underWay !== undefined) await this.#underWay;
    const outcome = await this.#operations.begin('change', async () => {
      const settling = { moves, machine: this.name, run: this.run, token };
      const note = openNote(settling);
      if (!note.ok) return note;
      this.life.note(`${by} says that it is ${verdict === 'keep' ? 'here' : `on ${note.value.peer}`}`);
      if (verdict === 'keep') {
        const kept = await keepHere(settling, note.value);
        await this.life.keepNote();
        await this.life.probe();
        return kept;
      }
      const { launchedAt } = this.run?.launched ?? note.value;
      const gone = await moves.put({ ...note.value, launchedAt, kind: 'gone' });
      if (!gone.ok) return gone;
      const ended = this.run === undefined ? gone : await this.life.kill(this.run, 'moved');
      return ended.ok ? success('ended here') : ended;
    }).done;
    return outcome.ok ? success({ arrived: false, outcome: outcome.value }) : outcome;
  }

  /** SECURITY: promise 7. Why nobody touches what stands here of a guest that is, or may be, on another host. */
  get #elsewhere(): Outcome<never> | undefined {
    return this.run === undefined ? undefined : this.#services.moves.refusal(this.name);
  }

  /** What an operation waits for before it begins. */
  get #underWay(): Promise<unknown> | undefined {
    return this.#operations.current?.done ?? this.#killing ?? this.life.finishing ?? this.life.connecting;
  }

  #beingMoved(not: string): Outcome<never> {
    return failure(
      'machine-busy',
      `machine "${this.name}" ${not}: it is being moved to another host, or from one`,
      'wait for it to end, or interrupt it',
    );
  }

  /** Does what needs the memory of a running guest that goes on afterwards. */
  async snapshot(
    by: string,
    make: (request: SaveRequest) => Promise<Outcome<StateNote>>,
  ): Promise<Outcome<string>> {
    while (this.#operations.current !== undefined) await this.#operations.current.done;
    const session = this.session();
    if (!session.ok) return session;
    const [run, record] = [this.run, this.#record];
    if (run === undefined || record === null) return this.#undefined();
    if (this.state !== 'running')
      return failure(
        'machine-not-running',
        `machine "${this.name}" is ${this.state}`,
        `let it go on: \`qward resume ${this.name}\``,
      );
    return await this.#operations.begin('save', async (signal) => {
      this.life.note(`snapshot asked for by ${by}`);
      const made = await this.#keepMemory(run, { record, by, signal }, make);
      return made.ok ? success('made') : made;
    }).done;
  }

  /** What was in the memory of a saved machine is lost, as by a crash. */
  async discardState(by: string): Promise<Outcome<Done>> {
    if (this.saved === undefined) return this.#report(success('has no saved state'));
    const outcome = await this.change(async () => {
      const discarded = await this.#discard(by);
      if (!discarded.ok) return discarded;
      this.life.settle('stopped');
      return success('discarded the saved state');
    });
    return this.#report(outcome);
  }

  /** At once, whatever is under way. */
  async kill(by: string): Promise<Outcome<Done>> {
    this.#killing ??= this.#killForGood(by).finally(() => {
      this.#killing = undefined;
    });
    return this.#report(await this.#killing);
  }

  async reset(by: string): Promise<Outcome<Done>> {
    const stops = this.#record?.definition.onReboot === 'stop';
    const outcome = await this.#command('reset', by, (session) => resetGuest(session, this.run, stops));
    return outcome.ok ? this.#report(success('reset')) : outcome;
  }

  async pause(by: string): Promise<Outcome<Done>> {
    if (this.state === 'paused') return this.#report(success('already paused'));
    const outcome = await this.#command('paused', by, (session) => commands.stop(session));
    if (outcome.ok) this.life.settle('paused');
    return outcome.ok ? this.#report(success('paused')) : outcome;
  }

  async resume(by: string): Promise<Outcome<Done>> {
    if (this.state === 'running') return this.#report(success('already running'));
    const outcome = await this.#command('resumed', by, (session) => commands.cont(session));
    if (!outcome.ok) return outcome;
    this.life.settle('running');
    const { run } = this;
    // Its images are open now; until then QEMU needed what it was given to open them with.
    if (run?.session !== undefined) {
      // What was taken from the others while it stood still is closed now (QEMU 7.2: monitor_fdset_cleanup).
      const others = run.hotplug.disks.flatMap(({ layers }) => layers.map(({ set }) => set));
      await takeFresh(run.session, [...new Set([...setsOf(run), ...others])]);
    }
    return this.#report(success('resumed'));
  }

  /** The monitor of the running machine; no operation waits for what the caller does with it. */
  session(): Outcome<QmpSession> {
    if (this.#elsewhere !== undefined) return this.#elsewhere;
    // SECURITY: promise 5. Nobody lets a guest run whose start may not have been finished.
    const session = this.run?.begun === true ? this.run.session : undefined;
    if (session !== undefined) return success(session);
    return this.run === undefined
      ? failure(
          'machine-not-running',
          `machine "${this.name}" does not run`,
          `start it: \`qward start ${this.name}\``,
        )
      : failure(
          'monitor-failed',
          `the monitor of machine "${this.name}" does not answer`,
          `see \`qward status ${this.name}\``,
        );
  }

  /** The monitor for words of a user's own. SECURITY: promise 7. What they let go on while it is given away would run twice. */
  monitor(): Outcome<QmpSession> {
    return this.#operations.current?.kind === 'move'
      ? this.#beingMoved('does not take words of yours')
      : this.session();
  }

  /** Does something to a machine that must not run meanwhile; a start waits until it is done. */
  async change(
    work: () => Promise<Outcome<string>>,
    { evenElsewhere = false, afterArrival = false }: ChangeOptions = {},
  ): Promise<Outcome<string>> {
    for (;;) {
      const operation = this.#operations.current;
      // Who waited for it would keep others from names and quotas as long as a peer likes.
      if (operation?.kind === 'move' || (this.#arrival !== undefined && !afterArrival))
        return this.#beingMoved('was not changed');
      if (operation !== undefined) await operation.done;
      else if (this.life.finishing !== undefined) await this.life.finishing;
      else break;
    }
    // SECURITY: promise 7. Asked again by what is noted now: a move may have ended while this waited.
    const elsewhere = evenElsewhere ? this.#elsewhere : this.#services.moves.refusal(this.name);
    if (elsewhere !== undefined) return elsewhere;
    if (this.run !== undefined || this.state === 'unreachable')
      return failure(
        'machine-running',
        `machine "${this.name}" runs`,
        `stop it first: \`qward stop ${this.name}\``,
      );
    this.life.after.restarts.cancel('what is done with the machine now');
    return await this.#operations.begin('change', work).done;
  }

  /** Does something to a machine that runs; no start, stop, save or snapshot comes in between. */
  async changeRunning(work: () => Promise<Outcome<string>>): Promise<Outcome<string>> {
    while (this.#operations.current !== undefined) await this.#operations.current.done;
    return await this.#operations.begin('change', work).done;
  }

  /** Does what takes some moments, in which nobody lets the guest go on or stand still. */
  async hold(work: () => Promise<Outcome<string>>): Promise<Outcome<string>> {
    while (this.#operations.current !== undefined) await this.#operations.current.done;
    return await this.#operations.begin('swap', work).done;
  }

  /** Does something long to its disks, and shows how far it is. */
  async working<Result>(
    doing: MemoryProgress['doing'],
    work: (onProgress: (percent: number) => void) => Promise<Result>,
  ): Promise<Result> {
    const onProgress = (percent: number): void => {
      this.#progress = { doing, percent };
    };
    onProgress(0);
    try {
      return await work(onProgress);
    } finally {
      this.#progress = null;
    }
  }

  /** Whether an operation is under way: it knows what the broker does for this machine. */
  get busy(): boolean {
    return this.#operations.current !== undefined;
  }

  /** Takes over a machine that the broker started for an earlier manager. */
  adopt(launched: LaunchedMachine, note: RunNote | undefined): Promise<() => Promise<void>> {
    this.#mayBeLeft = false;
    return this.life.adopt(launched, note);
  }

  async #start(
    given: DefinitionRecord,
    options: StartOptions,
    signal: AbortSignal,
  ): Promise<Outcome<string>> {
    const begunAt = performance.now();
    await this.#services.settlePull(this.name);
    const record = this.#record ?? given;
    if (options.restart === undefined) this.life.after.restarts.startedByHand();
    const before = this.state;
    this.life.settle('starting');
    this.life.note(`start asked for by ${options.by}`);
    // What nobody reaches may be a guest that runs.
    if (this.#mayBeLeft && before !== 'unreachable')
      this.#mayBeLeft = !(await killRun(this.#services.broker, this.name)).ok;
    const noted = await this.#services.moves.runsHere(this.name);
    const chosen = noted.ok ? await this.#restoreFrom(options) : noted;
    const restore = chosen.ok ? chosen.value : undefined;
    const { definition = record.definition } = restore ?? {};
    const revision = restore === undefined ? record.revision : restore.revision;
    const paused = options.paused || restore?.paused === true;
    this.#starting = definition;
    const outcome = await this.#launch(chosen, {
      definition,
      owner: record.metadata.owner,
      revision,
      paused,
      signal,
      beforeLaunch: () => this.life.beforeLaunch(definition, signal),
      restore,
    });
    if (!outcome.ok) {
      this.#mayBeLeft = gaveNoAnswer(outcome.faults);
      await this.life.after.tidy();
      this.life.startFailed(outcome.faults, { log: outcome.log, cancelled: signal.aborted, by: options.by });
      // The broker knows better: what nobody reaches still runs.
      if (before === 'unreachable' && outcome.faults[0]?.code === 'machine-running') this.life.settle(before);
      if (options.restart !== undefined && !signal.aborted)
        this.life.after.restarts.ended(options.restart.cause);
      return outcome;
    }
    const { run, audit } = outcome.value;
    this.life.began(run, {
      audit,
      by: options.by,
      paused,
      restored: restore !== undefined,
      tookMs: performance.now() - begunAt,
    });
    // A manager that dies now is followed by one that ends what waits for its first instruction, unless the note says why it does.
    if (paused) await this.life.flush();
    if (restore === undefined) return success('started');
    return success(paused ? 'restored, and paused' : 'restored');
  }

  /** Undefined: it boots. */
  async #restoreFrom({ state = 'use', by, incoming }: StartOptions): Promise<Outcome<Incoming | undefined>> {
    const { states } = this.#services;
    if (incoming !== undefined) return success(incoming);
    if (this.saved === undefined && state !== 'require') return success(undefined);
    if (state !== 'discard')
      return Restore.of(this.name, {
        states,
        onProgress: (percent) => {
          this.#progress = { doing: 'restoring', percent };
        },
      });
    return await this.#discard(by);
  }

  async #discard(by: string): Promise<Outcome<undefined>> {
    const half = halfReverted(this.name, this.saved);
    if (half !== undefined) return half;
    const discarded = await this.#services.states.discard(this.name);
    if (!discarded.ok) return discarded;
    this.life.note(`the saved state was discarded by ${by}`);
    this.#services.events.emit('machine.state-discarded', this.name, by);
    return success(undefined);
  }

  async #launch(chosen: Outcome<unknown>, request: StartRequest): Promise<StartOutcome> {
    try {
      return chosen.ok ? await startRun(this.#services, request) : { ...chosen, log: [] };
    } finally {
      this.#starting = null;
      this.#progress = null;
    }
  }

  async #save(run: Run, record: DefinitionRecord, by: string, signal: AbortSignal): Promise<Outcome<string>> {
    this.life.note(`save asked for by ${by}`);
    const saved = await this.#keepMemory(run, { record, by, signal }, (request) =>
      saveRun(this.#services, request),
    );
    if (saved.ok) {
      const ended = await this.life.kill(run, 'saved');
      // The state is kept, the guest stands, and each probe tries again to end it.
      if (!ended.ok && this.run === run) this.life.settle('paused');
      return ended;
    }
    return saved;
  }

  /** The guest is as before where it still is there afterwards. */
  async #keepMemory(
    run: Run,
    asked: Pick<SaveRequest, 'record' | 'by' | 'signal'>,
    work: (request: SaveRequest) => Promise<Outcome<StateNote>>,
  ): Promise<Outcome<StateNote>> {
    const before = this.state;
    this.life.settle('saving');
    const onProgress = (percent: number): void => {
      this.#progress = { doing: 'saving', percent };
    };
    onProgress(0);
    const kept = await work({ ...asked, run, onProgress, keepNote: () => this.life.keepNote() }).finally(
      () => {
        this.#progress = null;
      },
    );
    if (!kept.ok) this.life.note(kept.faults.map(({ message }) => message).join('; '));
    if (this.run === run && run.ending === 'none' && this.saved === undefined) {
      this.life.settle(before);
      await this.life.probe();
    }
    return kept;
  }

  /** The waiting time of a restart is over. Its faults are in the machine's log, and in its state. */
  async #restart(pending: PendingRestart): Promise<void> {
    const by = `qward, restart ${pending.attempt} of ${pending.of}`;
    const outcome = await this.start({ paused: false, by, restart: pending });
    if (!outcome.ok)
      this.#services.log.warn('a restart failed', { machine: this.name, faults: outcome.faults });
  }

  /** Nothing runs; a restart that is waited for does not come either. */
  #stopped(by: string): Outcome<string> {
    return success(this.life.after.restarts.cancel(by) ? 'restart cancelled' : 'already stopped');
  }

  async #stop(run: Run, timeoutMs: number, by: string): Promise<Outcome<string>> {
    this.life.settle('stopping');
    this.life.note(`stop asked for by ${by}`);
    if (await askToStop(run, this.life.ended(run), timeoutMs))
      return success(this.life.lastEnd?.how ?? 'shut down');
    const killed = await this.kill(`${by}, after the guest did not shut down within ${timeoutMs / 1000}s`);
    return killed.ok ? success(`killed after ${timeoutMs / 1000}s`) : killed;
  }

  /** What ended by itself at the same instant is not restarted either. */
  async #killForGood(by: string): Promise<Outcome<string>> {
    const killed = await this.#kill(by);
    await this.life.finishing;
    const cancelled = this.life.after.restarts.cancel(by);
    return cancelled && killed.ok && killed.value === 'already stopped'
      ? success('restart cancelled')
      : killed;
  }

  async #kill(by: string): Promise<Outcome<string>> {
    const operation = this.#operations.current;
    if (operation?.kind === 'start') {
      operation.abort();
      await operation.done;
    }
    const { run } = this;
    if (run === undefined) {
      if (operation?.kind === 'start') return success('killed');
      // The broker may have a process that nobody here knows of: one whose record was lost.
      const killed = await killRun(this.#services.broker, this.name);
      if (killed.ok && this.state === 'unreachable') this.life.settle('stopped');
      return killed.ok ? success(killed.value.killed ? 'killed' : 'already stopped') : killed;
    }
    this.life.note(`kill asked for by ${by}`);
    return await this.life.kill(run);
  }

  async #command(
    what: string,
    by: string,
    command: (session: QmpSession) => Promise<CommandResult<unknown>>,
  ): Promise<Outcome<void>> {
    const operation = this.#operations.current;
    if (operation?.kind === 'start' || operation?.kind === 'swap') await operation.done;
    if (this.#elsewhere !== undefined) return this.#elsewhere;
    if (operation?.kind === 'move') return this.#beingMoved(`was not ${what}`);
    // SECURITY: promise 7. A guest that went on while its memory is written, or after it, would be resumed on disks of another moment.
    if (operation?.kind === 'save' || (this.saved !== undefined && this.run !== undefined))
      return failure(
        'machine-busy',
        `machine "${this.name}" was not ${what}: its memory is being kept`,
        'wait for it to end',
      );
    const session = this.session();
    if (!session.ok) return session;
    const result = await command(session.value);
    if (!result.ok)
      return failure(
        'monitor-failed',
        `machine "${this.name}" was not ${what}: ${result.message}`,
        'try again',
      );
    this.life.note(`${what} by ${by}`);
    return success(undefined);
  }

  #report(outcome: Outcome<string>): Outcome<Done> {
    return outcome.ok ? success({ name: this.name, state: this.state, outcome: outcome.value }) : outcome;
  }

  /** Its record cannot be read: nobody knows where its monitor is, and a guest is not cut off unasked. */
  #unreached(): Outcome<never> {
    return failure(
      'monitor-failed',
      `machine "${this.name}" runs, and cannot be asked to shut down: its record cannot be read`,
      `end it with \`qward kill ${this.name}\`; \`qward doctor\` shows the record`,
    );
  }

  #undefined(): Outcome<never> {
    return failure(
      'machine-unknown',
      `machine "${this.name}" is not defined`,
      'define it first: `qward define FILE`',
    );
  }
}
