/** Begins a program of a network in its jail and waits until every wall of it stands: its own come after the jail's. */
import { stat } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { auditProcess } from '../../audit/audit-process.ts';
import { expectedWalls, type FileIdentity } from '../../audit/expected-walls.ts';
import { differingWalls, type AuditReport } from '../../audit/report.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import type { BrokerPort } from '../broker-port.ts';
import { readJobLog } from '../jailed-job.ts';
import { ProcessWatch } from '../lifecycle/process-watch.ts';
import { success, type Outcome } from '../outcome.ts';
import { whenNotBusy } from '../when-not-busy.ts';
import type { HelperFault } from './passt-log.ts';

export interface LaunchServices {
  readonly broker: BrokerPort;
  readonly now: () => Date;
}

export interface Live {
  readonly launched: LaunchedMachine;
  readonly process: ProcessWatch;
}

export type Launched = Outcome<Live> | { readonly ok: false; readonly faults: readonly HelperFault[] };

export interface Told {
  /** Of its report. */
  readonly title: string;
  /** `network card "net": passt`. */
  readonly subject: string;
  /** Why it ended, by its log. */
  readonly explain: (log: string) => HelperFault;
}

export const liveOf = (launched: LaunchedMachine): Live => ({
  launched,
  process: new ProcessWatch(launched.pid, launched.startTime),
});

/** passt and dnsmasq have made their own walls within some 20 ms. */
const settledWithinMs = 10_000;
const firstPollMs = 4;
const lastPollMs = 50;

export async function launchWalled(
  services: LaunchServices,
  launch: LaunchRequest,
  told: Told,
): Promise<Launched> {
  const launched = await launchServer(services, launch);
  return launched.ok ? await untilWalled(services, launched.value, told) : launched;
}

/** Its walls are not all there when this returns. */
export async function launchServer(
  { broker }: LaunchServices,
  launch: LaunchRequest,
): Promise<Outcome<Live>> {
  // The broker may just be ending the one before, whose last machine is gone.
  const launched = await whenNotBusy(() => broker.call('launch', { launch }));
  return launched.ok ? success(liveOf(launched.value)) : launched;
}

export async function untilWalled(services: LaunchServices, live: Live, told: Told): Promise<Launched> {
  const { broker } = services;
  const begunAt = performance.now();
  for (let pollMs = firstPollMs; ; pollMs = Math.min(lastPollMs, pollMs * 1.5)) {
    await wait(pollMs);
    const alive = live.process.alive;
    const report = alive ? await auditLive(services, live, told.title) : undefined;
    if (report?.ok === true && report.value.ok && live.process.alive) return success(live);
    if (alive && performance.now() - begunAt < settledWithinMs) continue;
    const fault = alive ? notWalled(told, report) : told.explain(await readJobLog(live.launched.log));
    live.process[Symbol.dispose]();
    await broker.call('kill', { machine: live.launched.machine });
    return { ok: false, faults: [fault] };
  }
}

export async function auditLive(
  { broker, now }: LaunchServices,
  { launched }: Live,
  title: string,
): Promise<Outcome<AuditReport>> {
  const facts = await broker.call('inspect', { machine: launched.machine });
  if (!facts.ok) return facts;
  return success(
    auditProcess({
      machine: title,
      expected: expectedWalls(launched, { files: await identitiesOf(launched) }),
      facts: facts.value,
      at: now().toISOString(),
    }),
  );
}

/** Of its program and libraries: passt has left the root in which they have names. */
async function identitiesOf({ launch }: LaunchedMachine): Promise<Readonly<Record<string, FileIdentity>>> {
  const found = await Promise.all(
    launch.root.map(async ({ source }) => {
      const stats = await stat(source).catch(() => undefined);
      return stats === undefined ? [] : [[source, { device: stats.dev, inode: stats.ino }] as const];
    }),
  );
  return Object.fromEntries(found.flat());
}

/** SECURITY: promise 5. A network behind a wall that differs carries no packet. */
function notWalled({ subject }: Told, report: Outcome<AuditReport> | undefined): HelperFault {
  const walls =
    report === undefined
      ? 'it was not seen'
      : report.ok
        ? differingWalls(report.value)
        : report.faults.map(({ message }) => message).join('; ');
  return {
    code: 'audit-failed',
    message: `${subject} was ended, since walls differ: ${walls}`,
    hint: 'see `qward doctor`; what else changes confinement on this host (an LSM, a container)?',
  };
}
