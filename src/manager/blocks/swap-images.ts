/**
 * A disk gets images that hold the same: the guest stands still meanwhile, and the definition names the new ones before it
 * writes to them. Both are whole on disk then, so that whoever dies within leaves a definition that is right either way.
 */
import { commands } from '../../qmp/commands.ts';
import { blockCommands } from '../../qmp/block-commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { success, type Outcome } from '../outcome.ts';
import { dropJob, untilEqual, untilJob } from './block-job.ts';
import { blockFailure } from './block-services.ts';
import type { BlockWork, Swap } from './block-work.ts';
import { settleWork, type SettleServices } from './settle-blocks.ts';

/** How long a guest stands at the most until its last writes are copied. */
const equalMs = 10_000;

export interface SwapOrder {
  readonly run: Run;
  readonly session: QmpSession;
  readonly job: string;
  readonly work: BlockWork;
  readonly swap: Omit<Swap, 'paused'>;
}

type SwapServices = SettleServices;

/** The job is ready. Where it fails, all is as before. */
export async function swapImages(
  services: SwapServices,
  machine: Machine,
  order: SwapOrder,
): Promise<Outcome<string>> {
  return await machine.hold(async () => {
    return await order.run.media.alone(async () => {
      const why = await swapStopped(services, machine, order);
      const settled = await settleWork(services, machine, order.session);
      if (!settled.ok) return settled;
      if (settled.value === 'done') return success('swapped');
      return blockFailure(
        machine.name,
        `disk "${order.work.disk}" keeps its images`,
        why ?? 'QEMU did not do it',
      );
    });
  });
}

async function swapStopped(
  { definitions }: SwapServices,
  machine: Machine,
  { run, session, job, work, swap }: SwapOrder,
): Promise<string | undefined> {
  const status = await commands.queryStatus(session);
  if (!status.ok) return status.message;
  const noted = { ...work, swap: { ...swap, paused: !status.value.running } };
  run.hotplug.work = noted;
  const kept = await machine.life.keepNote();
  if (!kept.ok) return kept.faults[0]?.message;
  const stopped = await commands.stop(session);
  if (!stopped.ok) return stopped.message;
  const equal = await untilEqual(session, job, equalMs);
  if (!equal.ok) return equal.message;
  // SECURITY: promise 7. A second one writes out what both images have in QEMU's memory; the guest has nothing more to add.
  const flushed = await commands.stop(session);
  if (!flushed.ok) return flushed.message;
  const named = await definitions.putImages(
    machine,
    swap.changes.map(({ after, definition }) => [after.id, definition.to]),
  );
  if (!named.ok) return named.faults[0]?.message;
  const completed = await blockCommands.completeJob(session, { job });
  if (!completed.ok) return completed.message;
  const ended = await untilJob(session, job, 'ended', {
    signal: AbortSignal.timeout(equalMs),
    onProgress: () => undefined,
  });
  await dropJob(session, job);
  return ended.ok ? undefined : ended.message;
}
