/**
 * The disks and cards that one running machine was given and that were taken from it since its launch, and what it has open by that. Noted
 * with the run, before QEMU is told, so that the next manager knows of every descriptor that may be there.
 */
import type { MachineDefinition } from '../../definition/schema.ts';
import { guestSize } from '../../plan/guest-size.ts';
import { plannedDisk, type PlannedDisk } from '../../plan/planned-disk.ts';
import {
  optionsOf,
  setOf,
  usbOfLaunch,
  type FileOfLaunch,
  type Options,
} from '../../plan/launched-options.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import { parseBlockWork, type BlockWork } from '../blocks/block-work.ts';
import {
  parseHeldFile,
  parseHeldUsb,
  type HeldFile,
  type HeldUsb,
  type SinceLaunch,
} from '../lifecycle/held-files.ts';

/** What QEMU has of a disk beside its device. */
export interface DiskParts {
  /** Names of its block nodes, each behind those that it stands on. */
  readonly nodes: readonly string[];
  /** Ids of the objects that hold its limits. */
  readonly groups: readonly string[];
  /** Of a network card: what carries its packets. */
  readonly netdevs: readonly string[];
  /** Of a module of memory: its size in bytes. */
  readonly memory?: number;
}

/** One image of a disk: its nodes in QEMU, and the set from which QEMU takes descriptors as it opens it anew. */
export interface Layer {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly node: string;
  readonly file: string;
  readonly set: number;
}

/** A card on a bridge, or in a managed network. */
export interface CardThere {
  /** Empty: it is in a network. */
  readonly bridge: string;
  /** Empty: it is on a bridge. */
  readonly network: string;
  /** Name of its TAP device; empty: not known. */
  readonly tap: string;
}

/** A disk, card, CPU or module of memory that was attached, or is about to be. */
export interface Attached extends DiskParts {
  readonly id: string;
  /** As QEMU was given it. */
  readonly device: Options;
  readonly files: readonly HeldFile[];
  /** Of all others null. */
  readonly card: CardThere | null;
  /** Of a disk: its image and those below it. */
  readonly layers: readonly Layer[];
  /** Of all but a USB device of the host absent. */
  readonly usb?: HeldUsb;
}

/** A USB device of the host that a machine is to have and that is not there. */
export interface WaitingUsb {
  readonly id: string;
  /** As `Descriptor` has it. */
  readonly device: string;
}

/** One that it has. */
export interface UsbThere extends WaitingUsb, HeldUsb {
  readonly options: Options;
  /** Since the launch. */
  readonly attached: boolean;
}

export interface HotplugNote {
  readonly attached: readonly Attached[];
  /** Ids of disks of the launch that are there no more, or have other images. */
  readonly detached: readonly string[];
  readonly waiting?: readonly WaitingUsb[];
  readonly work?: BlockWork;
}

export interface SizeNow {
  readonly cpus: number;
  /** Bytes. */
  readonly memory: number;
}

export type DeviceKind = 'disk' | 'card' | 'cpu' | 'memory' | 'usb';

function kindOf({ card, usb, device: { driver } }: Attached): DeviceKind {
  if (usb !== undefined) return 'usb';
  if (card !== null) return 'card';
  if (driver === 'pc-dimm') return 'memory';
  return String(driver).endsWith('-cpu') ? 'cpu' : 'disk';
}

export interface DeviceThere extends DiskParts {
  readonly what: DeviceKind;
  readonly id: string;
  readonly device: Options;
  readonly files: readonly FileOfLaunch[];
  readonly held: readonly HeldFile[];
  readonly layers: readonly Layer[];
  /** Since the launch. */
  readonly attached: boolean;
}

export class Hotplug {
  readonly #launched: LaunchedMachine;
  readonly #attached: Map<string, Attached>;
  readonly #detached: Set<string>;
  readonly #waiting: Map<string, WaitingUsb>;
  /** What is under way with the images of a disk: one thing at a time. */
  work: BlockWork | undefined;
  /** An earlier manager began it. */
  workIsOrphan: boolean;

  constructor(launched: LaunchedMachine, noted: HotplugNote = { attached: [], detached: [] }) {
    this.#launched = launched;
    this.work = noted.work;
    this.workIsOrphan = noted.work !== undefined;
    this.#attached = new Map(noted.attached.map((disk) => [disk.id, disk]));
    this.#detached = new Set(noted.detached);
    this.#waiting = new Map((noted.waiting ?? []).map((one) => [one.id, one]));
  }

