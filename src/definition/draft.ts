/**
 * What of a definition can be read by itself, each key and each list item on its own, so that the rules between keys
 * can be checked although another part is wrong. What is wrong or depends on it is left out.
 */
import type { z } from 'zod';
import { isPlainMap, type KeyPath, type Plain } from './key-path.ts';
import { cdromSchema, diskSchema } from './schema-disks.ts';
import { nicSchema } from './schema-nics.ts';
import {
  machineSchema,
  type CdromDefinition,
  type DiskDefinition,
  type MachineDefinition,
  type NicDefinition,
} from './schema.ts';

export interface Placed<T> {
  readonly path: KeyPath;
  readonly value: T;
}

export interface PartId {
  readonly path: KeyPath;
  readonly kind: 'disk' | 'CD-ROM drive' | 'network card' | 'serial port' | 'channel' | 'device of the host';
  readonly id: string;
}

/** The keys that rules look at, beside the lists of parts. */
type ReadKey =
  | 'name'
  | 'machine'
  | 'firmware'
  | 'secureBoot'
  | 'shares'
  | 'machineVersion'
  | 'platform'
  | 'generationId'
  | 'clock'
  | 'cpu'
  | 'memory'
  | 'vnc'
  | 'clipboard'
  | 'scsiControllers'
  | 'iothreads'
  | 'memoryMaximum'
  | 'memorySlots'
  | 'memoryBacking'
  | 'numa'
  | 'serials'
  | 'hostDevices'
  | 'vsock'
  | 'console'
  | 'video'
  | 'moreVideo'
  | 'inputs'
  | 'usb'
  | 'sound'
  | 'watchdog'
  | 'tpm'
  | 'panic'
  | 'iommu'
  | 'hotplug'
  | 'agent'
  | 'tags'
  | 'boot'
  | 'limits'
  | 'autostart'
  | 'restart'
  | 'onCrash';

export type Draft = { readonly [Key in ReadKey]: MachineDefinition[Key] | undefined } & {
  readonly disks: readonly Placed<DiskDefinition>[];
  readonly cdroms: readonly Placed<CdromDefinition>[];
  readonly nics: readonly Placed<NicDefinition>[];
  /** The ids of disks, CD-ROM drives, network cards, serial ports and channels, also of those that are wrong otherwise. */
  readonly ids: readonly PartId[];
  /** Every one of these has an id among them. */
  readonly allIdsKnown: boolean;
};

function read<T extends z.ZodType>(schema: T, value: unknown): z.output<T> | undefined {
  const result = schema.safeParse(value);
  return result.success ? result.data : undefined;
}

function itemsOf<T extends z.ZodType>(
  schema: T,
  key: string,
  value: Plain | undefined,
): readonly Placed<z.output<T>>[] {
  return itemsIn(value).flatMap((item, index) => {
    const result = schema.safeParse(item);
    return result.success ? [{ path: [key, index], value: result.data }] : [];
  });
}

function itemsIn(value: Plain | undefined): readonly Plain[] {
  return Array.isArray(value) ? (value as readonly Plain[]) : [];
}

function idsIn(kind: PartId['kind'], key: string, value: Plain | undefined): readonly PartId[] {
  return itemsIn(value).flatMap((item, index) => {
    const id = isPlainMap(item) ? read(diskSchema.shape.id, item['id']) : undefined;
    return id === undefined ? [] : [{ path: [key, index, 'id'], kind, id }];
  });
}

export function draftOf(value: Plain): Draft {
  const input = isPlainMap(value) ? value : {};
  const { shape } = machineSchema;
  const { disks, cdroms, nics, serials, channels, hostDevices } = input;
  const ids = [
    ...idsIn('disk', 'disks', disks),
    ...idsIn('CD-ROM drive', 'cdroms', cdroms),
    ...idsIn('network card', 'nics', nics),
    ...idsIn('serial port', 'serials', serials),
    ...idsIn('channel', 'channels', channels),
    ...idsIn('device of the host', 'hostDevices', hostDevices),
  ];
  return {
    name: read(shape.name, input['name']),
    machine: read(shape.machine, input['machine']),
    firmware: read(shape.firmware, input['firmware']),
    shares: read(shape.shares, input['shares']),
    secureBoot: read(shape.secureBoot, input['secureBoot']),
    machineVersion: read(shape.machineVersion, input['machineVersion']),
    platform: read(shape.platform, input['platform']),
    generationId: read(shape.generationId, input['generationId']),
    clock: read(shape.clock, input['clock']),
    cpu: read(shape.cpu, input['cpu']),
    memory: read(shape.memory, input['memory']),
    vnc: read(shape.vnc, input['vnc']),
    clipboard: read(shape.clipboard, input['clipboard']),
    scsiControllers: read(shape.scsiControllers, input['scsiControllers']),
    iothreads: read(shape.iothreads, input['iothreads']),
    memoryMaximum: read(shape.memoryMaximum, input['memoryMaximum']),
    memorySlots: read(shape.memorySlots, input['memorySlots']),
    memoryBacking: read(shape.memoryBacking, input['memoryBacking']),
    numa: read(shape.numa, input['numa']),
    serials: read(shape.serials, input['serials']),
    hostDevices: read(shape.hostDevices, input['hostDevices']),
    vsock: read(shape.vsock, input['vsock']),
    console: read(shape.console, input['console']),
    video: read(shape.video, input['video']),
    moreVideo: read(shape.moreVideo, input['moreVideo']),
    inputs: read(shape.inputs, input['inputs']),
    usb: read(shape.usb, input['usb']),
    sound: read(shape.sound, input['sound']),
    watchdog: read(shape.watchdog, input['watchdog']),
    tpm: read(shape.tpm, input['tpm']),
    panic: read(shape.panic, input['panic']),
    iommu: read(shape.iommu, input['iommu']),
    hotplug: read(shape.hotplug, input['hotplug']),
    agent: read(shape.agent, input['agent']),
    tags: read(shape.tags, input['tags']),
    boot: read(shape.boot, input['boot']),
    limits: read(shape.limits, input['limits']),
    autostart: read(shape.autostart, input['autostart']),
    restart: read(shape.restart, input['restart']),
    onCrash: read(shape.onCrash, input['onCrash']),
    disks: itemsOf(diskSchema, 'disks', disks),
    cdroms: itemsOf(cdromSchema, 'cdroms', cdroms),
    nics: itemsOf(nicSchema, 'nics', nics),
    ids,
    allIdsKnown: [disks, cdroms, nics, serials, channels, hostDevices].flatMap(itemsIn).length === ids.length,
  };
}
