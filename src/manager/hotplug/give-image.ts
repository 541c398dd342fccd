/** The files of an image that was planned for a running machine, opened by the broker, and its nodes in QEMU. */
import { setOf, type BlockNode, type Options } from '../../plan/launched-options.ts';
import type { PlannedDisk } from '../../plan/planned-disk.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { giveFile } from '../lifecycle/give-file.ts';
import type { HeldFile } from '../lifecycle/held-files.ts';
import type { Outcome } from '../outcome.ts';
import { layersOf, type Layer } from './hotplug.ts';
import type { Work } from './hotplug-services.ts';

export interface GivenSets {
  readonly files: readonly HeldFile[];
  /** The numbers that QEMU gave to the sets, by those of the plan. */
  readonly sets: ReadonlyMap<string, number>;
  readonly fault: Outcome<never> | undefined;
}

export async function giveFiles(
  { services, machine, session }: Pick<Work, 'services' | 'machine' | 'session'>,
  { sets }: Pick<PlannedDisk, 'sets'>,
): Promise<GivenSets> {
  const files: HeldFile[] = [];
  const given = new Map<string, number>();
  for (const [planned, members] of sets)
    for (const { file } of members) {
      const receiver = { broker: services.broker, machine: machine.name, session };
      const one = await giveFile(receiver, file, given.get(planned));
      if (!one.ok) return { files, sets: given, fault: one };
      given.set(planned, one.value.set);
      files.push({ file, identity: one.value.identity });
    }
  return { files, sets: given, fault: undefined };
}

/** What nodes and sets are called in QEMU that are called otherwise in the plan. */
export interface Names {
  readonly names: ReadonlyMap<string, string>;
  readonly sets: ReadonlyMap<string, number>;
}

export async function addNode(
  session: QmpSession,
  node: BlockNode,
  { names, sets }: Names,
  more: Options = {},
): Promise<CommandResult<unknown>> {
  const renamed = (value: unknown): unknown =>
    typeof value === 'string' ? (names.get(value) ?? value) : value;
  const set = setOf(node);
  return await commands.blockdevAdd(session, {
    ...node,
    'node-name': renamed(node['node-name']),
    ...('file' in node ? { file: renamed(node['file']) } : {}),
    ...('backing' in node ? { backing: renamed(node['backing']) } : {}),
    ...(set === undefined ? {} : { filename: `/dev/fdset/${sets.get(set)}` }),
    ...more,
  });
}

/** The images as they are called in QEMU. */
export function namedLayers(planned: PlannedDisk, { names, sets }: Names): readonly Layer[] {
  return layersOf(planned).map((layer) => ({
    ...layer,
    node: names.get(layer.node) ?? layer.node,
    file: names.get(layer.file) ?? layer.file,
    set: sets.get(String(layer.set)) ?? layer.set,
  }));
}
