/** The servers beside one running machine, and how a manager has them: at a start, and for what runs already. */
import { readFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { AuditReport } from '../../audit/report.ts';
import type { SideServerPlan } from '../../plan/launch-plan.ts';
import { tpmJob } from '../../plan/tpm.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { Run } from '../lifecycle/run.ts';
import { success, type Outcome } from '../outcome.ts';
import { SideServer, type SideServices, type SideState } from './side-server.ts';

export interface BesideServices extends SideServices {
  /** A helper as the broker last told of it. */
  readonly launched: (helper: string) => LaunchedMachine | undefined;
}

export interface Beside {
  /** Before QEMU's monitor answers, for which it waits; every wall of each was seen. */
  readonly begin: (run: Run, plans: readonly SideServerPlan[]) => Promise<Outcome<void>>;
  /** For a machine that an earlier manager started; false: one of its servers does not run. */
  readonly adopt: (run: Run) => boolean;
}

/** For runs that have none. */
export const noneBeside: Beside = {
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
  return {
    begin: async (run, plans) => {
      if (plans.length === 0) return success(undefined);
      const servers = plans.map((plan) => ({
        plan,
        server: new SideServer(services, run, { name: plan.name, job: plan.launch.machine }),
      }));
      run.beside = new SideServers(servers.map(({ server }) => server));
      for (const { plan, server } of servers) {
        // One that does not come so far has ended, and says why where its monitor is asked for.
        if (!(await listens(run, plan.launch))) return success(undefined);
        const begun = await server.begin(plan);
        if (!begun.ok && run.process.alive) return begun;
      }
      return success(undefined);
    },
    adopt: (run) => {
      const { machine, launch } = run.launched;
      if (!launch.descriptors.some((one) => one.kind === 'socket' && one.name === 'tpm')) return true;
      const server = new SideServer(services, run, { name: 'tpm', job: tpmJob(machine) });
      run.beside = new SideServers([server]);
      return server.adopt(services.launched(tpmJob(machine)));
    },
  };
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