  /** Undefined: there is no such disk, or not any more. */
  disk(id: string): DeviceThere | undefined {
    const attached = this.#attached.get(id);
    if (attached !== undefined && kindOf(attached) === 'disk')
      return {
        ...attached,
        what: 'disk',
        files: attached.files.map(({ file }) => file),
        held: attached.files,
        attached: !this.#detached.has(id),
      };
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
      held: [...planned.sets.values()]
        .flat()
        .map(({ file }) => ({ file, identity: this.#launched.files[file.path] })),
      layers: layersOf(planned),
      attached: false,
    };
  }

  /** A disk, or what else was attached. */
  device(id: string): DeviceThere | undefined {
    const usb = this.usb.find((one) => one.id === id);
    if (usb !== undefined)
      return { ...nothing, what: 'usb', id, device: usb.options, attached: usb.attached };
    const attached = this.#attached.get(id);
    const what = attached === undefined ? 'disk' : kindOf(attached);
    return attached === undefined || what === 'disk'
      ? this.disk(id)
      : { ...attached, what, files: [], held: [], attached: true };
  }

  /** In the order of the launch, then those that came later. */
  get disks(): readonly DeviceThere[] {
    const planned = optionsOf(this.#launched.launch, '-device').flatMap(({ id }) =>
      typeof id === 'string' && !this.#attached.has(id) ? [id] : [],
    );
    return [...planned, ...this.#attached.keys()].flatMap((id) => this.disk(id) ?? []);
  }

  /** Cards that were attached. */
  get cards(): readonly (Attached & { readonly card: CardThere })[] {
    return [...this.#attached.values()].flatMap((one) =>
      one.card === null ? [] : [{ ...one, card: one.card }],
    );
  }

  /** USB devices of the host that it has. */
  get usb(): readonly UsbThere[] {
    const { launch, files } = this.#launched;
    const ofLaunch = usbOfLaunch(launch).flatMap(({ id, options, device }) =>
      this.#detached.has(id) ? [] : [{ id, options, device, identity: files[device], attached: false }],
    );
    const since = [...this.#attached.values()].flatMap(({ id, device: options, usb }) =>
      usb === undefined ? [] : [{ id, options, ...usb, attached: true }],
    );
    return [...ofLaunch, ...since];
  }

  /** Those that it gets when they are plugged in. */
  get waiting(): readonly WaitingUsb[] {
    return [...this.#waiting.values()];
  }

  wait(one: WaitingUsb): void {
    this.#waiting.set(one.id, one);
  }

  /** False: it did not wait for it. */
  waitNoMore(id: string): boolean {
    return this.#waiting.delete(id);
  }

  /** CPUs that were attached. */
  get cpus(): readonly Attached[] {
    return [...this.#attached.values()].filter((one) => kindOf(one) === 'cpu');
  }

  /** Modules of memory that were attached. */
  get modules(): readonly (Attached & { readonly memory: number })[] {
    return [...this.#attached.values()].flatMap((one) =>
      kindOf(one) === 'memory' ? [{ ...one, memory: one.memory ?? 0 }] : [],
    );
  }

  /** Of the guest now, with what was attached. */
  get size(): SizeNow {
    const { cpus, memory } = guestSize(this.#launched.launch.argv);
    const more = this.modules.reduce((sum, module) => sum + module.memory, 0);
    return { cpus: cpus + this.cpus.length, memory: memory + more };
  }

  /** All that was attached and is no disk. */
  get others(): readonly Attached[] {
    return [...this.#attached.values()].filter((one) => kindOf(one) !== 'disk');
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

  /** A disk has other images now; its device is the same. */
  replace(disk: Attached): void {
    if (plannedDisk(this.#launched.launch, disk.id) !== undefined) this.#detached.add(disk.id);
    this.#attached.set(disk.id, disk);
  }

  /** Whether anything was attached, detached or replaced, or is about to be. */
  get hasNote(): boolean {
    return this.#attached.size + this.#detached.size + this.#waiting.size > 0 || this.work !== undefined;
  }

  get note(): HotplugNote {
    return {
      attached: [...this.#attached.values()],
      detached: [...this.#detached],
      ...(this.#waiting.size === 0 ? {} : { waiting: this.waiting }),
      ...(this.work === undefined ? {} : { work: this.work }),
    };
  }

  /** What it holds otherwise than at its launch. */
  get sinceLaunch(): SinceLaunch {
    const { launch } = this.#launched;
    const gone = [...this.#detached].flatMap((id) =>
      [...(plannedDisk(launch, id)?.sets.values() ?? [])].flat(),
    );
    const usbGone = usbOfLaunch(launch).filter(({ id }) => this.#detached.has(id));
    return {
      gone: [...gone, ...usbGone].map(({ index }) => index),
      usb: [...this.#attached.values()].flatMap(({ usb }) => usb ?? []),
      added: [...[...this.#attached.values()].flatMap(({ files }) => files), ...(this.work?.files ?? [])],
      cards: this.cards.map(({ id, device, card: { bridge, network } }) =>
        network === ''
          ? { kind: 'tap', bridge }
          : { kind: 'card', network, nic: id, mac: String(device['mac']) },
      ),
    };
  }
}

/** Of a machine to which nothing was done yet: what it was started without, it gets when that is plugged in. */
export function firstNote({
  launched,
  definition,
}: {
  readonly launched: LaunchedMachine;
  readonly definition?: Pick<MachineDefinition, 'hostDevices'> | undefined;
}): HotplugNote {
  const there = new Set(usbOfLaunch(launched.launch).map(({ id }) => id));
  const waiting = (definition?.hostDevices ?? []).flatMap(({ id, usb }) =>
    usb === undefined || there.has(id) ? [] : [{ id, device: usb }],
  );
  return { attached: [], detached: [], waiting };
}

const nothing = { nodes: [], groups: [], netdevs: [], files: [], held: [], layers: [] } as const;

/** A disk of which a part is missing is left out: what it has open is then one that was not planned. */
export function parseHotplugNote(value: unknown): HotplugNote | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const [attached, detached, waiting] = ['attached', 'detached', 'waiting'].map((name) =>
    list(Reflect.get(value, name)),
  );
  const work = parseBlockWork(Reflect.get(value, 'work'));
  return {
    attached: (attached ?? []).flatMap((one) => parseAttached(one) ?? []),
    detached: texts(detached),
    ...((waiting ?? []).length === 0
      ? {}
      : { waiting: (waiting ?? []).flatMap((one) => parseWaiting(one) ?? []) }),
    ...(work === undefined ? {} : { work }),
  };
}

/** The images of a disk that was planned, the topmost first. */
export function layersOf({ nodes, sets }: Pick<PlannedDisk, 'nodes' | 'sets'>): readonly Layer[] {
  return nodes.toReversed().flatMap(({ driver, file: name, 'node-name': node }) => {
    if (driver !== 'raw' && driver !== 'qcow2') return [];
    const file = nodes.find((one) => one['node-name'] === name);
    const set = file === undefined ? undefined : setOf(file);
    const path = set === undefined ? undefined : sets.get(set)?.[0]?.file.path;
    if (file === undefined || path === undefined) return [];
    return [{ path, format: driver, node, file: file['node-name'], set: Number(set) }];
  });
}

function parseLayers(value: unknown): readonly Layer[] {
  return list(value).flatMap((one) => {
    const field = (name: string): unknown => Reflect.get(Object(one), name);
    const [path, format, node, file, set] = ['path', 'format', 'node', 'file', 'set'].map(field);
    if (typeof path !== 'string' || typeof node !== 'string' || typeof file !== 'string') return [];
    if ((format !== 'raw' && format !== 'qcow2') || typeof set !== 'number') return [];
    return [{ path, format, node, file, set }];
  });
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const texts = (values: readonly unknown[] | undefined): readonly string[] =>
  (values ?? []).filter((one) => typeof one === 'string');

function parseCard(value: unknown): CardThere | null {
  const [bridge, tap, network = '']: unknown[] = ['bridge', 'tap', 'network'].map((name) =>
    Reflect.get(Object(value), name),
  );
  if (typeof bridge !== 'string' || typeof tap !== 'string' || typeof network !== 'string') return null;
  return { bridge, tap, network };
}

function parseWaiting(value: unknown): WaitingUsb | undefined {
  const [id, device] = ['id', 'device'].map((name): unknown => Reflect.get(Object(value), name));
  return typeof id === 'string' && typeof device === 'string' ? { id, device } : undefined;
}

export function parseAttached(value: unknown): Attached | undefined {
  const field = (name: string): unknown => Reflect.get(Object(value), name);
  const [id, device] = [field('id'), field('device')];
  if (typeof id !== 'string' || typeof device !== 'object' || device === null) return undefined;
  const memory = field('memory');
  const usb = parseHeldUsb(field('usb'));
  return {
    id,
    ...(typeof memory === 'number' ? { memory } : {}),
    ...(usb === undefined ? {} : { usb }),
    device: { ...device },
    files: list(field('files')).flatMap((file) => parseHeldFile(file) ?? []),
    nodes: texts(list(field('nodes'))),
    groups: texts(list(field('groups'))),
    netdevs: texts(list(field('netdevs'))),
    card: parseCard(field('card')),
    layers: parseLayers(field('layers')),
  };
}
