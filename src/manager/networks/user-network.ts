/**
 * The user network of one card of a running machine: its passt, launched like a machine in a jail of its own, looked at wall by
 * wall, watched, and started anew with growing pauses when it ends. Meanwhile the card's link is down.
 */
import { setTimeout as wait } from 'node:timers/promises';
import type { AuditReport } from '../../audit/report.ts';
import { formatForward } from '../../definition/forward.ts';
import type { NetworkHelper } from '../../plan/launch-plan.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import { helperSentinel, readPasstArguments } from '../../protocol/passt.ts';
import { commands } from '../../qmp/commands.ts';
import { readJobLog } from '../jailed-job.ts';
import type { Run } from '../lifecycle/run.ts';
import { success, type Outcome } from '../outcome.ts';
import { OneAtATime } from '../one-at-a-time.ts';
import { FilterWatch, filterTold } from './filter-watch.ts';
import {
  auditLive,
  launchWalled,
  liveOf,
  type Launched,
  type LaunchServices,
  type Live,
} from './launch-walled.ts';
import { explainPasst } from './passt-log.ts';

export interface NetworkServices extends LaunchServices {
  /** Names of helpers that this manager has under way or watches: kept from the sweep of jobs. */
  readonly helpers: Set<string>;
}

export interface Card {
  readonly run: Run;
  readonly nic: string;
  /** For the machine's log. */
  readonly note: (text: string) => void;
  /** As the definition is now; undefined: the card is no longer planned so, and the network stays as it is. */
  readonly plan: () => Promise<NetworkHelper | undefined>;
}

export interface NetworkState {
  readonly nic: string;
  readonly up: boolean;
  /** Why it is down. */
  readonly fault: string | null;
  /** Ports of the host that lead to the guest. */
  readonly forward: string[];
  /** The guest's, where the network gives it one that others reach. */
  readonly address: string | null;
}

const firstPauseMs = 250;
const lastPauseMs = 30_000;
/** Who ran so long is started anew without a pause. */
const provedAfterMs = 10_000;
/** A passt whose QEMU ends, ends with it. */
const qemuGraceMs = 500;
const endSeenMs = 20;
/** QEMU tells sooner, as long as its monitor answers. */
const watchEveryMs = 2_000;

export class UserNetwork {
  readonly #services: NetworkServices;
  readonly #card: Card;
  #helper: NetworkHelper;
  #live: Live | undefined;
  #fault: string | null = null;
  #since = 0;
  /** Held while a passt is ended and another begun. */
  readonly #work = new OneAtATime();
  #wake = new AbortController();
  readonly #filter = new FilterWatch();

  constructor(services: NetworkServices, card: Card, helper: NetworkHelper) {
    this.#services = services;
    this.#card = card;
    this.#helper = helper;
    services.helpers.add(helper.launch.machine);
  }

