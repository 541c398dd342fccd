/**
 * The discs in the drives of one running machine, as far as they were changed since its launch, and what it has open by that. Noted
 * with the run, so that the next manager knows.
 */
import type { FileIdentity } from '../../audit/expected-walls.ts';
import { plannedMedium } from '../../plan/medium.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import type { Descriptor } from '../../protocol/launch.ts';

export interface Medium {
  readonly file: Extract<Descriptor, { kind: 'file' }>;
  /** Undefined: not known. */
  readonly identity: FileIdentity | undefined;
  /** Names of its block nodes, the drive's first. */
  readonly nodes: readonly [format: string, file: string];
}

/** By drive; null: its drive is empty. */
export type MediaNote = Readonly<Record<string, Medium | null>>;

export class Media {
  readonly #launched: LaunchedMachine;
  readonly #changed: Map<string, Medium | null>;
  #last: Promise<unknown> = Promise.resolve();

  constructor(launched: LaunchedMachine, noted: MediaNote = {}) {
    this.#launched = launched;
    this.#changed = new Map(Object.entries(noted));
  }

  of(drive: string): Medium | null {
    const changed = this.#changed.get(drive);
    if (changed !== undefined) return changed;
    const planned = plannedMedium(this.#launched.launch, drive);
    if (planned === undefined) return null;
    const { file, nodes } = planned;
    const identity = this.#launched.files[file.path];
    return { file, identity, nodes: [nodes.format['node-name'], nodes.file['node-name']] };
  }

  put(drive: string, medium: Medium | null): void {
    this.#changed.set(drive, medium);
  }

  get note(): MediaNote {
    return Object.fromEntries(this.#changed);
  }

  /** As if it had been launched with the discs that it has now. */
  get launched(): LaunchedMachine {
    if (this.#changed.size === 0) return this.#launched;
    const { launch, files } = this.#launched;
    const gone = new Set([...this.#changed.keys()].map((drive) => plannedMedium(launch, drive)?.index));
    const added = [...this.#changed.values()].filter((medium) => medium !== null);
    const descriptors = [
      ...launch.descriptors.filter((_, index) => !gone.has(index)),
      ...added.map(({ file }) => file),
    ];
    const identities = added.flatMap(({ file, identity }) =>
      identity === undefined ? [] : [[file.path, identity] as const],
    );
    const held = new Set(descriptors.flatMap((one) => (one.kind === 'file' ? [one.path] : [])));
    return {
      ...this.#launched,
      launch: { ...launch, descriptors },
      files: {
        ...Object.fromEntries(Object.entries(files).filter(([path]) => held.has(path))),
        ...Object.fromEntries(identities),
      },
    };
  }

  /** One change at a time. */
  alone<Value>(work: () => Promise<Value>): Promise<Value> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => undefined);
    return mine;
  }
}

/** Undefined where a part is missing: a note that is lost costs a disc that is not expected. */
export function parseMediaNote(value: unknown): MediaNote | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const entries = Object.entries(value).flatMap(([drive, medium]) => {
    const parsed = medium === null ? null : parseMedium(medium);
    return parsed === undefined ? [] : [[drive, parsed] as const];
  });
  return Object.fromEntries(entries);
}

function parseMedium(value: unknown): Medium | undefined {
  const field = (holder: unknown, name: string): unknown => Reflect.get(Object(holder), name);
  const [file, identity, nodes] = ['file', 'identity', 'nodes'].map((name) => field(value, name));
  const [path, claimant] = [field(file, 'path'), field(file, 'claimant')];
  const [device, inode] = [field(identity, 'device'), field(identity, 'inode')];
  const [format, node]: unknown[] = Array.isArray(nodes) ? nodes : [];
  if (typeof path !== 'string' || typeof format !== 'string' || typeof node !== 'string') return undefined;
  return {
    file: {
      kind: 'file',
      path,
      access: 'ro',
      claimant: typeof claimant === 'number' ? claimant : null,
      reopened: false,
    },
    identity: typeof device === 'number' && typeof inode === 'number' ? { device, inode } : undefined,
    nodes: [format, node],
  };
}
