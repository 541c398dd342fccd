/** The state of one machine and the process behind it: what is seen, kept and told of it. */
import type { MachineState } from '../../api/contract.ts';
import { differingWalls, type AuditReport } from '../../audit/report.ts';
import type { Fault } from '../../definition/fault.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { QmpEvent } from '../../qmp/events.ts';
import { commands } from '../../qmp/commands.ts';
import { isAlive } from '../../linux/process.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { BrokerPort } from '../broker-port.ts';
import type { EventHistory } from '../events.ts';
import type { HookCall, HookReport } from '../hooks/run-hook.ts';
import type { HostPhase } from '../host-phase.ts';
import type { Log } from '../log.ts';
import type { Beside } from '../beside/side-servers.ts';
import type { Networks } from '../networks/user-networks.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { judgeFound } from '../saved/judge-found.ts';
import type { MoveNotes } from '../migration/move-notes.ts';
import type { SavedStates } from '../saved/saved-states.ts';
import { definitionOfNote, type AuditNote, type RunNote, type RunNotes } from '../store/run-notes.ts';
import { AfterRun } from './after-run.ts';
import type { LogLine, MachineLog } from './machine-log.ts';
import { causeOfEnd, judgeExit, type EndedState, type LastEnd } from './machine-state.ts';
import { describeEvent } from './guest-events.ts';
import { endOfRun, killRun, removeRemains } from './end-run.ts';
import { readQemuLog } from './qemu-log.ts';
import type { PendingRestart } from './restarts.ts';
import { settleRun } from '../hotplug/drop-disk.ts';
import { Run } from './run.ts';
import { StateBoard } from './state-board.ts';
import { superviseRun } from './supervise.ts';

export interface LifeServices {
  readonly broker: BrokerPort;
  readonly managerState: string;
  readonly notes: RunNotes;
  readonly events: EventHistory;
  readonly log: Log;
  readonly now: () => Date;
  readonly phase: HostPhase;
  readonly networks: Networks;
  readonly beside: Beside;
  readonly states: SavedStates;
  readonly moves: MoveNotes;
  readonly runHook: (call: HookCall) => Promise<HookReport>;
  /** Finishes or undoes what an earlier manager did to the images of its disks. */
  readonly settleBlocks: (machine: string) => Promise<void>;
  /** The same of a disk that was about to stand alone when QEMU ended. */
  readonly settlePull: (machine: string) => Promise<void>;
  /** The broker keeps something of a machine that does not run: it is to be looked for when the broker answers. */
  readonly onLost: () => void;
  /** Something that `list` shows of this machine changed. */
  readonly onChanged: (machine: string) => void;
}

/** What a life asks of its machine. */
export interface LifeOwner {
  /** The definition of now; undefined: the machine is not defined. */
  readonly definition: () => MachineDefinition | undefined;
  readonly restart: (pending: PendingRestart) => void;
}

export interface Beginning {
  readonly audit: AuditReport;
  readonly by: string;
  readonly paused: boolean;
  /** From a saved state. */
  readonly restored: boolean;
  readonly tookMs: number;
}

const endEvents: Readonly<Record<EndedState, string>> = {
  crashed: 'machine.crashed',
  saved: 'machine.saved',
  stopped: 'machine.stopped',
  failed: 'machine.stopped',
};

/** A light question now and then tells a QEMU that hangs from one that is quiet. */
const probeTimeoutMs = 5_000;

export class Life {
  readonly #name: string;
  readonly #log: MachineLog;
  readonly #services: LifeServices;
  readonly #board: StateBoard;
  readonly after: AfterRun;
  #run: Run | undefined;
  /** The run whose end `#end` tells. */
  #awaited: Run | undefined;
  #end: PromiseWithResolvers<void> = Promise.withResolvers();
  #finishing: Promise<void> | undefined;
  #connecting: Promise<void> | undefined;
  #lastEnd: LastEnd | null = null;
  #saving: Promise<Outcome<undefined>> = Promise.resolve(success(undefined));
  #audit: AuditNote | null = null;
  #released = false;

