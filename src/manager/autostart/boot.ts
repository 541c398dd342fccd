/** Starting what starts with the host: once when it comes up, again whenever it is asked for. */
import { availableParallelism } from 'node:os';
import type { BootedMachine, BootState } from '../../api/contract.ts';
import type { Autostart } from '../../protocol/broker.ts';
import type { BrokerPort } from '../broker-port.ts';
import { isBirth, type EventHistory } from '../events.ts';
import type { HostPhase } from '../host-phase.ts';
import type { Log } from '../log.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Machines } from '../machines.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { orderOf, type Order, type Reason } from './order.ts';
import { pause } from '../pause.ts';
import { untilReady } from './readiness.ts';
import { runInOrder, type StepState, type StepWork } from './run-in-order.ts';

export interface BootServices {
  readonly machines: Pick<Machines, 'get' | 'all'>;
  readonly broker: BrokerPort;
  readonly phase: HostPhase;
  readonly events: EventHistory;
  readonly log: Log;
  readonly now: () => Date;
  /** Most starts at a time. */
  readonly atOnce: number;
  /** Looks for what runs already; over when each of it has answered or been given up. */
  readonly adopt: () => Promise<void>;
  /** The manager ends. */
  readonly ending: AbortSignal;
}

export interface BootRow {
  readonly state: BootState;
  readonly reason: Reason | null;
  readonly at: string | null;
  /** It ran before. */
  readonly ran: boolean;
}

/**
 * Far more than there are cores: guests wait until no other machine is being brought up (lifecycle/start-gate.ts), so a start
 * after a short row is held back by guests that boot already, and one in a long row is not. 30 guests on 2 cores (TCG) were up
 * after 5.1 to 6.6 s with 8 at once, 2.7 to 3.8 s with 16, 2.4 to 3.2 s with 30.
 */
export const startsAtOnce = 8 * Math.max(2, availableParallelism());

const notBegun: BootRow = { state: 'not-begun', reason: null, at: null, ran: false };
/** What an earlier manager left half started is ended within this, or counts as running. */
const cutOffMs = 10_000;

export class Boot {
  readonly #services: BootServices;
  readonly #rows = new Map<string, BootRow>();
  readonly #ran = new Set<string>();
  #register: readonly Autostart[] = [];
  #current: Promise<Outcome<void>> | undefined;

  constructor(services: BootServices) {
    this.#services = services;
    // SECURITY: promise 4. Who takes a name that was free again is not told what became of the machine that had it before.
    services.events.subscribe(({ event, machine }) => {
      if (machine !== null && isBirth(event)) this.#rows.delete(machine);
    });
  }

  get underWay(): boolean {
    return this.#current !== undefined;
  }

  /** What became of a machine the last time; kept as long as the manager lives. */
  rowOf(machine: string): BootRow {
    return this.#rows.get(machine) ?? notBegun;
  }

  /** The machines of the last time, in the order of the register. */
  get names(): readonly string[] {
    return [...this.#rows.keys()];
  }

  /** What is being started now, so that who looks on need not ask the broker. */
  get register(): readonly Autostart[] | undefined {
    return this.underWay && this.#rows.size > 0 ? this.#register : undefined;
  }

  /** Starts them all, and returns when that is over; one that is under way is joined. A host that went down stays up. */
  async run(by: string): Promise<Outcome<void>> {
    while (this.#current !== undefined) {
      // One that was ended by the host's going down is over soon.
      if (this.#services.phase.now === 'booting') return await this.#current;
      await this.#current;
    }
    this.#current = this.#run(by).finally(() => {
      this.#current = undefined;
      this.#services.phase.endBoot();
    });
    return await this.#current;
  }