  get state(): NetworkState {
    const up = this.#live?.process.alive === true;
    const forward = readPasstArguments(this.#helper.launch.argv)?.forwards.map(formatForward) ?? [];
    return { nic: this.#card.nic, up, fault: up ? null : this.#fault, forward, address: null };
  }

  get helper(): NetworkHelper {
    return this.#helper;
  }

  /** Begins it for the first time, and looks after it from then on. Faults that only time cures are no faults of a start. */
  async begin(): Promise<Outcome<void>> {
    const begun = await this.#work.run(() => this.#launch(this.#helper));
    if (!begun.ok && !begun.faults.every((fault) => 'wait' in fault)) {
      this.release();
      return begun;
    }
    await this.#settle(begun);
    void this.#watch();
    return success(undefined);
  }

  /** One that an earlier manager began; `launched` is what the broker says of it. */
  async adopt(launched: LaunchedMachine | undefined): Promise<void> {
    if (launched?.alive === true) {
      this.#helper = { nic: this.#card.nic, launch: launched.launch };
      this.#take(liveOf(launched));
    }
    await this.#setLink(launched?.alive === true);
    void this.#watch();
  }

  /** Takes what the definition says now: passt is ended and begun anew; where that fails, as it was before. */
  async apply(): Promise<Outcome<void>> {
    const planned = await this.#card.plan();
    if (planned === undefined) return success(undefined);
    const before = this.#helper;
    const outcome = await this.#work.run(async () => {
      await this.#end();
      const begun = await this.#launch(planned);
      if (begun.ok) this.#helper = planned;
      await this.#settle(begun.ok ? begun : await this.#launch(before));
      return begun;
    });
    this.#card.note(
      outcome.ok
        ? `network card "${this.#card.nic}": its forwards were changed`
        : `network card "${this.#card.nic}": stays as it was: ${outcome.faults[0]?.message ?? ''}`,
    );
    return outcome.ok ? success(undefined) : outcome;
  }

  /** What is seen of its walls now; undefined: it does not run. */
  async audit(): Promise<Outcome<AuditReport> | undefined> {
    const live = this.#live;
    return live?.process.alive === true ? await auditLive(this.#services, live, this.#title) : undefined;
  }

  /** Looks at once whether it still runs. */
  nudge(): void {
    this.#wake.abort();
    this.#wake = new AbortController();
  }

  /** Lets go of it; passt runs on as long as its QEMU does. */
  release(): void {
    this.#services.helpers.delete(this.#helper.launch.machine);
    this.#wake.abort();
    this.#live?.process[Symbol.dispose]();
    this.#live = undefined;
  }

  get #over(): boolean {
    return this.#card.run.released.aborted;
  }

  #take(live: Live): void {
    this.#live = live;
    this.#fault = null;
    this.#since = performance.now();
  }

  async #settle(begun: Launched): Promise<void> {
    if (begun.ok) this.#take(begun.value);
    else this.#fault = begun.faults.map(({ message }) => message).join('; ');
    await this.#setLink(begun.ok);
  }

  async #setLink(up: boolean): Promise<void> {
    const { session } = this.#card.run;
    if (session === undefined) return;
    await commands.setLink(session, { id: this.#card.nic, up });
    // passt learns from the guest's frames to whom to send, and forwards nothing until it has seen one.
    if (up) await commands.announceSelf(session, { id: this.#card.nic });
  }

  /** Until the run is over: sees that passt has ended, and begins it again. */
  async #watch(): Promise<void> {
    let pauseMs = firstPauseMs;
    const { run, note, nic } = this.#card;
    while (!this.#over) {
      if (this.#live?.process.alive === true) {
        await this.#pause(watchEveryMs);
        // QEMU sees the end of the connection some instants before the process is gone.
        if (this.#live !== undefined) await this.#live.process.gone(endSeenMs);
        await this.#lookAtFilter();
        continue;
      }
      if (this.#live !== undefined) {
        if (await run.process.gone(qemuGraceMs)) return;
        const ranMs = performance.now() - this.#since;
        if (ranMs > provedAfterMs) pauseMs = firstPauseMs;
        await this.#work.run(() => this.#sawEnd());
      }
      if (this.#live === undefined) {
        await this.#pause(pauseMs);
        pauseMs = Math.min(2 * pauseMs, lastPauseMs);
        if (this.#over || (await run.process.gone(0))) return;
        await this.#work.run(() => this.#again());
        if (this.#live !== undefined) note(`network card "${nic}": passt runs again, its link is up`);
      }
    }
  }

  /** SECURITY: promise 2. Where the host cannot be closed again, the card has no network. In a session no filter is planned. */
  async #lookAtFilter(): Promise<void> {
    const live = this.#live;
    if (live?.process.alive !== true || live.launched.rootless !== undefined) return;
    const { machine } = this.#helper.launch;
    const found = await this.#filter.look(helperSentinel(live.launched.uid), () =>
      this.#services.broker.call('inspect', { machine }),
    );
    if (found === undefined) return;
    this.#card.note(`network card "${this.#card.nic}": ${filterTold[found]}`);
    if (found === 'lost' && this.#live === live) await this.#work.run(() => this.#end());
  }

  async #pause(ms: number): Promise<void> {
    await wait(ms, undefined, { signal: this.#wake.signal, ref: false }).catch(() => undefined);
  }

  /** Another may have been begun while this waited. */
  async #sawEnd(): Promise<void> {
    const live = this.#live;
    if (live === undefined || live.process.alive) return;
    const { message } = explainPasst(await readJobLog(live.launched.log), this.#helper);
    live.process[Symbol.dispose]();
    this.#live = undefined;
    this.#fault = message;
    this.#card.note(`${message}; its link is down`);
    await this.#setLink(false);
  }

  async #again(): Promise<void> {
    if (this.#live !== undefined || this.#over) return;
    const planned = (await this.#card.plan()) ?? this.#helper;
    const begun = await this.#launch(planned);
    if (begun.ok) this.#helper = planned;
    await this.#settle(begun);
  }

  async #end(): Promise<void> {
    this.#live?.process[Symbol.dispose]();
    this.#live = undefined;
    await this.#services.broker.call('kill', { machine: this.#helper.launch.machine });
    await this.#setLink(false);
  }

  async #launch(helper: NetworkHelper): Promise<Launched> {
    return await launchWalled(this.#services, helper.launch, {
      title: this.#title,
      subject: `network card "${helper.nic}": passt`,
      explain: (log) => explainPasst(log, helper),
    });
  }

  get #title(): string {
    return `${this.#card.run.launched.machine}, ${this.#card.nic}`;
  }
}