  constructor(name: string, log: MachineLog, services: LifeServices, owner: LifeOwner) {
    this.#name = name;
    this.#log = log;
    this.#services = services;
    const onChange = (): void => {
      services.onChanged(name);
    };
    this.#board = new StateBoard('stopped', { now: services.now, onChange });
    this.after = new AfterRun({
      ...owner,
      now: services.now,
      runHook: services.runHook,
      goingDown: () => services.phase.now === 'going-down',
      log: (from, lines) => {
        this.#write(from, lines);
      },
      tell: (event, by, details) => {
        this.#tell(event, by, details);
      },
      onChange: () => {
        onChange();
        this.#save();
      },
    });
  }

  get board(): StateBoard {
    return this.#board;
  }

  get state(): MachineState {
    return this.#board.state;
  }

  get run(): Run | undefined {
    return this.#run;
  }

  get lastEnd(): LastEnd | null {
    return this.#lastEnd;
  }

  /** What was seen of the walls when the run was last looked at. */
  get audit(): AuditNote | null {
    return this.#audit;
  }

  set audit(audit: AuditNote | null) {
    this.#audit = audit;
    this.#services.onChanged(this.#name);
    this.#save();
  }

  /** While a process that ended by itself is being cleared away. */
  get finishing(): Promise<void> | undefined {
    return this.#finishing;
  }

  /** While it is found out what a run that was taken over is, and whether its start was finished; where not, until it is ended. */
  get connecting(): Promise<void> | undefined {
    return this.#run?.ending === 'cut off' ? this.ended(this.#run) : this.#connecting;
  }

  /** Resolves when this run is over and cleared away. */
  ended(run: Run): Promise<void> {
    return this.#awaited === run ? this.#end.promise : Promise.resolve();
  }

  settle(state: MachineState): void {
    this.#board.set(state);
  }

  /** A line for the machine's log. */
  note(text: string): void {
    this.#write('qward', [text]);
  }

