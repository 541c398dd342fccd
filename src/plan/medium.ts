/** The disc in a drive as a launch was planned with it: which descriptor, and the block nodes. Pure. */
import type { LaunchRequest } from '../protocol/launch.ts';
import { filesOfSet, nodesOf, setOf, type BlockNode, type FileOfLaunch } from './launched-options.ts';

export interface PlannedMedium {
  /** Index in `LaunchRequest.descriptors`. */
  readonly index: number;
  readonly file: FileOfLaunch;
  /** As QMP's `blockdev-add` takes them: the node of the file, and that of its format, which is the drive's. */
  readonly nodes: { readonly file: BlockNode; readonly format: BlockNode };
}

/** Undefined: the drive was planned empty, or there is no such drive. */
export function plannedMedium(
  launch: Pick<LaunchRequest, 'argv' | 'descriptors'>,
  drive: string,
): PlannedMedium | undefined {
  const nodes = nodesOf(launch);
  const node = (name: unknown): BlockNode | undefined => nodes.find((one) => one['node-name'] === name);
  const format = node(drive);
  const file = node(format?.['file']);
  if (format === undefined || file === undefined) return undefined;
  const [found] = filesOfSet(launch, setOf(file));
  return found && { ...found, nodes: { file, format } };
}
