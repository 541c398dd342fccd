/**
 * What follows the end of a run: the stop hook, then a restart where the definition asks for one. What is due is noted
 * before it is done, so that a manager that dies in between leaves it to its successor.
 */
import type { MachineDefinition } from '../../definition/schema.ts';
import type { HookCall, HookReport } from '../hooks/run-hook.ts';
import type { Outcome } from '../outcome.ts';
import { success } from '../outcome.ts';
import { bootId } from '../store/after-note.ts';
import type { EndedState } from './machine-state.ts';
import type { EndCause } from './restart-policy.ts';
import { Restarts, type PendingRestart, type RestartNote } from './restarts.ts';

/** A run is over, or its start hook has begun, and its stop hook has not ended yet. */
export interface DueEnd {
  readonly cause: EndCause;
  /** The state of the machine when all is done. */
  readonly state: EndedState;
}

export interface AfterNote {
  /** Nothing of it holds beyond a boot of the host. */
  readonly bootId: string;
  readonly due: DueEnd | null;
  readonly restarts: RestartNote;
}

export interface AfterServices {
  readonly now: () => Date;
  /** The definition of now; undefined: the machine is not defined. */
  readonly definition: () => MachineDefinition | undefined;
  readonly goingDown: () => boolean;
  readonly runHook: (call: HookCall) => Promise<HookReport>;
  readonly restart: (pending: PendingRestart) => void;
  /** For the machine's log. */
  readonly log: (from: 'qward' | 'hook', lines: readonly string[]) => void;
  readonly tell: (event: string, by: string | null, details: Readonly<Record<string, unknown>>) => void;
  /** What is shown or kept has changed. */
  readonly onChange: () => void;
}

export class AfterRun {
  readonly restarts: Restarts;
  readonly #services: AfterServices;
  #due: DueEnd | null = null;
  #recalled = false;

  constructor(services: AfterServices) {
    this.#services = services;
    this.restarts = new Restarts({
      now: services.now,
      rules: () => (services.goingDown() ? undefined : services.definition()),
      start: services.restart,
      onChange: ({ event, text, by }) => {
        services.log('qward', [text]);
        services.onChange();
        services.tell(`machine.${event}`, by, { text, ...this.restarts.pending });
      },
    });
  }

  get note(): AfterNote {
    return { bootId: bootId(), due: this.#due, restarts: this.restarts.note };
  }

  get hasStopHook(): boolean {
    return this.#services.definition()?.hooks.stop !== undefined;
  }

  /** From now on the stop hook is owed: to be noted before anything else is done. */
  owe(due: DueEnd): void {
    this.#due = due;
  }

  /** A run has begun: nothing of an earlier one is owed any more. */
  begun(): void {
    this.#due = null;
    this.#recalled = false;
    this.restarts.begun();
  }

  /** Before each launch. A hook that fails refuses the start, with its last words. */
  async beforeLaunch(definition: MachineDefinition, signal: AbortSignal): Promise<Outcome<undefined>> {
    const hook = definition.hooks.start;
    if (hook === undefined) return success(undefined);
    const { lines, outcome } = await this.#run({ hook, machine: definition.name, event: 'start', signal });
    if (outcome.ok) return outcome;
    const words = lines.slice(-lastWords).join('; ');
    return {
      ok: false,
      faults: outcome.faults.map((fault) => ({
        ...fault,
        message: words === '' ? fault.message : `${fault.message}: ${words}`,
      })),
    };
  }

  /** The stop hook, where it is owed and there is one. Its fault ends nothing: the machine is gone. */
  async tidy(): Promise<void> {
    if (this.#due === null) return;
    const definition = this.#services.definition();
    const hook = definition?.hooks.stop;
    if (definition !== undefined && hook !== undefined) {
      const { outcome } = await this.#run({ hook, machine: definition.name, event: 'stop' });
      if (!outcome.ok) {
        const message = outcome.faults.map((fault) => fault.message).join('; ');
        this.#services.log('qward', [message]);
        this.#services.tell('machine.hook-failed', null, { hook, message });
      }
    }
    this.#due = null;
  }

  recall(note: AfterNote): void {
    this.#due = note.due;
    this.#recalled = true;
    this.restarts.recall(note.restarts);
  }

  /** Goes on where an earlier manager was interrupted. Not for a machine that runs. */
  async resume(): Promise<void> {
    if (!this.#recalled) return;
    this.#recalled = false;
    const due = this.#due;
    if (due === null) {
      this.restarts.resume();
      return;
    }
    await this.tidy();
    this.restarts.ended(due.cause);
    this.#services.onChange();
  }

  async #run(call: HookCall): Promise<HookReport> {
    this.#services.log('qward', [`hook "${call.hook}" for the ${call.event}`]);
    const report = await this.#services.runHook(call);
    this.#services.log('hook', report.lines);
    return report;
  }
}

const lastWords = 5;