  #write(from: LogLine['from'], lines: readonly string[]): void {
    const at = this.#services.now().toISOString();
    void this.#log.append(lines.map((text) => ({ at, from, text })));
  }

  /** What an earlier manager noted of a machine that does not run now. */
  recall(note: RunNote): void {
    this.#lastEnd = note.lastEnd;
    if (note.after !== null) this.after.recall(note.after);
    const state = note.after?.due?.state ?? note.state;
    if (state === 'crashed' || state === 'failed') this.#board.set(state, note.since);
  }

  /** The state in which it is, where no process of it is. */
  rest(ended: EndedState = 'stopped'): void {
    this.#board.set(this.#services.states.get(this.#name) === undefined ? ended : 'saved');
  }

  /** Does what an earlier manager owed to a machine that does not run, and waits on for its restart. */
  async resume(): Promise<void> {
    if (this.#run === undefined && this.#finishing === undefined) await this.after.resume();
  }

  /** A start that has passed its planning: its hook runs, and whatever becomes of it now is followed by the stop hook. */
  async beforeLaunch(definition: MachineDefinition, signal: AbortSignal): Promise<Outcome<undefined>> {
    if (definition.hooks.start === undefined && definition.hooks.stop === undefined)
      return success(undefined);
    this.after.owe({ cause: 'other', state: 'stopped' });
    // SECURITY: promise 7. A stop hook that nobody knows of would not be run after this manager's death.
    const kept = await this.keepNote();
    return kept.ok ? await this.after.beforeLaunch(definition, signal) : kept;
  }

  began(run: Run, beginning: Beginning): void {
    const { audit, by, paused, tookMs } = beginning;
    run.begun = true;
    this.after.begun();
    this.#audit = { ok: audit.ok, at: audit.at };
    this.#take(run);
    this.#board.set(paused ? 'paused' : 'running');
    const walls = audit.ok ? 'every wall proved' : `although walls differ: ${differingWalls(audit)}`;
    const { launch } = run.launched;
    const restored = beginning.restored ? ', restored' : '';
    const relaxed = (launch.relaxed ?? []).map(({ relax, to }) => `${relax} ${to}`).join(', ');
    const given = relaxed === '' ? '' : `; relaxed: ${relaxed}`;
    this.note(`started${restored} as pid ${run.launched.pid}, uid ${run.launched.uid}, ${walls}${given}`);
    this.#tell('machine.started', by, {
      pid: run.launched.pid,
      tookMs: Math.round(tookMs),
      walls: audit.ok ? 'proved' : 'differ',
      ...(beginning.restored ? { restored: true } : {}),
      ...(relaxed === '' ? {} : { relaxed }),
    });
    this.#save();
    void this.#watch(run, true);
  }

  startFailed(
    faults: readonly Fault[],
    how: { readonly log: readonly string[]; readonly cancelled: boolean; readonly by: string },
  ): void {
    const message = faults.map((fault) => fault.message).join('; ');
    this.note(how.cancelled ? `start ended by ${how.by}` : `start failed: ${message}`);
    const at = this.#services.now().toISOString();
    if (!how.cancelled)
      this.#lastEnd = { how: 'start failed', signal: null, exitCode: null, log: [...how.log], at, message };
    this.rest(how.cancelled ? 'stopped' : 'failed');
    this.#tell('machine.start-failed', how.by, { code: faults[0]?.code ?? 'internal' });
    this.#save();
  }

  /** Ends the process; the outcome says so when all of it is gone. */
  async kill(run: Run, ending: 'kill' | 'saved' | 'moved' = 'kill'): Promise<Outcome<string>> {
    const before = this.state;
    run.ending = ending;
    this.#board.set('stopping');
    await this.keepLog();
    const killed = await killRun(this.#services.broker, this.#name);
    if (!killed.ok) {
      run.ending = 'none';
      this.#board.set(before);
      return killed;
    }
    await this.ended(run);
    return success(ending === 'kill' ? 'killed' : ending);
  }

  /** Takes over a run that an earlier manager began; the result connects to it, and is over when that is done or given up. */
  async adopt(launched: LaunchedMachine, note: RunNote | undefined): Promise<() => Promise<void>> {
    const known = note?.launchedAt === launched.launchedAt ? note : undefined;
    const lastEnd = this.#lastEnd ?? note?.lastEnd ?? null;
    // What the broker said may be old by now.
    const alive = isAlive(launched.pid, launched.startTime);
    // Its end was seen and recorded; only the broker could not be told.
    if (!alive && lastEnd !== null && lastEnd.at >= launched.launchedAt)
      return async () => void (await removeRemains(this.#services.broker, this.#name, 'none'));
    const run = await Run.open({
      launched,
      managerState: this.#services.managerState,
      revision: known?.revision ?? null,
      logOffset: known?.logOffset ?? 0,
      files: {},
      media: known?.media,
      hotplug: known?.hotplug,
      definition: definitionOfNote(known),
    });
    run.begun = known !== undefined;
    run.saving = known?.saving;
    this.#lastEnd = lastEnd;
    this.#audit = known?.audit ?? null;
    // Of a restart that was cut off, the wait that it answered is kept: it comes again.
    if (run.begun) this.after.begun();
    this.#take(run);
    this.#board.set('unreachable');
    const over = Promise.withResolvers<void>();
    this.#connecting = over.promise;
    return async () => {
      const whole = !launched.alive || this.#services.beside.adopt(run);
      // QEMU waits for what is not there, and for ever.
      if (!whole && !run.begun) await this.#cutOff(run, 'cut off');
      const connected = alive && (await run.connect(run.released)).ok;
      if (connected) await this.probe();
      if (connected && run.hotplug.hasNote) await settleRun(this, run);
      if (launched.alive && run.begun) await this.#services.networks.adopt(run);
      void this.#watch(run, connected);
      this.#connecting = undefined;
      over.resolve();
    };
  }

  /** Asks QEMU how it is; its silence, and its coming back, show in the state. */
  async probe(): Promise<void> {
    const run = this.#run;
    if (
      run?.session === undefined ||
      run.moving ||
      !['running', 'paused', 'unreachable'].includes(this.state)
    )
      return;
    // SECURITY: promise 7. Before anybody lets its guest go on: the definition names what it writes to.
    if (run.hotplug.workIsOrphan && run.begun) await this.#services.settleBlocks(this.#name);
    const status = await commands.queryStatus(run.session, { timeoutMs: probeTimeoutMs });
    if (this.#run !== run || !['running', 'paused', 'unreachable'].includes(this.state)) return;
    if (status.ok) {
      const { notes } = this.#services;
      const found = await judgeFound(run, status.value, this.#services);
      if (this.#run !== run) return;
      // A newer qward's note says whether the start was finished, and cannot be read: it is not let run, and not ended.
      if (found.verdict === 'end' && notes.newer.has(this.#name)) this.#board.set('paused');
      else if (found.verdict === 'end') await this.#cutOff(run, found.ending);
      else {
        if (!run.begun) this.after.begun();
        run.begun = true;
        if (found.note !== undefined) this.note(found.note);
        this.#board.set(found.running ? 'running' : 'paused');
        if (found.note !== undefined) this.#save();
      }
    } else if (run.process.alive) this.#unreachable(status.message);
    await this.keepLog();
  }

  /** Ends what an earlier manager, or a broker that died, left in the middle of a start. Tried again with each probe. */
  async #cutOff(run: Run, ending: 'cut off' | 'saved' | 'moved'): Promise<void> {
    run.ending = ending;
    const killed = await killRun(this.#services.broker, this.#name);
    if (killed.ok) return;
    run.ending = 'none';
    this.#services.log.error('a start that was cut off was not ended', {
      machine: this.#name,
      faults: killed.faults,
    });
  }

  /** Moves what QEMU said since the last time into the machine's log. */
  async keepLog(): Promise<void> {
    const run = this.#run;
    if (run === undefined) return;
    const { lines, offset, at } = await readQemuLog(run.launched.log, run.logOffset);
    if (offset <= run.logOffset) return;
    run.logOffset = offset;
    await this.#log.append(lines.map((text) => ({ at, from: 'qemu', text })));
  }

  /** Keeps what a successor must know of the run. What it alone could set right is not begun where this fails. */
  async keepNote(): Promise<Outcome<undefined>> {
    this.#save();
    return await this.#saving;
  }

  /** Lets go of everything; QEMU runs on. */
  async release(): Promise<void> {
    await this.keepLog();
    this.after.restarts.release();
    if (this.#run !== undefined) this.#save();
    await this.#run?.[Symbol.asyncDispose]();
    await this.flush();
    // From here on the notes are the next manager's, whatever is still under way here.
    this.#released = true;
  }

  /** Waits until what is to be kept of the machine is in its files. */
  async flush(): Promise<void> {
    await Promise.all([this.#log.flush(), this.#saving]);
  }

  #take(run: Run): void {
    this.#run = run;
    this.#awaited = run;
    this.#end = Promise.withResolvers();
  }

  async #watch(run: Run, witnessed: boolean): Promise<void> {
    try {
      await superviseRun(run, {
        onEvent: (event) => {
          this.#onEvent(run, event);
        },
        onUnreachable: (message) => {
          this.#unreachable(message);
        },
        onReachable: () => void this.probe(),
      });
      if (run.released.aborted) return;
      this.#finishing = this.#finish(run, witnessed).finally(() => {
        this.#finishing = undefined;
      });
      await this.#finishing;
    } catch (error) {
      this.#services.log.error('supervision failed', { machine: this.#name, error });
    }
  }

  async #finish(run: Run, witnessed: boolean): Promise<void> {
    await this.keepLog();
    const exit = await endOfRun(run, { witnessed, at: this.#services.now().toISOString() });
    const judged = judgeExit(exit);
    const { lastEnd } = judged;
    this.#lastEnd = lastEnd;
    // However its process ended: what was saved of it is there.
    const saved = this.#services.states.get(this.#name) !== undefined;
    const state = saved ? 'saved' : judged.state;
    // Nor is what is, or may be, on another host.
    const elsewhere = this.#services.moves.refusal(this.#name) !== undefined;
    const cause = saved || elsewhere ? 'other' : causeOfEnd(exit, lastEnd);
    this.after.owe({ cause, state });
    this.#save();
    await run.end(`the machine is ${state}`);
    const removed = await removeRemains(this.#services.broker, this.#name, run.ending);
    if (!removed.ok) {
      this.#services.log.error('what a machine left was not removed', {
        machine: this.#name,
        faults: removed.faults,
      });
      this.#services.onLost();
    }
    // SECURITY: promise 7. Whoever hears of its end finds the definition naming what the image's header names.
    await this.#services.settlePull(this.#name).catch((error: unknown) => {
      this.#services.log.error('a pull was not settled', { machine: this.#name, error });
    });
    this.#run = undefined;
    this.#audit = null;
    this.note(lastEnd.message);
    if (this.after.hasStopHook) this.#board.set('stopping');
    await this.after.tidy();
    this.#board.set(state);
    this.#tell(endEvents[state], null, {
      how: lastEnd.how,
      signal: lastEnd.signal,
      exitCode: lastEnd.exitCode,
    });
    if (!run.begun && this.after.restarts.pending !== null) this.after.restarts.resume();
    else this.after.restarts.ended(cause);
    this.#save();
    this.#end.resolve();
  }

  #onEvent(run: Run, event: QmpEvent): void {
    if (event.name === 'SHUTDOWN') run.shutdown = { guest: event.guest, reason: event.reason };
    if (event.name === 'RESET' && event.guest) run.onGuestReset?.();
    if (event.name === 'NETDEV_STREAM_DISCONNECTED') run.networks?.nudge();
    if (event.name === 'DEVICE_DELETED') void settleRun(this, run);
    if (this.state === 'running' && event.name === 'STOP') this.#board.set('paused');
    if (this.state === 'paused' && event.name === 'RESUME') this.#board.set('running');
    const told = describeEvent(event);
    if (told === undefined) return;
    if (told.text !== undefined) this.note(told.text);
    this.#tell(told.event, null, told.details);
  }

  #unreachable(message: string): void {
    if (['stopping', 'saving', 'unreachable'].includes(this.state)) return;
    this.note(`the monitor does not answer: ${message}`);
    this.#board.set('unreachable');
    this.#tell('machine.unreachable', null, { message });
  }

  #tell(event: string, by: string | null, details: Readonly<Record<string, unknown>>): void {
    this.#services.events.emit(event, this.#name, by, { ...details, state: this.state });
  }

  #noteNow(): RunNote {
    const run = this.#run;
    return {
      version: 1,
      state: this.state,
      since: this.#board.since,
      launchedAt: run?.launched.launchedAt ?? null,
      revision: run?.revision ?? null,
      logOffset: run?.logOffset ?? 0,
      audit: this.#audit,
      lastEnd: this.#lastEnd,
      after: this.after.note,
      ...(run === undefined ? {} : { media: run.media.note, hotplug: run.hotplug.note, ...run.startNote }),
    };
  }

  #save(): void {
    if (this.#released) return;
    const note = this.#noteNow();
    this.#saving = this.#saving
      .then(() => this.#services.notes.write(this.#name, note))
      .then(() => success(undefined))
      .catch((error: unknown) => {
        this.#services.log.warn('the note of a run was not written', { machine: this.#name, error });
        const why = error instanceof Error ? error.message : String(error);
        return failure(
          'state-unwritable',
          `machine "${this.#name}": what is under way could not be noted: ${why}`,
          'make room on the file system of the manager; nothing was begun',
        );
      });
  }
}
