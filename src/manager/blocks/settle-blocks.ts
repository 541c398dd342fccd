/**
 * The end of what was done to the images of a disk, wherever it was cut short: QEMU is asked what its disk has, the definition
 * says that, and whatever else is open is closed. It can be repeated as a whole.
 */
import { blockCommands } from '../../qmp/block-commands.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { sameImages } from '../../definition/set-images.ts';
import type { Definitions } from '../definitions/definitions.ts';
import type { BrokerPort } from '../broker-port.ts';
import { dropParts } from '../hotplug/drop-disk.ts';
import type { Hotplug } from '../hotplug/hotplug.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { dropAllJobs, hasNoJobs } from './block-job.ts';
import type { BlockWork, Swap } from './block-work.ts';
import { withFresh, withoutFresh, type Giving } from './fresh-layers.ts';
import { thaw } from './frozen.ts';

export interface SettleServices {
  readonly broker: BrokerPort;
  readonly definitions: Pick<Definitions, 'putImages'>;
}

/** What an earlier manager left; tried again with each probe until it succeeds. */
export async function settleBlocks(services: SettleServices, machine: Machine): Promise<void> {
  const { run } = machine;
  await run?.media.alone(async () => {
    if (!run.hotplug.workIsOrphan || run.session === undefined) return;
    const { work } = run.hotplug;
    const settled = await settleWork(services, machine, run.session);
    if (!settled.ok || work === undefined) return;
    machine.life.note(`disk "${work.disk}": what was interrupted (${work.doing}) was ${settled.value}`);
  });
}

/** Where it fails it is left for the next probe, and the guest stands still if it did. */
export async function settleWork(
  services: SettleServices,
  machine: Machine,
  session: QmpSession,
): Promise<Outcome<'done' | 'undone'>> {
  const { run } = machine;
  const work = run?.hotplug.work;
  if (run === undefined || work === undefined) return success('done');
  const { hotplug } = run;
  hotplug.workIsOrphan = true;
  if (work.frozen) await thaw(run);
  // SECURITY: promise 7. As long as a job has an image, its node tells nothing of what the disk uses.
  const sets = work.reopened ?? [];
  // Without a job nothing is opened anew, and the broker, which may be what died, need not give anything.
  const ended = (await hasNoJobs(session))
    ? await withoutFresh(session, sets)
    : await withFresh({ machine, session, broker: services.broker }, sets, async () =>
        (await dropAllJobs(session)) ? success(undefined) : unsettled(machine.name, work),
      );
  if (!ended.ok) return ended;
  const { swap } = work;
  const swapped = swap === null ? undefined : await settleSwap(services, machine, { session, work, swap });
  if (swapped?.ok === false) return swapped;
  const left = hotplug.work;
  if (left !== undefined) {
    const read = await readAgain({ machine, session, broker: services.broker }, left);
    if (!read.ok) return read;
    await dropParts(session, { nodes: left.nodes, groups: [], netdevs: [] });
    const there = await commands.queryBlockNodeNames(session);
    if (!there.ok || left.nodes.some((node) => there.value.includes(node)))
      return unsettled(machine.name, work);
  }
  // What was taken from a set while the guest stood still is closed only now (QEMU 7.2: monitor_fdset_cleanup).
  await withoutFresh(session, sets);
  hotplug.work = undefined;
  hotplug.workIsOrphan = false;
  await machine.life.keepNote();
  return success(swapped?.value === true ? 'done' : 'undone');
}

/** SECURITY: promise 2. QEMU 7.2 keeps the image below a commit that was given up open to be written. */
async function readAgain({ machine, session, broker }: Giving, work: BlockWork): Promise<Outcome<undefined>> {
  const { base, reopened = [] } = work;
  if (base === undefined) return success(undefined);
  const writable = await blockCommands.queryWritable(session);
  if (!writable.ok) return unsettled(machine.name, work);
  if (!writable.value.includes(base.node)) return success(undefined);
  return await withFresh({ machine, session, broker }, reopened, async () =>
    (await blockCommands.reopenReadOnly(session, base)).ok
      ? success(undefined)
      : unsettled(machine.name, work),
  );
}

const unsettled = (name: string, { disk, doing }: BlockWork): Outcome<never> =>
  failure(
    'monitor-failed',
    `machine "${name}": its monitor does not let go of what was done to disk "${disk}" (${doing})`,
    'it is tried again by itself; see `qward logs`',
  );

interface Settling {
  readonly session: QmpSession;
  readonly work: BlockWork;
  readonly swap: Swap;
}

/** Gives whether the disk has the new images. */
async function settleSwap(
  services: SettleServices,
  machine: Machine,
  { session, work, swap }: Settling,
): Promise<Outcome<boolean>> {
  const { run, name } = machine;
  const swapped = await wasSwapped(session, swap);
  if (swapped === undefined || run === undefined) return unsettled(name, work);
  // SECURITY: promise 7. The guest writes again only when the definition names what it writes to.
  const named = await nameImages(services, machine, { work, swap, swapped });
  if (!named.ok) return named;
  // Before it is forgotten that it stands: whoever dies, or does not answer, between the two, it is let go on once more.
  if (!swap.paused && !(await commands.cont(session)).ok) return unsettled(name, work);
  settleHotplug(run.hotplug, { work, swap, swapped });
  await machine.life.keepNote();
  return success(swapped);
}

async function wasSwapped(session: QmpSession, { sign }: Swap): Promise<boolean | undefined> {
  const nodes = await commands.queryBlockNodeNames(session);
  if (!nodes.ok) return undefined;
  let used = false;
  if (nodes.value.includes(sign.node)) {
    const deleted = await commands.blockdevDel(session, { node: sign.node });
    if (!deleted.ok && deleted.code !== 'qmp-error') return undefined;
    used = !deleted.ok;
  }
  return used === (sign.usedBy === 'after');
}

interface Seen {
  readonly work: BlockWork;
  readonly swap: Swap;
  readonly swapped: boolean;
}

async function nameImages(
  { definitions }: SettleServices,
  machine: Machine,
  { swap, swapped }: Seen,
): Promise<Outcome<undefined>> {
  const wrong = swap.changes.flatMap(({ after, definition: { from, to } }) => {
    const defined = machine.record?.definition.disks.find(({ id }) => id === after.id);
    const [wanted, other] = swapped ? [to, from] : [from, to];
    // Somebody gave it other images meanwhile, for the next start.
    if (defined === undefined || !sameImages(defined, other)) return [];
    return [[after.id, wanted] as const];
  });
  return wrong.length === 0 ? success(undefined) : await definitions.putImages(machine, wrong);
}

function settleHotplug(hotplug: Hotplug, { work, swap, swapped }: Seen): void {
  if (swapped) for (const { after } of swap.changes) hotplug.replace(after);
  const { base, ...rest } = work;
  hotplug.work = {
    ...rest,
    // Where it was swapped, it is on top.
    ...(swapped || base === undefined ? {} : { base }),
    swap: null,
    ...(swapped ? { nodes: swap.left, files: swap.leftFiles } : {}),
  };
}