  async #run(by: string): Promise<Outcome<void>> {
    const { phase, broker, adopt, ending, events, log } = this.#services;
    const signal = AbortSignal.any([phase.beginBoot(), ending]);
    const status = await broker.call('status', {});
    if (!status.ok) return status;
    const damaged = status.value.damaged.find(({ path }) => path.endsWith('/autostart.json'));
    if (damaged !== undefined)
      return failure('state-unwritable', `${damaged.path}: ${damaged.reason}`, damaged.cure);
    const { autostart } = status.value;
    if (autostart.length > 0) await adopt();
    log.info('starts what starts with the host', { machines: autostart.length, by });
    this.#rows.clear();
    this.#ran.clear();
    this.#register = autostart;
    for (const { machine } of autostart) this.#set(machine, 'waiting', null);
    events.emit('host.boot-begun', null, by, { machines: autostart.length });
    await runInOrder(this.#order(autostart), {
      atOnce: this.#services.atOnce,
      signal,
      work: this.#work(by, signal),
    });
    const well = autostart.filter(({ machine }) => this.rowOf(machine).state === 'ready').length;
    events.emit('host.boot-ended', null, by, { machines: autostart.length, ready: well });
    return success(undefined);
  }

  #order(autostart: readonly Autostart[]): Order {
    const { machines } = this.#services;
    const defined = new Set(machines.all().flatMap(({ name, record }) => (record === null ? [] : [name])));
    const running = new Set(machines.all().flatMap(({ name, run }) => (run === undefined ? [] : [name])));
    const wishes = autostart.map(({ machine }) => ({
      name: machine,
      after: machines.get(machine)?.record?.definition.autostart.after ?? [],
    }));
    return orderOf(wishes, { defined, running });
  }

  #work(by: string, signal: AbortSignal): StepWork {
    const { machines } = this.#services;
    return {
      delay: async (name) => {
        const machine = machines.get(name);
        if (machine?.run !== undefined) await settled(machine, signal);
        if (machine?.run === undefined) await pause(machine?.record?.definition.autostart.delay ?? 0, signal);
      },
      start: async (name) => {
        const machine = machines.get(name);
        if (machine?.run !== undefined) this.#ran.add(name);
        const started = await machine?.start({ paused: false, by });
        if (started === undefined) return 'it is not defined';
        return started.ok ? undefined : started.faults.map(({ message }) => message).join('; ');
      },
      ready: async (name) => {
        const machine = machines.get(name);
        const autostart = machine?.record?.definition.autostart;
        if (machine === undefined || autostart === undefined) return 'it is not defined any more';
        return await untilReady(machine, autostart, signal);
      },
      onState: (name, state, reason) => {
        this.#tell(name, state, { reason, by });
      },
    };
  }

  #set(name: string, state: BootState, reason: Reason | null): void {
    const at = this.#services.now().toISOString();
    this.#rows.set(name, { state, reason, at, ran: this.#ran.has(name) });
  }

  #tell(
    name: string,
    state: StepState,
    { reason, by }: { readonly reason: Reason | null; readonly by: string },
  ): void {
    const { events, log, machines } = this.#services;
    this.#set(name, state, reason);
    if (state === 'starting') return;
    // SECURITY: promise 4. Who sees this machine need not see others, of which the full reason may tell.
    const details = reason === null ? {} : { reason: reason.plain };
    events.emit(`machine.autostart-${state}`, name, by, details);
    if (reason !== null) machines.get(name)?.life.note(`${bootWords[state]}: ${reason.plain}`);
    if (state !== 'started')
      log[reason === null ? 'info' : 'warn'](bootWords[state], {
        machine: name,
        ...(reason === null ? {} : { reason: reason.text }),
      });
  }
}

const bootWords: Readonly<Record<StepState, string>> = {
  starting: 'starts with the host',
  started: 'started with the host',
  ready: 'started with the host, and ready',
  'not-ready': 'started with the host, and not ready',
  failed: 'failed to start with the host',
  skipped: 'not started with the host',
};

/** A run whose start an earlier manager did not finish is ended by its adoption: it is no machine that runs. */
async function settled({ run, life }: Machine, signal: AbortSignal): Promise<void> {
  if (run === undefined || run.begun) return;
  const enough = new AbortController();
  await Promise.race([life.ended(run), pause(cutOffMs, AbortSignal.any([signal, enough.signal]))]);
  enough.abort();
}

/** As the API tells it. `maySee`: whether the caller sees a machine of that name. */
export function describeRow(
  name: string,
  { reason, ...row }: BootRow,
  maySee: (machine: string) => boolean,
): BootedMachine {
  if (reason === null) return { name, ...row, reason };
  return { name, ...row, reason: reason.about.every(maySee) ? reason.text : reason.plain };
}
