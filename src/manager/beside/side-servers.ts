/** The servers beside one running machine, and how a manager has them: at a start, and for what runs already. */
import { readFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { AuditReport } from '../../audit/report.ts';
import type { Fault } from '../../definition/fault.ts';
import type { SideServerPlan } from '../../plan/launch-plan.ts';
import { shareJob } from '../../plan/shares.ts';
import { tpmJob } from '../../plan/tpm.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { Run } from '../lifecycle/run.ts';
import { launchServer, type Live } from '../networks/launch-walled.ts';
import { success, type Outcome } from '../outcome.ts';
import { readJobLog } from '../jailed-job.ts';
import { endedFault, SideServer, type SideServices, type SideState } from './side-server.ts';

export interface BesideServices extends SideServices {
  /** A helper as the broker last told of it. */
  readonly launched: (helper: string) => LaunchedMachine | undefined;
}

/** Those that wait for their QEMU, by the broker's name for each. */
export type OpenedServers = ReadonlyMap<string, Live>;

export interface Beside {
  /** Before QEMU is launched, which is joined to them; all or none. */
  readonly open: (plans: readonly SideServerPlan[]) => Promise<Outcome<OpenedServers>>;
  /** Ends what was opened for a QEMU that does not come; faults of those that had ended by themselves. */
  readonly close: (opened: OpenedServers) => Promise<readonly Fault[]>;
  /** Before QEMU's monitor answers, for which it waits; every wall of each was seen. */
  readonly begin: (
    run: Run,
    plans: readonly SideServerPlan[],
    opened: OpenedServers,
  ) => Promise<Outcome<void>>;
  /** For a machine that an earlier manager started; false: one of its servers does not run. */
  readonly adopt: (run: Run) => boolean;
}

/** For runs that have none. */
export const noneBeside: Beside = {
  open: () => Promise.resolve(success(new Map())),
  close: () => Promise.resolve([]),
  begin: () => Promise.resolve(success(undefined)),
  adopt: () => true,
};

export class SideServers {
  readonly #servers: readonly SideServer[];

  constructor(servers: readonly SideServer[]) {
    this.#servers = servers;
  }

  get states(): readonly SideState[] {
    return this.#servers.map(({ state }) => state);
  }

  /** Of those that run. */
  async audits(): Promise<Outcome<readonly AuditReport[]>> {
    const reports: AuditReport[] = [];
    for (const server of this.#servers) {
      const report = await server.audit();
      if (report?.ok === false) return report;
      if (report !== undefined) reports.push(report.value);
    }
    return success(reports);
  }

  release(): void {
    for (const server of this.#servers) server.release();
  }
}

const listensWithinMs = 10_000;
const pollMs = 3;

export function createBeside(services: BesideServices): Beside {
  const close: Beside['close'] = async (opened) => {
    const faults: Fault[] = [];
    for (const [job, live] of opened) {
      services.helpers.delete(job);
      if (!live.process.alive)
        faults.push(endedFault(live.launched.launch, await readJobLog(live.launched.log)));
      live.process[Symbol.dispose]();
      await services.broker.call('kill', { machine: job });
    }
    return faults;
  };
  return {
    close,
    open: async (plans) => {
      const opened = new Map<string, Live>();
      for (const { launch } of plans.filter((plan) => plan.launch.program === 'virtiofsd')) {
        services.helpers.add(launch.machine);
        const launched = await launchServer(services, launch);
        if (launched.ok) opened.set(launch.machine, launched.value);
        else {
          services.helpers.delete(launch.machine);
          await close(opened);
          return launched;
        }
      }
      return success(opened);
    },
    begin: async (run, plans, opened) => {
      if (plans.length === 0) return success(undefined);
      const servers = plans.map((plan) => ({
        plan,
        server: new SideServer(services, run, { name: plan.name, job: plan.launch.machine }),
      }));
      run.beside = new SideServers(servers.map(({ server }) => server));
      for (const { plan, server } of servers) {
        const live = opened.get(plan.launch.machine);
        // One that does not come so far has ended, and says why where its monitor is asked for.
        if (live === undefined && !(await listens(run, plan.launch))) return success(undefined);
        const begun = await server.begin(plan, live);
        if (!begun.ok && run.process.alive) return begun;
      }
      return success(undefined);
    },
    adopt: (run) => {
      const found = serversOf(run.launched).map((one) => ({
        job: one.job,
        server: new SideServer(services, run, one),
      }));
      if (found.length === 0) return true;
      run.beside = new SideServers(found.map(({ server }) => server));
      // All of them: each is watched from now on.
      return found.map(({ job, server }) => server.adopt(services.launched(job))).every(Boolean);
    },
  };
}

/** What stands beside a machine that was launched; its arguments are qward's own. */
function serversOf({
  machine,
  launch,
}: LaunchedMachine): readonly { readonly name: SideServerPlan['name']; readonly job: string }[] {
  const tags = launch.argv.flatMap(
    (word) => /^{"driver":"vhost-user-fs-pci".*"tag":"([^"]+)"/.exec(word)?.[1] ?? [],
  );
  const tpm = launch.descriptors.some((one) => one.kind === 'socket' && one.name === 'tpm');
  return [
    ...(tpm ? [{ name: 'tpm', job: tpmJob(machine) } as const] : []),
    ...tags.map((tag) => ({ name: `share ${tag}`, job: shareJob(machine, tag) }) as const),
  ];
}

/** Whether QEMU waits on the socket that the server is joined to (proc_net_unix(5): __SO_ACCEPTCON in the flags). */
async function listens(run: Run, { descriptors }: LaunchRequest): Promise<boolean> {
  const [joined] = descriptors.flatMap((one) => (one.kind === 'netdev' ? [one.socket] : []));
  const path = joined === undefined ? '' : (run.launched.sockets[joined] ?? '');
  for (
    const giveUpAt = performance.now() + listensWithinMs;
    performance.now() < giveUpAt;
    await wait(pollMs)
  ) {
    if (!run.process.alive) return false;
    const table = await readFile('/proc/net/unix', 'latin1');
    const line = table.split('\n').find((one) => one.endsWith(` ${path}`));
    if (line?.split(/\s+/)[3] === '00010000') return true;
  }
  return false;
}
