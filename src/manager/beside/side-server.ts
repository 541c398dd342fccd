/**
 * A server beside one running machine without which its QEMU has a device less (swtpm): launched like a machine in a jail of its own, looked at
 * wall by wall, and watched. QEMU 7.2 takes no second one, so that its end is told, and cured by the next start.
 */
import type { AuditReport } from '../../audit/report.ts';
import type { Fault } from '../../definition/fault.ts';
import type { SideServerPlan } from '../../plan/launch-plan.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { printable } from '../../qmp/printable.ts';
import { readJobLog } from '../jailed-job.ts';
import type { Run } from '../lifecycle/run.ts';
import {
  auditLive,
  launchWalled,
  untilWalled,
  liveOf,
  type LaunchServices,
  type Live,
} from '../networks/launch-walled.ts';
import { success, type Outcome } from '../outcome.ts';
import { overfullTpm, removeStrange } from '../tpm-state.ts';

export interface SideServices extends LaunchServices {
  /** Names of helpers that this manager has under way or watches: kept from the sweep of jobs. */
  readonly helpers: Set<string>;
  /** For the machine's log. */
  readonly note: (machine: string, text: string) => void;
}

export interface SideState {
  readonly name: SideServerPlan['name'];
  readonly up: boolean;
  /** Why it is down. */
  readonly fault: string | null;
}

const watchEveryMs = 1_000;
/** One whose QEMU ends, ends with it. */
const qemuGraceMs = 500;
const maxShown = 300;

const lastWords = ({ program }: Pick<LaunchRequest, 'program'>, log: string): string =>
  `${program} ended: ${printable(log.trim().split('\n').at(-1) || 'it said nothing', maxShown)}`;

export const endedFault = (launch: LaunchRequest, log: string): Fault => ({
  code: 'helper-failed',
  message: lastWords(launch, log),
  hint: `try \`${launch.binary} --version\`, and see \`qward doctor\``,
});

export class SideServer {
  readonly #services: SideServices;
  readonly #run: Run;
  readonly #name: SideState['name'];
  /** The broker's name for it. */
  readonly #job: string;
  #live: Live | undefined;
  #fault: string | null = null;
  /** Why it was ended. */
  #overfull: string | undefined;

  constructor(
    services: SideServices,
    run: Run,
    { name, job }: { readonly name: SideState['name']; readonly job: string },
  ) {
    this.#services = services;
    this.#run = run;
    this.#name = name;
    this.#job = job;
    services.helpers.add(job);
  }

  get state(): SideState {
    const up = this.#live?.process.alive === true;
    return { name: this.#name, up, fault: up ? null : this.#fault };
  }

  /** `opened`: it was launched before its QEMU, and has its walls since that is joined to it. */
  async begin({ launch }: SideServerPlan, opened?: Live): Promise<Outcome<void>> {
    const told = {
      title: this.#title,
      subject: `${this.#name}: ${launch.program}`,
      explain: (log: string) => endedFault(launch, log),
    };
    const begun =
      opened === undefined
        ? await launchWalled(this.#services, launch, told)
        : await untilWalled(this.#services, opened, told);
    if (!begun.ok) {
      this.release();
      return begun;
    }
    this.#live = begun.value;
    void this.#watch();
    return success(undefined);
  }

  /** One that an earlier manager began; `launched` is what the broker says of it. */
  adopt(launched: LaunchedMachine | undefined): boolean {
    if (launched?.alive === true) this.#live = liveOf(launched);
    else
      this.#fault =
        'its server ended while no manager ran; the machine has it again after a stop and a start';
    void this.#watch();
    return launched?.alive === true;
  }

  /** What is seen of its walls now; undefined: it does not run. */
  async audit(): Promise<Outcome<AuditReport> | undefined> {
    const live = this.#live;
    return live?.process.alive === true ? await auditLive(this.#services, live, this.#title) : undefined;
  }

  /** Lets go of it; it runs on as long as its QEMU does. */
  release(): void {
    this.#services.helpers.delete(this.#job);
    this.#live?.process[Symbol.dispose]();
    this.#live = undefined;
  }

  get #title(): string {
    return `${this.#run.launched.machine}, ${this.#name}`;
  }

  /** Until the run is over, or the server has ended while its QEMU goes on. */
  async #watch(): Promise<void> {
    const { released, process, launched } = this.#run;
    const live = this.#live;
    if (live === undefined) return;
    while (!(await live.process.gone(watchEveryMs))) {
      if (released.aborted) return;
      await this.#endOverfull(live);
    }
    if (released.aborted || (await process.gone(qemuGraceMs)) || released.aborted) return;
    const log = await readJobLog(live.launched.log);
    const why = this.#overfull ?? lastWords(live.launched.launch, log);
    this.#fault = `${why}; the machine has it again after a stop and a start`;
    this.#live = undefined;
    live.process[Symbol.dispose]();
    this.#services.note(launched.machine, `${this.#name}: ${this.#fault}`);
    await this.#services.broker.call('kill', { machine: this.#job });
  }

  /** A server that fills the manager's file system is ended, and what it made taken away. */
  async #endOverfull({ launched: { launch } }: Live): Promise<void> {
    const [state] = (launch.shown ?? []).filter(({ kind }) => kind === 'state');
    if (state === undefined) return;
    const why = await overfullTpm(state.path);
    if (why === undefined) return;
    this.#overfull = `${launch.program} was ended: ${why}`;
    await this.#services.broker.call('kill', { machine: this.#job });
    await removeStrange(state.path).catch(() => undefined);
  }
}
