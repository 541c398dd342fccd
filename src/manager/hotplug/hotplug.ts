/**
 * The disks and cards that one running machine was given and that were taken from it since its launch, and what it has open by that. Noted
 * with the run, before QEMU is told, so that the next manager knows of every descriptor that may be there.
 */
import { plannedDisk } from '../../plan/planned-disk.ts';
import { optionsOf, type FileOfLaunch, type Options } from '../../plan/launched-options.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import { parseHeldFile, type HeldFile, type SinceLaunch } from '../lifecycle/held-files.ts';

/** What QEMU has of a disk beside its device. */
export interface DiskParts {
  /** Names of its block nodes, each behind those that it stands on. */
  readonly nodes: readonly string[];
  /** Ids of the objects that hold its limits. */
  readonly groups: readonly string[];
  /** Of a network card: what carries its packets. */
  readonly netdevs: readonly string[];
}

/** A card on a bridge. */
export interface CardOnBridge {
  readonly bridge: string;
  /** Name of its TAP device; empty: not known. */
  readonly tap: string;
}

/** A disk or card that was attached, or is about to be. */
export interface Attached extends DiskParts {
  readonly id: string;
  /** As QEMU was given it. */
  readonly device: Options;
  readonly files: readonly HeldFile[];
  /** Of a disk null. */
  readonly card: CardOnBridge | null;
}

export interface HotplugNote {
  readonly attached: readonly Attached[];
  /** Ids of disks of the launch that are there no more. */
  readonly detached: readonly string[];
}

export interface DeviceThere extends DiskParts {
  readonly what: 'disk' | 'card';
  readonly id: string;
  readonly device: Options;
  readonly files: readonly FileOfLaunch[];
  /** Since the launch. */
  readonly attached: boolean;
}

export class Hotplug {
  readonly #launched: LaunchedMachine;
  readonly #attached: Map<string, Attached>;
  readonly #detached: Set<string>;

  constructor(launched: LaunchedMachine, noted: HotplugNote = { attached: [], detached: [] }) {
    this.#launched = launched;
    this.#attached = new Map(noted.attached.map((disk) => [disk.id, disk]));
    this.#detached = new Set(noted.detached);
  }

  /** Undefined: there is no such disk, or not any more. */
  disk(id: string): DeviceThere | undefined {
    const attached = this.#attached.get(id);
    if (attached?.card === null)
      return { ...attached, what: 'disk', files: attached.files.map(({ file }) => file), attached: true };
    const planned =
      this.#detached.has(id) || attached !== undefined ? undefined : plannedDisk(this.#launched.launch, id);
    if (planned === undefined || /^(?:ide|scsi)-cd$/.test(String(planned.device['driver']))) return undefined;
    return {
      id,
      what: 'disk',
      device: planned.device,
      nodes: planned.nodes.map((node) => node['node-name']),
      groups: planned.groups.flatMap((group) => (typeof group['id'] === 'string' ? [group['id']] : [])),
      netdevs: [],
      files: [...planned.sets.values()].flat().map(({ file }) => file),
      attached: false,
    };
  }

  /** A disk, or a card that was attached. */
  device(id: string): DeviceThere | undefined {
    const card = this.cards.find((one) => one.id === id);
    return card === undefined ? this.disk(id) : { ...card, what: 'card', files: [], attached: true };
  }

  /** In the order of the launch, then those that came later. */
  get disks(): readonly DeviceThere[] {
    const planned = optionsOf(this.#launched.launch, '-device').flatMap(({ id }) =>
      typeof id === 'string' && !this.#attached.has(id) ? [id] : [],
    );
    return [...planned, ...this.#attached.keys()].flatMap((id) => this.disk(id) ?? []);
  }

  /** Cards that were attached. */
  get cards(): readonly (Attached & { readonly card: CardOnBridge })[] {
    return [...this.#attached.values()].flatMap((one) =>
      one.card === null ? [] : [{ ...one, card: one.card }],
    );
  }

  /** Every device that is there now. */
  get devices(): readonly Options[] {
    return [
      ...optionsOf(this.#launched.launch, '-device').filter(({ id }) => !this.#detached.has(String(id))),
      ...[...this.#attached.values()].map(({ device }) => device),
    ];
  }

  attach(disk: Attached): void {
    this.#attached.set(disk.id, disk);
  }

  detach(id: string): void {
    if (!this.#attached.delete(id)) this.#detached.add(id);
  }

  /** Whether anything was attached or detached. */
  get hasNote(): boolean {
    return this.#attached.size > 0 || this.#detached.size > 0;
  }

  get note(): HotplugNote {
    return { attached: [...this.#attached.values()], detached: [...this.#detached] };
  }

  /** What it holds otherwise than at its launch. */
  get sinceLaunch(): SinceLaunch {
    const { launch } = this.#launched;
    const gone = [...this.#detached].flatMap((id) =>
      [...(plannedDisk(launch, id)?.sets.values() ?? [])].flat(),
    );
    return {
      gone: gone.map(({ index }) => index),
      added: [...this.#attached.values()].flatMap(({ files }) => files),
      bridges: this.cards.map(({ card }) => card.bridge),
    };
  }
}

/** A disk of which a part is missing is left out: what it has open is then one that was not planned. */
export function parseHotplugNote(value: unknown): HotplugNote | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const [attached, detached] = ['attached', 'detached'].map((name) => list(Reflect.get(value, name)));
  return { attached: (attached ?? []).flatMap(parseDisk), detached: texts(detached) };
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const texts = (values: readonly unknown[] | undefined): readonly string[] =>
  (values ?? []).filter((one) => typeof one === 'string');

function parseCard(value: unknown): CardOnBridge | null {
  const [bridge, tap]: unknown[] = ['bridge', 'tap'].map((name) => Reflect.get(Object(value), name));
  return typeof bridge === 'string' && typeof tap === 'string' ? { bridge, tap } : null;
}

function parseDisk(value: unknown): Attached[] {
  const field = (name: string): unknown => Reflect.get(Object(value), name);
  const [id, device] = [field('id'), field('device')];
  if (typeof id !== 'string' || typeof device !== 'object' || device === null) return [];
  return [
    {
      id,
      device: { ...device },
      files: list(field('files')).flatMap((file) => parseHeldFile(file) ?? []),
      nodes: texts(list(field('nodes'))),
      groups: texts(list(field('groups'))),
      netdevs: texts(list(field('netdevs'))),
      card: parseCard(field('card')),
    },
  ];
}
