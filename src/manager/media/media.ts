/**
 * The discs in the drives of one running machine, as far as they were changed since its launch, and what it has open by that. Noted
 * with the run, so that the next manager knows.
 */
import { plannedMedium } from '../../plan/medium.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import { OneAtATime } from '../one-at-a-time.ts';
import { parseHeldFile, type HeldFile, type SinceLaunch } from '../lifecycle/held-files.ts';

export interface Medium extends HeldFile {
  /** Names of its block nodes, the drive's first. */
  readonly nodes: readonly [format: string, file: string];
}

/** By drive; null: its drive is empty. */
export type MediaNote = Readonly<Record<string, Medium | null>>;

export class Media {
  readonly #launched: LaunchedMachine;
  readonly #changed: Map<string, Medium | null>;
  readonly #work = new OneAtATime();

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

  /** What it holds otherwise than at its launch. */
  get sinceLaunch(): SinceLaunch {
    return {
      gone: [...this.#changed.keys()].flatMap(
        (drive) => plannedMedium(this.#launched.launch, drive)?.index ?? [],
      ),
      added: [...this.#changed.values()].filter((medium) => medium !== null),
    };
  }

  /** One change at a time. */
  alone<Value>(work: () => Promise<Value>): Promise<Value> {
    return this.#work.run(work);
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
  const held = parseHeldFile(value);
  const nodes: unknown = Reflect.get(Object(value), 'nodes');
  const [format, node]: unknown[] = Array.isArray(nodes) ? nodes : [];
  if (held === undefined || typeof format !== 'string' || typeof node !== 'string') return undefined;
  return { ...held, nodes: [format, node] };
}
