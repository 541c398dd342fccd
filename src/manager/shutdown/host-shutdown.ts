/** The host goes down: every machine is ended as its definition says, those that came last first, and nothing starts any more. */
import { setTimeout as wait } from 'node:timers/promises';
import type { EndedMachine } from '../../api/contract.ts';
import type { BrokerPort } from '../broker-port.ts';
import { isJob } from '../disks/sweep-jobs.ts';
import type { EventHistory } from '../events.ts';
import type { HostPhase } from '../host-phase.ts';
import type { Log } from '../log.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Machines } from '../machines.ts';
import { success, type Outcome } from '../outcome.ts';
import type { LookUpOwner } from '../owners.ts';
import { endsBefore } from './shutdown-order.ts';
import { limitOf, withinOwners } from './whose-word-counts.ts';

export interface ShutdownServices {
  readonly machines: Pick<Machines, 'all'>;
  readonly broker: BrokerPort;
  readonly phase: HostPhase;
  readonly events: EventHistory;
  readonly log: Log;
  readonly owner: LookUpOwner;
  /** Looks for what runs and is not known; over when each of it has answered or been given up. */
  readonly adopt: () => Promise<void>;
}

export interface ShutdownReport {
  readonly ok: boolean;
  readonly machines: EndedMachine[];
}

/** Of a machine that runs and is not defined, as in the schema. */
const defaultTimeoutMs = 60_000;
/** Looks for what was launched while the first ones were ended. */
const rounds = 3;
/** What the broker, which may just be starting, is given to answer. */
const killAttempts = 5;
const killAgainMs = 1_000;
/** With a limit of its own a stop is about to kill by itself. */
const graceMs = 1_000;
const longestTimerMs = 2 ** 31 - 1;

export class HostShutdown {
  readonly #services: ShutdownServices;
  #current: Promise<Outcome<ShutdownReport>> | undefined;
  #begunAt = 0;

  constructor(services: ShutdownServices) {
    this.#services = services;
  }

  /** One that is under way is joined; one that is over is begun anew for what still runs. */
  async run(by: string): Promise<Outcome<ShutdownReport>> {
    // At once, not with the work: what is asked for after this call does not start.
    this.#services.phase.goDown();
    this.#current ??= this.#run(by).finally(() => {
      this.#current = undefined;
    });
    return await this.#current;
  }

  async #run(by: string): Promise<Outcome<ShutdownReport>> {
    const { events, log, broker, adopt } = this.#services;
    this.#begunAt = performance.now();
    log.info('the host goes down', { by });
    events.emit('host.shutdown-begun', null, by);
    const rows = new Map<string, EndedMachine>();
    for (let round = 1; round <= rounds; round += 1) {
      await adopt();
      const ended = await this.#endAll(by, rows);
      for (const row of ended) rows.set(row.name, row);
      if (ended.length === 0) break;
    }
    // What runs is the broker's to say: without its word nobody is told that all have ended.
    const status = await broker.call('status', {});
    const running = status.ok
      ? status.value.machines.filter(({ alive, machine }) => alive && !isJob(machine))
      : [];
    const left = running.filter(({ machine }) => rows.get(machine)?.action !== 'leave');
    const ok =
      left.length === 0 && [...rows.values()].every(({ ended, action }) => ended || action === 'leave');
    events.emit('host.shutdown-ended', null, by, { machines: rows.size, ok: ok && status.ok });
    log.info('the machines have ended', { machines: rows.size, ok: ok && status.ok });
    return status.ok ? success({ ok, machines: [...rows.values()] }) : status;
  }

  /** All that are up and were not tried yet, side by side as far as their order allows. */
  async #endAll(by: string, tried: ReadonlyMap<string, unknown>): Promise<readonly EndedMachine[]> {
    const { machines } = this.#services;
    const owned = machines.all().map((machine) => ({
      name: machine.name,
      after: machine.record?.definition.autostart.after ?? [],
      owner: machine.record?.metadata.owner ?? null,
      administrators: this.#isAdministrators(machine),
    }));
    const order = endsBefore(withinOwners(owned));
    const concerned = machines.all().filter((machine) => isUp(machine) && !tried.has(machine.name));
    const ends = new Map<string, PromiseWithResolvers<void>>();
    for (const { name } of concerned) ends.set(name, Promise.withResolvers());
    return await Promise.all(
      concerned.map(async (machine) => {
        const { name } = machine;
        const before = [...(order.get(name) ?? [])].flatMap((other) => ends.get(other)?.promise ?? []);
        await Promise.all(before);
        const row = await this.#end(machine, by).finally(() => ends.get(name)?.resolve());
        this.#tell(machine, row, by);
        return row;
      }),
    );
  }

  async #end(machine: Machine, by: string): Promise<EndedMachine> {
    const begun = performance.now();
    const definition = machine.record?.definition;
    const action = definition?.onHostShutdown ?? 'stop';
    const row = (outcome: string): EndedMachine => ({
      name: machine.name,
      action,
      outcome,
      ended: machine.run === undefined && machine.state !== 'unreachable',
      tookMs: Math.round(performance.now() - begun),
    });
    const who = `${by}, as the host goes down`;
    try {
      if (action === 'leave') return row(await leave(machine, who));
      // Nobody knows where the monitor of such a one is.
      const deaf = machine.run === undefined && machine.state === 'unreachable';
      if (action === 'kill' || deaf) return row(outcomeOf(await killPatiently(machine, who)));
      const own = definition?.stop.timeout ?? defaultTimeoutMs;
      const limitFor = (wanted: number): number =>
        limitOf(wanted, this.#isAdministrators(machine), performance.now() - this.#begunAt);
      if (action !== 'save' || machine.run === undefined)
        return row(outcomeOf(await stop(machine, limitFor(own), who)));
      const kept = await save(machine, limitFor(saveLimitOf(own, definition?.memory ?? 0)), who);
      if (kept === undefined) return row('saved');
      return row(`${outcomeOf(await stop(machine, limitFor(own), who))}, since ${kept}`);
    } catch (error) {
      this.#services.log.error('a machine was not ended', { machine: machine.name, error });
      return row('a fault of qward itself: see the log of qward-manager');
    }
  }

  /** Where the policy does not say who is one, the definition counts: nobody but root spoils that. */
  #isAdministrators({ record }: Machine): boolean {
    const owner = record === null ? undefined : this.#services.owner(record.metadata.owner);
    return owner?.ok !== true || owner.value.ownerIsAdministrator;
  }

  #tell(machine: Machine, { name, action, outcome, ended, tookMs }: EndedMachine, by: string): void {
    const { events, log } = this.#services;
    machine.life.note(`the host goes down: ${outcome}`);
    events.emit('machine.host-shutdown', name, by, { action, outcome, ended, tookMs });
    const level = ended || action === 'leave' ? 'info' : 'error';
    log[level]('ended with the host', { machine: name, action, outcome, tookMs });
  }
}

