/** One machine: its definition, its state, and what may be done with it when. */
import type { Done, MachineState } from '../../api/contract.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import { commands } from '../../qmp/commands.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';
import type { RunNote } from '../store/run-notes.ts';
import { MachineLog } from './machine-log.ts';
import { killRun } from './end-run.ts';
import { Life, type LifeServices } from './life.ts';
import { Operations } from './operations.ts';
import type { Run } from './run.ts';
import { startRun, type StartServices } from './start-run.ts';
import { askToStop } from './stop-run.ts';

export type MachineServices = LifeServices & StartServices;

export interface StartOptions {
  readonly paused: boolean;
  /** Who asks, for the machine's log. */
  readonly by: string;
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

  /** `record` is null for a machine that runs and is not defined: it can be seen and ended, nothing else. */
  constructor(name: string, record: DefinitionRecord | null, services: MachineServices) {
    this.name = name;
    this.#record = record;
    this.#services = services;
    this.log = new MachineLog(services.managerState, name);
    this.life = new Life(name, this.log, services);
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
      if (operation?.kind === 'start') return this.#report(await operation.done);
      const record = this.#record;
      if (operation !== undefined) await operation.done;
      else if (this.#killing !== undefined) await this.#killing;
      else if (this.life.finishing !== undefined) await this.life.finishing;
      else if (this.run !== undefined) return this.#report(success('already running'));
      else if (record === null) return this.#undefined();
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
      } else if (operation !== undefined) await operation.done;
      else if (this.life.finishing !== undefined) await this.life.finishing;
      else if (this.run === undefined) return this.#report(success('already stopped'));
      else {
        const { run } = this;
        return this.#report(await this.#operations.begin('stop', () => this.#stop(run, timeoutMs, by)).done);
      }
    }
  }

  /** At once, whatever is under way. */
  async kill(by: string): Promise<Outcome<Done>> {
    this.#killing ??= this.#kill(by).finally(() => {
      this.#killing = undefined;
    });
    return this.#report(await this.#killing);
  }

  async reset(by: string): Promise<Outcome<Done>> {
    const outcome = await this.#command('reset', by, (session) => commands.systemReset(session));
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
    if (outcome.ok) this.life.settle('running');
    return outcome.ok ? this.#report(success('resumed')) : outcome;
  }

  /** The monitor of the running machine; no operation waits for what the caller does with it. */
  session(): Outcome<QmpSession> {
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

  /** Does something to a machine that must not run meanwhile; a start waits until it is done. */
  async change(work: () => Promise<Outcome<string>>): Promise<Outcome<string>> {
    while (this.#operations.current !== undefined) await this.#operations.current.done;
    await this.life.finishing;
    if (this.run !== undefined)
      return failure(
        'machine-running',
        `machine "${this.name}" runs`,
        `stop it first: \`qward stop ${this.name}\``,
      );
    return await this.#operations.begin('change', work).done;
  }

  /** Whether an operation is under way: it knows what the broker does for this machine. */
  get busy(): boolean {
    return this.#operations.current !== undefined;
  }

  /** Takes over a machine that the broker started for an earlier manager. */
  adopt(launched: LaunchedMachine, note: RunNote | undefined): Promise<() => Promise<void>> {
    return this.life.adopt(launched, note);
  }

  async #start(
    record: DefinitionRecord,
    options: StartOptions,
    signal: AbortSignal,
  ): Promise<Outcome<string>> {
    const begunAt = performance.now();
    this.life.settle('starting');
    this.life.note(`start asked for by ${options.by}`);
    const { definition, revision } = record;
    const { owner } = record.metadata;
    this.#starting = definition;
    const outcome = await startRun(this.#services, {
      definition,
      owner,
      revision,
      paused: options.paused,
      signal,
    }).finally(() => {
      this.#starting = null;
    });
    if (!outcome.ok) {
      this.life.startFailed(outcome.faults, { log: outcome.log, cancelled: signal.aborted, by: options.by });
      return outcome;
    }
    const { run, audit } = outcome.value;
    this.life.began(run, {
      audit,
      by: options.by,
      paused: options.paused,
      tookMs: performance.now() - begunAt,
    });
    return success('started');
  }

  async #stop(run: Run, timeoutMs: number, by: string): Promise<Outcome<string>> {
    this.life.settle('stopping');
    this.life.note(`stop asked for by ${by}`);
    if (await askToStop(run, this.life.ended(run), timeoutMs))
      return success(this.life.lastEnd?.how ?? 'shut down');
    const killed = await this.kill(`${by}, after the guest did not shut down within ${timeoutMs / 1000}s`);
    return killed.ok ? success(`killed after ${timeoutMs / 1000}s`) : killed;
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
    if (operation?.kind === 'start') await operation.done;
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

  #undefined(): Outcome<never> {
    return failure(
      'machine-unknown',
      `machine "${this.name}" is not defined`,
      'define it first: `qward define FILE`',
    );
  }
}
