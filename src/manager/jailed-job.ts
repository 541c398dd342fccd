/** What programs in jails that are no machines (image tools, hooks) have in common while they run. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { auditProcess } from '../audit/audit-process.ts';
import { expectedWalls } from '../audit/expected-walls.ts';
import { differingWalls } from '../audit/report.ts';
import type { LaunchedMachine } from '../protocol/broker.ts';
import type { BrokerPort } from './broker-port.ts';
import type { ProcessWatch } from './lifecycle/process-watch.ts';
import { failure, type Outcome } from './outcome.ts';

/** A run of this length is worth a look at its walls. */
export const auditAfterMs = 150;

export interface JobAudit {
  readonly broker: BrokerPort;
  readonly now: () => Date;
  readonly process: ProcessWatch;
}

/** SECURITY: promise 5. A job that takes longer than a moment is looked at like a machine, and ended where a wall differs. */
export async function auditJob(
  launched: LaunchedMachine,
  { broker, now, process }: JobAudit,
): Promise<Outcome<never> | undefined> {
  const facts = await broker.call('inspect', { machine: launched.machine });
  // What ended meanwhile was not seen whole.
  if (!facts.ok || !process.alive) return undefined;
  const expected = expectedWalls(launched, { files: launched.files });
  const report = auditProcess({
    machine: launched.machine,
    expected,
    facts: facts.value,
    at: now().toISOString(),
  });
  if (report.ok) return undefined;
  return failure(
    'audit-failed',
    `the job was ended, since walls differ: ${differingWalls(report)}`,
    'see `qward doctor`; what else changes confinement on this host (an LSM, a container)?',
  );
}

/** The tmpfs of a job's log has no more. */
const maxLogBytes = 256 * 1024;

/** All that it wrote so far. */
export async function readJobLog(path: string): Promise<string> {
  // SECURITY: rule images. The job's own file: a lease or a FIFO in its place must not hold us up.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch(() => undefined);
  if (file === undefined) return '';
  try {
    const bytes = Buffer.alloc(maxLogBytes);
    const { bytesRead } = await file.read(bytes, 0, maxLogBytes, 0);
    return bytes.toString('utf8', 0, bytesRead);
  } catch {
    return '';
  } finally {
    await file.close();
  }
}
