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

export interface SinceLaunch {
  /** Indexes of descriptors of the launch that it has no more. */
  readonly gone: readonly number[];
  readonly added: readonly HeldFile[];
  /** Cards that it was given. */
  readonly cards?: readonly Descriptor[];
}

/** As if it had been launched with what it has now. */
export function asIfLaunched(launched: LaunchedMachine, changes: readonly SinceLaunch[]): LaunchedMachine {
  const gone = new Set(changes.flatMap((change) => change.gone));
  const added = changes.flatMap((change) => change.added);
  const taps = changes.flatMap(({ cards = [] }) => cards);
  if (gone.size === 0 && added.length === 0 && taps.length === 0) return launched;
  const { launch, files } = launched;
  const descriptors = [
    ...launch.descriptors.filter((_, index) => !gone.has(index)),
    ...added.map(({ file }) => file),
    ...taps,
  ];
  const held = new Set(descriptors.flatMap((one) => (one.kind === 'file' ? [one.path] : [])));
  const identities = added.flatMap(({ file, identity }) =>
    identity === undefined ? [] : [[file.path, identity] as const],
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

/** What a note says of such a file; undefined where a part is missing. */
export function parseHeldFile(value: unknown): HeldFile | undefined {
  const field = (holder: unknown, name: string): unknown => Reflect.get(Object(holder), name);
  const [file, identity] = [field(value, 'file'), field(value, 'identity')];
  const [path, claimant, access] = ['path', 'claimant', 'access'].map((name) => field(file, name));
  const [device, inode] = [field(identity, 'device'), field(identity, 'inode')];
  if (typeof path !== 'string') return undefined;
  return {
    file: {
      kind: 'file',
      path,
      access: access === 'rw' ? 'rw' : 'ro',
      claimant: typeof claimant === 'number' ? claimant : null,
      reopened: false,
    },
    identity: typeof device === 'number' && typeof inode === 'number' ? { device, inode } : undefined,
  };
}
