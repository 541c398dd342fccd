/** One block job of QEMU: watched until it is ready or has ended, and given up where its caller does. */
import { setTimeout as wait } from 'node:timers/promises';
import { blockCommands } from '../../qmp/block-commands.ts';
import type { Job } from '../../qmp/block-values.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import type { QmpSession } from '../../qmp/session.ts';

export interface JobWatch {
  readonly signal: AbortSignal;
  readonly onProgress: (percent: number) => void;
}

export type JobEnd = { readonly ok: true } | { readonly ok: false; readonly message: string };

const firstPollMs = 20;
const lastPollMs = 400;
/** A job that was given up ends when its requests to the disks have. */
const endMs = 60_000;

const gone: JobEnd = { ok: false, message: 'QEMU knows nothing of the job any more' };

async function find(session: QmpSession, id: string): Promise<CommandResult<Job | undefined>> {
  const jobs = await blockCommands.queryJobs(session);
  return jobs.ok ? { ok: true, value: jobs.value.find((job) => job.id === id) } : jobs;
}

/** Where it succeeds the job is there still. */
export async function untilJob(
  session: QmpSession,
  id: string,
  status: 'ready' | 'pending' | 'ended',
  { signal, onProgress }: JobWatch,
): Promise<JobEnd> {
  for (let pollMs = firstPollMs; ; pollMs = Math.min(lastPollMs, pollMs * 1.5)) {
    const found = await find(session, id);
    if (!found.ok && found.code !== 'timed-out') return { ok: false, message: found.message };
    const job = found.ok ? found.value : undefined;
    if (found.ok && job === undefined) return gone;
    if (job?.status === 'ended') return endOf(job, status);
    if (job?.status === status) return { ok: true };
    if (signal.aborted) return { ok: false, message: 'it was given up' };
    if (job !== undefined && job.total > 0)
      onProgress(Math.max(0, Math.min(100, (100 * job.done) / job.total)));
    await wait(pollMs);
  }
}

function endOf({ error }: Job, wanted: 'ready' | 'pending' | 'ended'): JobEnd {
  if (error !== '') return { ok: false, message: error };
  return wanted === 'ended' ? { ok: true } : { ok: false, message: 'it ended before it was ready' };
}

/** A mirror whose guest stands still: nothing is left to be copied. */
export async function untilEqual(session: QmpSession, id: string, timeoutMs: number): Promise<JobEnd> {
  const giveUpAt = performance.now() + timeoutMs;
  for (;;) {
    const found = await find(session, id);
    if (!found.ok) return { ok: false, message: found.message };
    const job = found.value;
    if (job === undefined || job.status === 'ended')
      return job === undefined || job.error === '' ? gone : { ok: false, message: job.error };
    if (job.status === 'ready' && job.done === job.total) return { ok: true };
    if (performance.now() > giveUpAt) return { ok: false, message: 'the copy did not become equal in time' };
    await wait(firstPollMs);
  }
}

/** Ends it, whatever it does, and has it forgotten. */
export async function dropJob(session: QmpSession, id: string): Promise<void> {
  await blockCommands.cancelJob(session, { job: id });
  const giveUpAt = performance.now() + endMs;
  for (;;) {
    const found = await find(session, id);
    if (!found.ok || found.value === undefined || performance.now() > giveUpAt) return;
    if (found.value.status === 'ended') break;
    await wait(firstPollMs);
  }
  await blockCommands.dismissJob(session, { job: id });
}

/** Whatever is under way; gives whether nothing is any more. */
export async function dropAllJobs(session: QmpSession): Promise<boolean> {
  const jobs = await blockCommands.queryJobs(session);
  for (const { id } of jobs.ok ? jobs.value : []) await dropJob(session, id);
  return await hasNoJobs(session);
}

/** False also where QEMU does not say. */
export async function hasNoJobs(session: QmpSession): Promise<boolean> {
  const jobs = await blockCommands.queryJobs(session);
  return jobs.ok && jobs.value.length === 0;
}
