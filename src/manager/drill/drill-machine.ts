/** The drill of a machine that is defined and stopped: its plan, its jail, one drill at a time. */
import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { probes } from '../../audit/drill/probes.ts';
import type { DrillReport } from '../../audit/drill/report.ts';
import { limitsHit, memoryKills } from '../../linux/limits-hit.ts';
import { drillProgram, relaxations, type LaunchRequest } from '../../protocol/launch.ts';
import type { Paths } from '../../protocol/paths.ts';
import { usbDevices } from '../../linux/usb-devices.ts';
import { gaveNoAnswer, type BrokerPort } from '../broker-port.ts';
import { killRun } from '../lifecycle/end-run.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { ProcessWatch } from '../lifecycle/process-watch.ts';
import type { Machines } from '../machines.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Planner } from '../planner.ts';
import { firstDisk, openOutside } from './outside.ts';
import { runDrill, type JailRunner } from './run-drill.ts';

export interface DrillServices {
  readonly machines: Pick<Machines, 'all'>;
  readonly broker: BrokerPort;
  readonly planner: Planner;
  readonly paths: Paths;
  readonly uid: number;
  readonly session: boolean;
  readonly now: () => Date;
}

const deadlineMs = 10_000;

export type Drill = (machine: Machine) => Promise<Outcome<DrillReport>>;

export function createDrill(services: DrillServices): Drill {
  // What a manager that was killed in the middle of one left.
  rmSync(drillDirectory(services), { recursive: true, force: true });
  let underWay = false;
  return async (machine) => {
    // SECURITY: promise 4. Not of which machine: it may be one that the caller does not see.
    if (underWay)
      return failure(
        'machine-busy',
        'a drill is under way, and there is one at a time',
        'try again in some seconds',
      );
    underWay = true;
    try {
      return await drillMachine(services, machine);
    } finally {
      underWay = false;
    }
  };
}

async function drillMachine(services: DrillServices, machine: Machine): Promise<Outcome<DrillReport>> {
  let report: DrillReport | undefined;
  // It has the machine's uid and cgroup: no start meanwhile.
  const done = await machine.change(async () => {
    const drilled = await drillStopped(services, machine);
    if (!drilled.ok) return drilled;
    report = drilled.value;
    return success('drilled');
  });
  if (!done.ok) return done;
  return report === undefined
    ? failure('drill-failed', `the drill of machine "${machine.name}" came to nothing`, 'try again')
    : success(report);
}

async function drillStopped(services: DrillServices, machine: Machine): Promise<Outcome<DrillReport>> {
  const { record } = machine;
  const { broker, paths, uid, session, now } = services;
  if (record === null)
    return failure(
      'machine-unknown',
      `machine "${machine.name}" is not defined`,
      'define it: `qward define FILE`',
    );
  const planned = await services.planner.plan(record.definition, {
    owner: record.metadata.owner,
    makeFiles: true,
  });
  if (!planned.ok) return planned;
  const { launch } = planned.value.plan;
  const limited = { known: true };
  await using outside = await openOutside(drillDirectory(services));
  const rows = await runDrill({
    launch,
    probes,
    outside,
    uid,
    session,
    denials: !relaxations(launch, 'seccomp').includes('off'),
    host: {
      managerSocket: paths.apiSocket,
      brokerSocket: paths.brokerSocket,
      claimsSocket: paths.claimsSocket,
      image: imageFor(services, machine),
      disk: await firstDisk(),
      usb: usbDevices()[0]?.node ?? null,
    },
    lacking: () => (limited.known ? [] : ['cgroup']),
    run: inJail(broker, launch, limited),
  });
  if (!rows.ok) return rows;
  const ok = rows.value.every(({ verdict }) => ['blocked', 'missing', 'opened'].includes(verdict));
  return success({ machine: machine.name, at: now().toISOString(), ok, rows: rows.value });
}

const drillDirectory = ({ paths }: DrillServices): string => `${paths.managerState}/drill`;

/** Another machine's, where there is one. */
function imageFor({ machines }: DrillServices, drilled: Machine): string | null {
  const others = machines.all().filter((machine) => machine !== drilled);
  return [...others, drilled].flatMap(({ record }) => record?.definition.disks ?? [])[0]?.path ?? null;
}

/** The machine's own launch with the broker's prober in QEMU's place. */
function inJail(broker: BrokerPort, launch: LaunchRequest, limited: { known: boolean }): JailRunner {
  const { machine } = launch;
  return async (argv, limits) => {
    const launched = await broker.call('launch', {
      launch: { ...launch, program: 'drill', binary: drillProgram, argv, limits },
    });
    if (!launched.ok) {
      // The broker may have died half-way. Whatever else refuses, nothing of ours runs, and nobody else's is ended.
      if (gaveNoAnswer(launched.faults)) await killRun(broker, machine);
      return launched;
    }
    try {
      const { pid, startTime, log, cgroup } = launched.value;
      limited.known = cgroup !== '';
      const killsBefore = memoryKills(cgroup);
      using watch = new ProcessWatch(pid, startTime);
      if (!(await watch.gone(deadlineMs)))
        return failure('timed-out', `the drill of machine "${machine}" did not end`, 'try again');
      return success({ output: await readFile(log), memoryLimit: limitsHit(cgroup, killsBefore).memory });
    } finally {
      await killRun(broker, machine);
    }
  };
}
