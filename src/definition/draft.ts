/**
 * What of a definition can be read by itself, each key and each list item on its own, so that the rules between keys
 * can be checked although another part is wrong. What is wrong or depends on it is left out.
 */
import type { z } from 'zod';
import { isPlainMap, type KeyPath, type Plain } from './key-path.ts';
import {
  cdromSchema,
  diskSchema,
  machineSchema,
  nicSchema,
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
  readonly kind: 'disk' | 'CD-ROM drive' | 'network card';
  readonly id: string;
}

export interface Draft {
  readonly machine: MachineDefinition['machine'] | undefined;
  readonly firmware: MachineDefinition['firmware'] | undefined;
  readonly memory: number | undefined;
  readonly vnc: boolean | undefined;
  readonly tags: readonly string[] | undefined;
  readonly boot: MachineDefinition['boot'] | undefined;
  readonly limits: MachineDefinition['limits'] | undefined;
  readonly name: MachineDefinition['name'] | undefined;
  readonly agent: boolean | undefined;
  readonly autostart: MachineDefinition['autostart'] | undefined;
  readonly restart: MachineDefinition['restart'] | undefined;
  readonly onCrash: MachineDefinition['onCrash'] | undefined;
  readonly disks: readonly Placed<DiskDefinition>[];
  readonly cdroms: readonly Placed<CdromDefinition>[];
  readonly nics: readonly Placed<NicDefinition>[];
  /** The ids of disks, CD-ROM drives and network cards, also of those that are wrong otherwise. */
  readonly ids: readonly PartId[];
  /** Every disk, CD-ROM drive and network card has an id among them. */
  readonly allIdsKnown: boolean;
}

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
  const { disks, cdroms, nics } = input;
  const ids = [
    ...idsIn('disk', 'disks', disks),
    ...idsIn('CD-ROM drive', 'cdroms', cdroms),
    ...idsIn('network card', 'nics', nics),
  ];
  return {
    machine: read(shape.machine, input['machine']),
    firmware: read(shape.firmware, input['firmware']),
    memory: read(shape.memory, input['memory']),
    vnc: read(shape.vnc, input['vnc']),
    tags: read(shape.tags, input['tags']),
    boot: read(shape.boot, input['boot']),
    limits: read(shape.limits, input['limits']),
    name: read(shape.name, input['name']),
    agent: read(shape.agent, input['agent']),
    autostart: read(shape.autostart, input['autostart']),
    restart: read(shape.restart, input['restart']),
    onCrash: read(shape.onCrash, input['onCrash']),
    disks: itemsOf(diskSchema, 'disks', disks),
    cdroms: itemsOf(cdromSchema, 'cdroms', cdroms),
    nics: itemsOf(nicSchema, 'nics', nics),
    ids,
    allIdsKnown: [disks, cdroms, nics].flatMap(itemsIn).length === ids.length,
  };
}
