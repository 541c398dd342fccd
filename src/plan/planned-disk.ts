/** A disk as a launch was planned with it: its device, the block nodes below it, and the descriptors that these have open. Pure. */
import type { LaunchRequest } from '../protocol/launch.ts';
import {
  filesOfSet,
  nodesOf,
  optionsOf,
  setOf,
  type BlockNode,
  type FileOfLaunch,
  type Options,
} from './launched-options.ts';

export interface PlannedDisk {
  /** As QMP's `device_add` takes it. */
  readonly device: Options;
  /** As `blockdev-add` takes them, each behind those that it stands on. */
  readonly nodes: readonly BlockNode[];
  /** Limits of its own, as `object-add` takes them. */
  readonly groups: readonly Options[];
  /** By the number of the set; of each file its index in `LaunchRequest.descriptors`. */
  readonly sets: ReadonlyMap<string, readonly { readonly index: number; readonly file: FileOfLaunch }[]>;
}

/** Undefined: there is no device of this id that has a drive, or it was not qward that wrote its arguments. */
export function plannedDisk(
  launch: Pick<LaunchRequest, 'argv' | 'descriptors'>,
  id: string,
): PlannedDisk | undefined {
  const device = optionsOf(launch, '-device').find((one) => one['id'] === id);
  if (device?.['drive'] === undefined) return undefined;
  const all = nodesOf(launch);
  const wanted = new Set<unknown>([device['drive']]);
  // Each node stands behind those that it names.
  for (const node of all.toReversed())
    if (wanted.has(node['node-name'])) for (const key of ['file', 'backing']) wanted.add(node[key]);
  const nodes = all.filter((node) => wanted.has(node['node-name']));
  const groups = new Set(nodes.map((node) => node['throttle-group']));
  const shared = (group: unknown): boolean =>
    all.some((node) => node['throttle-group'] === group && !nodes.includes(node));
  const sets = nodes
    .flatMap((node) => setOf(node) ?? [])
    .map((set) => [set, filesOfSet(launch, set)] as const);
  return {
    device,
    nodes,
    groups: optionsOf(launch, '-object').filter(
      (one) => one['qom-type'] === 'throttle-group' && groups.has(one['id']) && !shared(one['id']),
    ),
    sets: new Map(sets),
  };
}

/** The ids of all disks and drives that the launch has. */
export function plannedDrives(launch: Pick<LaunchRequest, 'argv'>): readonly string[] {
  return optionsOf(launch, '-device').flatMap(({ id, drive }) =>
    typeof id === 'string' && drive !== undefined ? [id] : [],
  );
}
