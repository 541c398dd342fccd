/** What changing the images of a running machine needs, and how it begins and ends. */
import { failure, success, type Outcome } from '../outcome.ts';
import type { DiskImages } from '../../definition/set-images.ts';
import { imagesOf, sameImages } from '../../definition/set-images.ts';
import { filesOf } from '../../definition/named-files.ts';
import type { DiskDefinition } from '../../definition/schema.ts';
import type { Definitions } from '../definitions/definitions.ts';
import type { DeviceThere } from '../hotplug/hotplug.ts';
import { workAlone, type HotplugServices, type Work } from '../hotplug/hotplug-services.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Machines } from '../machines.ts';
import type { Identity } from '../roles.ts';
import type { BlockWork } from './block-work.ts';

export interface BlockServices extends HotplugServices {
  readonly definitions: Pick<Definitions, 'checkImages' | 'putImages'>;
  readonly machines: Pick<Machines, 'all' | 'may'>;
}

/** Who asks, and until when. */
export interface BlockCall {
  readonly identity: Identity;
  readonly signal: AbortSignal;
}

export interface DiskThere {
  readonly there: DeviceThere;
  readonly defined: DiskDefinition;
  readonly images: DiskImages;
}

const refusal = (machine: string, disk: string, why: string, cure: string): Outcome<never> =>
  failure('request-invalid', `disk "${disk}" of machine "${machine}" ${why}`, cure);

/** A disk of the definition that is written, and has the images that the definition says. */
export function findDisk({ machine, run, record }: Work, id: string): Outcome<DiskThere> {
  const { name } = machine;
  const there = run.hotplug.disk(id);
  if (there === undefined) {
    const ids = run.hotplug.disks.map((one) => one.id).join(', ');
    return refusal(name, id, 'is not there', ids === '' ? 'it has none' : `it has: ${ids}`);
  }
  const [top, ...below] = there.layers;
  if (top === undefined)
    return refusal(name, id, 'was attached by an earlier qward, which did not note how', 'attach it anew');
  const images = imagesOf({ ...top, backing: below });
  const defined = record.definition.disks.find((disk) => disk.id === id);
  if (defined === undefined)
    return refusal(name, id, 'does not stand in its definition', 'detach it, and attach it with --persist');
  if (!sameImages(defined, images))
    return refusal(
      name,
      id,
      'has other images now than its definition says',
      'set the definition back, or start the machine anew',
    );
  if (!there.files.some(({ path, access }) => path === top.path && access === 'rw'))
    return refusal(name, id, 'is read-only', 'nothing of it changes: `qward disk` can work on its image');
  if (defined.shared)
    return refusal(name, id, 'is shared with other machines', 'stop all of them, then use `qward disk`');
  return success({ there, defined, images });
}

/** SECURITY: promise 7. Nothing that a machine has, running or not, is written over. */
export function usedElsewhere(
  { machines }: Pick<BlockServices, 'machines'>,
  identity: Identity,
  path: string,
): Outcome<undefined> {
  for (const machine of machines.all()) {
    const files = machine.record === null ? [] : filesOf(machine.record.definition);
    const open = machine.run === undefined ? {} : machine.run.openFiles;
    if (!files.some((file) => file.path === path) && !Object.hasOwn(open, path)) continue;
    const whose = machines.may(identity, 'see', machine) ? `machine "${machine.name}"` : 'another machine';
    return failure('image-locked', `"${path}" is an image of ${whose}`, 'name a new file');
  }
  return success(undefined);
}

/** Other machines that have the image, by name where the user may see one; undefined: none. */
export function othersOf(
  { machines }: Pick<BlockServices, 'machines'>,
  machine: Machine,
  identity: Identity,
  path: string,
): string | undefined {
  const other = machines
    .all()
    .find(({ name, record }) =>
      name === machine.name || record === null
        ? false
        : filesOf(record.definition).some((file) => file.path === path),
    );
  if (other === undefined) return undefined;
  return machines.may(identity, 'see', other) ? `machine "${other.name}"` : 'another machine';
}

/** One thing at a time is done with the images of a machine. `work` runs when nobody else changes what it holds. */
export async function beginBlockWork<Result>(
  services: BlockServices,
  machine: Machine,
  work: (there: Work) => Promise<Outcome<Result>>,
): Promise<Outcome<Result>> {
  return await workAlone(services, machine, async (there) => {
    const { hotplug } = there.run;
    if (hotplug.work !== undefined) {
      const { disk, doing: other } = hotplug.work;
      return failure(
        'machine-busy',
        `disk "${disk}" of machine "${machine.name}" is under way already (${other})`,
        `wait until it has ended; \`qward status ${machine.name}\` shows how far it is`,
      );
    }
    return await work(there);
  });
}

/** SECURITY: promise 7. Noted before QEMU hears of it; where that fails, what was noted before holds, and nothing is begun. */
export async function noteWork({ machine, run }: Work, work: BlockWork): Promise<Outcome<undefined>> {
  const before = run.hotplug.work;
  run.hotplug.work = work;
  const kept = await machine.life.keepNote();
  if (!kept.ok) run.hotplug.work = before;
  return kept;
}

export const blockFailure = (machine: string, what: string, message: string): ReturnType<typeof failure> =>
  failure(
    'block-failed',
    `machine "${machine}": ${what}: ${message}`,
    `its disks are as before; \`qward logs ${machine}\` shows what QEMU said`,
  );
