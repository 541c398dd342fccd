/** The disc in a drive as a launch was planned with it: which descriptor, and the block nodes. Pure. */
import { firstDescriptor, type Descriptor, type LaunchRequest } from '../protocol/launch.ts';

export type BlockNode = Readonly<Record<string, unknown>> & { readonly 'node-name': string };

export interface PlannedMedium {
  /** Index in `LaunchRequest.descriptors`. */
  readonly index: number;
  readonly file: Extract<Descriptor, { kind: 'file' }>;
  /** As QMP's `blockdev-add` takes them: the node of the file, and that of its format, which is the drive's. */
  readonly nodes: { readonly file: BlockNode; readonly format: BlockNode };
}

/** Undefined: the drive was planned empty, or there is no such drive. */
export function plannedMedium(
  { argv, descriptors }: Pick<LaunchRequest, 'argv' | 'descriptors'>,
  drive: string,
): PlannedMedium | undefined {
  const nodes = valuesOf(argv, '-blockdev').flatMap(parseNode);
  const node = (name: unknown): BlockNode | undefined => nodes.find((one) => one['node-name'] === name);
  const format = node(drive);
  const file = node(format?.['file']);
  const set = /^\/dev\/fdset\/(\d+)$/.exec(String(file?.['filename']))?.[1];
  if (format === undefined || file === undefined || set === undefined) return undefined;
  const [fd] = valuesOf(argv, '-add-fd').flatMap((value) => {
    const found = /^fd=(\d+),set=(\d+),/.exec(value);
    return found?.[2] === set ? [Number(found[1])] : [];
  });
  const index = (fd ?? Number.NaN) - firstDescriptor;
  const descriptor = descriptors[index];
  return descriptor?.kind === 'file' ? { index, file: descriptor, nodes: { file, format } } : undefined;
}

function valuesOf(argv: readonly string[], option: string): string[] {
  return argv.flatMap((word, index) => (argv[index - 1] === option ? [word] : []));
}

function parseNode(text: string): BlockNode[] {
  try {
    const node: unknown = JSON.parse(text);
    return isNode(node) ? [node] : [];
  } catch {
    // Of `qemu.args`: in another form.
    return [];
  }
}

function isNode(value: unknown): value is BlockNode {
  return typeof value === 'object' && value !== null && typeof Reflect.get(value, 'node-name') === 'string';
}
