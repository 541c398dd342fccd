/** What lies below the topmost image of a disk is copied into it while the guest works; then it stands alone. */
import { randomBytes } from 'node:crypto';
import type { DiskImages } from '../../definition/set-images.ts';
import { blockCommands } from '../../qmp/block-commands.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { settleDisks } from '../hotplug/drop-disk.ts';
import type { Work } from '../hotplug/hotplug-services.ts';
import { lookAtWalls } from '../lifecycle/look-at-walls.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { dropJob, untilJob } from './block-job.ts';
import {
  beginBlockWork,
  blockFailure,
  findDisk,
  noteWork,
  type BlockCall,
  type BlockServices,
} from './block-services.ts';
import type { Swap } from './block-work.ts';
import { withLayers, type ChainOrder } from './commit-disk.ts';
import { freshSet, withFresh } from './fresh-layers.ts';
import type { PullNotes } from './pull-notes.ts';
import { settleWork } from './settle-blocks.ts';

export interface PullDiskServices extends BlockServices {
  readonly pulls: PullNotes;
}

interface Begun {
  readonly run: Run;
  readonly session: QmpSession;
  readonly job: string;
  readonly swap: Omit<Swap, 'paused'>;
  readonly from: DiskImages;
  readonly to: DiskImages;
}

/** Gives the image that it has. */
export async function pullDisk(
  services: PullDiskServices,
  machine: Machine,
  order: ChainOrder,
  call: BlockCall,
): Promise<Outcome<string>> {
  const begun = await beginBlockWork(services, machine, (work) => begin(work, services, order, call));
  if (!begun.ok) return begun;
  const { run, session, job, to } = begun.value;
  const signal = AbortSignal.any([call.signal, run.released]);
  const what = `disk "${order.disk}" keeps its chain`;
  return await machine.working('pulling', async (onProgress) => {
    const copied = await untilJob(session, job, 'pending', { signal, onProgress });
    if (!copied.ok) {
      await run.media.alone(() => settleWork(services, machine, session));
      return blockFailure(machine.name, what, copied.message);
    }
    const ended = await machine.hold(() =>
      run.media.alone(async () => {
        const why = await finish(services, machine, order.disk, begun.value);
        const settled = await settleWork(services, machine, session);
        // Where QEMU is gone the header is looked at as its end is told, and before the next start.
        if (!settled.ok) return settled;
        if (machine.run !== run)
          return blockFailure(machine.name, what, 'QEMU ended; its header says what it stands on');
        await services.pulls.remove(machine.name);
        return settled.value === 'done'
          ? success('done')
          : blockFailure(machine.name, what, why ?? 'QEMU did not do it');
      }),
    );
    if (!ended.ok) return ended;
    // SECURITY: promise 2. Of what lay below nothing is open any more.
    const walls = await lookAtWalls(services, machine, `disk "${order.disk}" stands alone`);
    return walls.ok ? success(to.path) : walls;
  });
}

async function finish(
  { pulls }: PullDiskServices,
  machine: Machine,
  disk: string,
  { run, session, job, swap, from, to }: Begun,
): Promise<string | undefined> {
  const status = await commands.queryStatus(session);
  const { work } = run.hotplug;
  if (!status.ok || work === undefined) return status.ok ? 'it was given up' : status.message;
  run.hotplug.work = { ...work, swap: { ...swap, paused: !status.value.running } };
  const kept = await machine.life.keepNote();
  if (!kept.ok) return kept.faults[0]?.message;
  // SECURITY: promise 7. A stop writes out all that was copied (QEMU: do_vm_stop), before the header forgets what lay below.
  const stopped = await commands.stop(session);
  if (!stopped.ok) return stopped.message;
  const noted = await pulls.write(machine.name, { disk, from, to });
  if (!noted.ok) return noted.faults[0]?.message;
  const finalized = await blockCommands.finalizeJob(session, { job });
  if (!finalized.ok) return finalized.message;
  const ended = await untilJob(session, job, 'ended', {
    signal: AbortSignal.timeout(10_000),
    onProgress: () => undefined,
  });
  await dropJob(session, job);
  if (!ended.ok) return ended.message;
  // And the header, before the definition says the same.
  const flushed = await commands.stop(session);
  return flushed.ok ? undefined : flushed.message;
}

async function begin(
  work: Work,
  services: PullDiskServices,
  { disk: id, speed }: ChainOrder,
  { identity }: BlockCall,
): Promise<Outcome<Begun>> {
  const { machine, session, run } = work;
  if (await settleDisks(work, session)) await machine.life.keepNote();
  const found = findDisk(work, id);
  if (!found.ok) return found;
  const { there, images: from } = found.value;
  const [top, next, ...below] = there.layers;
  if (top === undefined || next === undefined)
    return failure(
      'request-invalid',
      `disk "${id}" of machine "${machine.name}" has one image alone`,
      'there is nothing below it',
    );
  const to: DiskImages = { path: from.path, format: from.format, backing: [] };
  const admitted = await services.definitions.checkImages(identity, machine, [[id, to]]);
  if (!admitted.ok) return admitted;
  const planned = { disk: id, doing: 'pulling', nodes: [], files: [], swap: null, frozen: false } as const;
  const kept = await noteWork(work, planned);
  if (!kept.ok) return kept;
  const job = `pull.${randomBytes(4).toString('hex')}`;
  const begun = await withFresh({ ...work, broker: services.broker }, [freshSet(there, top)], async () => {
    const started = await blockCommands.stream(session, { job, node: top.node, speed });
    return started.ok
      ? success(undefined)
      : blockFailure(machine.name, `disk "${id}" keeps its chain`, started.message);
  });
  if (!begun.ok) {
    await settleWork(services, machine, session);
    return begun;
  }
  const lower = [next, ...below];
  const paths = new Set(lower.map(({ path }) => path));
  return success({
    run,
    session,
    job,
    from,
    to,
    swap: {
      changes: [{ after: withLayers(there, [top], []), definition: { from, to } }],
      sign: { node: next.node, usedBy: 'before' },
      left: lower.toReversed().flatMap(({ file, node }) => [file, node]),
      leftFiles: there.held.filter(({ file }) => paths.has(file.path)),
    },
  });
}