/** Whatever would be lost if the host went now: runs, is being started or ended, or is to be started again. */
function isUp({ run, busy, state, life }: Machine): boolean {
  return (
    run !== undefined ||
    busy ||
    state === 'unreachable' ||
    life.finishing !== undefined ||
    life.after.restarts.pending !== null
  );
}

/** A start that is under way is not what was meant by leaving it alone. */
async function leave(machine: Machine, by: string): Promise<string> {
  machine.life.after.restarts.cancel(by);
  if (machine.run === undefined && machine.busy) return outcomeOf(await machine.stop(0, by));
  return machine.run === undefined ? 'stopped' : 'left running';
}

/** Its own limit, and what its memory takes on a slow disk. */
const slowBytesPerMs = (32 * 1024 ** 2) / 1000;
const saveLimitOf = (own: number, memory: number): number => own + Math.ceil(memory / slowBytesPerMs);

/** Why it was not saved; undefined: it was. What else is under way on it is not waited for beyond the limit. */
async function save(machine: Machine, timeoutMs: number, by: string): Promise<string | undefined> {
  const limitMs = Math.min(timeoutMs, longestTimerMs - graceMs);
  const own = new AbortController();
  const late = wait(limitMs + graceMs, undefined, { signal: own.signal }).catch(() => undefined);
  const saving = machine.save({ by, signal: AbortSignal.timeout(limitMs) });
  const saved = await Promise.race([saving, late]);
  own.abort();
  if (saved === undefined) return `it was not saved within ${limitMs / 1000} s`;
  if (saved.ok) return undefined;
  return saved.faults.map(({ message }) => message).join('; ');
}

/** A stop that is under way for longer than the machine's own limit is cut to it. */
async function stop(machine: Machine, timeoutMs: number, by: string): ReturnType<Machine['stop']> {
  const own = new AbortController();
  const limit = wait(Math.min(timeoutMs + graceMs, longestTimerMs), undefined, { signal: own.signal }).catch(
    () => undefined,
  );
  const stopped = machine.stop(timeoutMs, by);
  const first = await Promise.race([stopped, limit]);
  own.abort();
  const outcome = first ?? (await killed(machine, stopped, { by, timeoutMs }));
  return outcome.ok ? outcome : await killPatiently(machine, by);
}

async function killed(
  machine: Machine,
  stopped: ReturnType<Machine['stop']>,
  { by, timeoutMs }: { readonly by: string; readonly timeoutMs: number },
): ReturnType<Machine['stop']> {
  const outcome = await killPatiently(machine, by);
  await stopped;
  if (!outcome.ok || outcome.value.outcome !== 'killed') return outcome;
  return { ok: true, value: { ...outcome.value, outcome: `killed after ${timeoutMs / 1000}s` } };
}

async function killPatiently(machine: Machine, by: string): ReturnType<Machine['kill']> {
  for (let attempt = 1; ; attempt += 1) {
    const outcome = await machine.kill(by);
    if (outcome.ok || attempt >= killAttempts) return outcome;
    await wait(killAgainMs);
  }
}

function outcomeOf(outcome: Outcome<{ readonly outcome: string }>): string {
  return outcome.ok ? outcome.value.outcome : outcome.faults.map(({ message }) => message).join('; ');
}
