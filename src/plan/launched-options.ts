/** The options of a launch in JSON, read back: what QEMU was told of devices and block nodes. Pure. */
import { firstDescriptor, type Descriptor, type LaunchRequest } from '../protocol/launch.ts';

export type BlockNode = Readonly<Record<string, unknown>> & { readonly 'node-name': string };
export type Options = Readonly<Record<string, unknown>>;
export type FileOfLaunch = Extract<Descriptor, { kind: 'file' }>;

type Launch = Pick<LaunchRequest, 'argv' | 'descriptors'>;

/** Values of an option that are objects in JSON; those in another form are of `qemu.args`. */
export function optionsOf({ argv }: Pick<Launch, 'argv'>, option: string): readonly Options[] {
  return valuesOf(argv, option).flatMap(parseObject);
}

export function nodesOf(launch: Pick<Launch, 'argv'>): readonly BlockNode[] {
  return optionsOf(launch, '-blockdev').filter(isNode);
}

/** The number of the descriptor set that a file node opens. */
export function setOf(node: Options): string | undefined {
  return /^\/dev\/fdset\/(\d+)$/.exec(String(node['filename']))?.[1];
}

/** The files of a set, each with its index in `LaunchRequest.descriptors`. */
export function filesOfSet(
  { argv, descriptors }: Launch,
  set: string | undefined,
): readonly { readonly index: number; readonly file: FileOfLaunch }[] {
  return valuesOf(argv, '-add-fd').flatMap((value) => {
    const found = /^fd=(\d+),set=(\d+),/.exec(value);
    const index = Number(found?.[1]) - firstDescriptor;
    const file = descriptors[index];
    return set !== undefined && found?.[2] === set && file?.kind === 'file' ? [{ index, file }] : [];
  });
}

/** USB devices of the host that the launch names, each with the index of its node in `LaunchRequest.descriptors`. */
export function usbOfLaunch({ argv, descriptors }: Launch): readonly {
  readonly id: string;
  readonly options: Options;
  readonly index: number;
  readonly device: string;
}[] {
  const sets = valuesOf(argv, '-add-fd').flatMap((value) => {
    const [, fd, set] = /^fd=(\d+),set=(\d+),/.exec(value) ?? [];
    const index = Number(fd) - firstDescriptor;
    const descriptor = descriptors[index];
    return descriptor?.kind === 'usb' ? [{ set, index, device: descriptor.device }] : [];
  });
  return optionsOf({ argv }, '-device').flatMap((options) => {
    const set = setOf({ filename: options['hostdevice'] });
    const found = sets.find((one) => one.set === set);
    return found === undefined
      ? []
      : [{ id: String(options['id']), options, index: found.index, device: found.device }];
  });
}

function valuesOf(argv: readonly string[], option: string): string[] {
  return argv.flatMap((word, index) => (argv[index - 1] === option ? [word] : []));
}

/** A number of 64 bits stays as it was written. */
function parseObject(text: string): Options[] {
  try {
    const value: unknown = JSON.parse(text, exactly);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? [{ ...value }] : [];
  } catch {
    return [];
  }
}

function exactly(this: unknown, _: string, value: unknown, context?: { readonly source?: string }): unknown {
  const inexact = typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value);
  return inexact && context?.source !== undefined ? rawJson(context.source) : value;
}

/** Of ECMAScript's proposal "JSON.parse source text access", which Node 22 and later have. */
function rawJson(source: string): unknown {
  const raw: unknown = Reflect.get(JSON, 'rawJSON');
  return typeof raw === 'function' ? Reflect.apply(raw, JSON, [source]) : Number(source);
}

function isNode(value: Options): value is BlockNode {
  return typeof value['node-name'] === 'string';
}
