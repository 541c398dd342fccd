/**
 * The server of one managed network, as long as machines in it run: launched like a machine in a jail of its own, looked at wall by
 * wall, watched, begun anew with growing pauses when it ends, and when a card has come that it does not know.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { AuditReport } from '../../audit/report.ts';
import { planServer } from '../../plan/network-server.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { SystemPath } from '../../protocol/launch.ts';
import { planNetwork, serverName, type NetworkState } from '../../protocol/networks.ts';
import { printable } from '../../qmp/printable.ts';
import { gaveNoAnswer } from '../broker-port.ts';
import type { Run } from '../lifecycle/run.ts';
import { success, type Outcome } from '../outcome.ts';
import { OneAtATime } from '../one-at-a-time.ts';
import { FilterWatch, filterTold } from './filter-watch.ts';
import { auditLive, launchWalled, liveOf, type LaunchServices, type Live } from './launch-walled.ts';
import type { HelperFault } from './passt-log.ts';

export interface ServerServices extends LaunchServices {
  /** dnsmasq, with what it needs of the system. */
  readonly tool: () => Promise<Outcome<{ readonly binary: string; readonly closure: readonly SystemPath[] }>>;
  /** Name servers of the host that a guest can reach. */
  readonly upstream: () => Promise<readonly string[]>;
  /** For the machine's log. */
  readonly note: (machine: string, text: string) => void;
}

const watchEveryMs = 1_000;
const firstPauseMs = 250;
const lastPauseMs = 30_000;
const maxShown = 300;

export class NetworkServer {
  readonly network: string;
  readonly #services: ServerServices;
  readonly #users = new Set<Run>();
  #live: Live | undefined;
  #fault: string | null = null;
  #state: NetworkState | undefined;
  readonly #filter = new FilterWatch();
  #watching = false;
  /** Held while one is ended and another begun. */
  readonly #work = new OneAtATime();

  constructor(services: ServerServices, network: string) {
    this.#services = services;
    this.network = network;
  }

  get up(): boolean {
    return this.#live?.process.alive === true;
  }

  /** Why it is down. */
  get fault(): string | null {
    return this.up ? null : this.#fault;
  }

  /** Null: not known. */
  addressOf(machine: string, nic: string): string | null {
    const lease = this.#state?.leases.find((one) => one.machine === machine && one.nic === nic);
    return lease?.address ?? null;
  }

  /** From now on until the run is let go of. The server knows its cards, and every wall of it was seen. */
  async serve(run: Run): Promise<Outcome<void>> {
    this.#use(run);
    return await this.#work.run(() => this.#ensure());
  }

  /** What is seen of its walls now; undefined: it does not run. */
  async audit(): Promise<Outcome<AuditReport> | undefined> {
    const live = this.#live;
    return live?.process.alive === true ? await auditLive(this.#services, live, this.#title) : undefined;
  }

  get #title(): string {
    return `network ${this.network}`;
  }

  #use(run: Run): void {
    if (run.released.aborted || this.#users.has(run)) return;
    this.#users.add(run);
    run.released.addEventListener('abort', () => this.#users.delete(run), { once: true });
    if (!this.#watching) void this.#watch();
  }

  /** One that knows every card is left as it is. */
  async #ensure(): Promise<Outcome<void>> {
    const outcome = await this.#begin();
    this.#fault = outcome.ok ? null : outcome.faults.map(({ message }) => message).join('; ');
    return outcome;
  }

  async #begin(): Promise<Outcome<void>> {
    const { broker, tool, upstream } = this.#services;
    const status = await broker.call('status', {});
    if (!status.ok) return status;
    const machine = serverName(this.network);
    const state = status.value.networks.find(({ name }) => name === this.network);
    this.#state = state;
    const pid = state?.server ?? null;
    const running = status.value.machines.find((one) => one.machine === machine);
    const known = pid !== null && running?.alive === true ? await this.#isWalled(running) : success(false);
    if (!known.ok) return known;
    if (known.value) return success(undefined);
    const found = await tool();
    if (!found.ok) return found;
    this.#release();
    if (running !== undefined) await broker.call('kill', { machine });
    const begun = await launchWalled(
      this.#services,
      planServer(this.network, found.value, await upstream()),
      {
        title: this.#title,
        subject: `network "${this.network}": dnsmasq`,
        explain: (log) => this.#explain(log, found.value.binary),
      },
    );
    if (!begun.ok) return begun;
    this.#live = begun.value;
    return success(undefined);
  }

  /** Whether it is one whose walls stand: one that a broker began which died then is joined to no network. */
  async #isWalled(running: LaunchedMachine): Promise<Outcome<boolean>> {
    if (this.up) return success(true);
    const live = liveOf(running);
    const report = await auditLive(this.#services, live, this.#title);
    if (report.ok && report.value.ok) this.#live = live;
    else live.process[Symbol.dispose]();
    if (report.ok) return success(report.value.ok);
    // A broker that dies meanwhile says nothing of it: it is asked again, and the server goes on.
    return gaveNoAnswer(report.faults) ? report : success(false);
  }

  #explain(log: string, binary: string): HelperFault {
    const last = log.trim().split('\n').at(-1) ?? '';
    const said = printable(last === '' ? 'it said nothing' : last, maxShown);
    return {
      code: 'network-failed',
      message: `network "${this.network}": dnsmasq ended: ${said}`,
      hint: `try \`${binary} --version\`, and see \`qward doctor\``,
    };
  }

  #release(): void {
    this.#live?.process[Symbol.dispose]();
    this.#live = undefined;
  }

  /** Until no run is left: sees that it has ended, and begins it again. The broker ends it with the last machine. */
  async #watch(): Promise<void> {
    this.#watching = true;
    let pauseMs = firstPauseMs;
    while (this.#users.size > 0) {
      await wait(this.up ? watchEveryMs : pauseMs, undefined, { ref: false });
      await this.#lookAtFilter();
      if (this.up) pauseMs = firstPauseMs;
      else {
        const began = await this.#work.run(async () =>
          this.up || this.#users.size === 0 ? undefined : await this.#again(),
        );
        if (began === false) pauseMs = Math.min(2 * pauseMs, lastPauseMs);
      }
    }
    this.#watching = false;
    this.#release();
  }

  /** Any machine in the network will do: the broker looks at its cards. */
  async #lookAtFilter(): Promise<void> {
    const [run] = this.#users;
    if (run === undefined || this.#state === undefined) return;
    const { machine } = run.launched;
    const found = await this.#filter.look(planNetwork(this.#state).sentinel, () =>
      this.#services.broker.call('inspect', { machine }),
    );
    if (found !== undefined) this.#tell(filterTold[found]);
  }

  async #again(): Promise<boolean> {
    const ended = this.#live !== undefined;
    this.#release();
    if (ended) this.#tell('its server (dnsmasq) ended, and is begun again');
    const { ok } = await this.#ensure();
    if (ok) this.#tell('its server runs again');
    return ok;
  }

  #tell(text: string): void {
    for (const run of this.#users)
      this.#services.note(run.launched.machine, `network "${this.network}": ${text}`);
  }
}
