/** What a machine that runs holds of the host now: its launch, and what was changed since. Pure. */
import type { FileIdentity } from '../../audit/expected-walls.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { Descriptor } from '../../protocol/launch.ts';
import type { FileOfLaunch } from '../../plan/launched-options.ts';

/** A file that it was given after its launch. */
export interface HeldFile {
  readonly file: FileOfLaunch;
  /** Undefined: not known. */
  readonly identity: FileIdentity | undefined;
}

/** A USB device of the host. */
export interface HeldUsb {
  /** As `Descriptor` has it. */
  readonly device: string;
  /** Of its node; undefined: not known yet. */
  readonly identity: FileIdentity | undefined;
}

export interface SinceLaunch {
  /** Indexes of descriptors of the launch that it has no more. */
  readonly gone: readonly number[];
  readonly added: readonly HeldFile[];
  /** Cards that it was given. */
  readonly cards?: readonly Descriptor[];
  readonly usb?: readonly HeldUsb[];
}

/** As if it had been launched with what it has now. */
export function asIfLaunched(launched: LaunchedMachine, changes: readonly SinceLaunch[]): LaunchedMachine {
  const gone = new Set(changes.flatMap((change) => change.gone));
  const added = changes.flatMap((change) => change.added);
  const taps = changes.flatMap(({ cards = [] }) => cards);
  const usb = changes.flatMap((change) => change.usb ?? []);
  if (gone.size === 0 && added.length === 0 && taps.length === 0 && usb.length === 0) return launched;
  const { launch, files } = launched;
  const descriptors = [
    ...launch.descriptors.filter((_, index) => !gone.has(index)),
    ...added.map(({ file }) => file),
    ...taps,
    ...usb.map(({ device }) => ({ kind: 'usb', device }) as const),
  ];
  const held = new Set(
    descriptors.flatMap((one) => (one.kind === 'file' ? [one.path] : one.kind === 'usb' ? [one.device] : [])),
  );
  const opened = [...added.map(({ file, identity }) => ({ name: file.path, identity })), ...usb.map(nameOf)];
  const identities = opened.flatMap(({ name, identity }) =>
    identity === undefined ? [] : [[name, identity] as const],
  );
  return {
    ...launched,
    launch: { ...launch, descriptors },
    files: {
      ...Object.fromEntries(Object.entries(files).filter(([path]) => held.has(path))),
      ...Object.fromEntries(identities),
    },
  };
}

const nameOf = ({ device, identity }: HeldUsb): { name: string; identity: FileIdentity | undefined } => ({
  name: device,
  identity,
});

function parseIdentity(value: unknown): FileIdentity | undefined {
  const [device, inode] = ['device', 'inode'].map((name): unknown => Reflect.get(Object(value), name));
  return typeof device === 'number' && typeof inode === 'number' ? { device, inode } : undefined;
}

export function parseHeldUsb(value: unknown): HeldUsb | undefined {
  const device: unknown = Reflect.get(Object(value), 'device');
  if (typeof device !== 'string') return undefined;
  return { device, identity: parseIdentity(Reflect.get(Object(value), 'identity')) };
}

/** What a note says of such a file; undefined where a part is missing. */
export function parseHeldFile(value: unknown): HeldFile | undefined {
  const field = (holder: unknown, name: string): unknown => Reflect.get(Object(holder), name);
  const [file, identity] = [field(value, 'file'), field(value, 'identity')];
  const [path, claimant, access] = ['path', 'claimant', 'access'].map((name) => field(file, name));
  if (typeof path !== 'string') return undefined;
  return {
    file: {
      kind: 'file',
      path,
      access: access === 'rw' ? 'rw' : 'ro',
      claimant: typeof claimant === 'number' ? claimant : null,
      reopened: false,
    },
    identity: parseIdentity(identity),
  };
}
