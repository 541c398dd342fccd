/** The disk or card that a request asks for, held against the schema and the rules of definitions. */
import { parseDefinition } from '../../definition/parse.ts';
import type {
  DiskDefinition,
  HostDeviceDefinition,
  MachineDefinition,
  NicDefinition,
} from '../../definition/schema.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';

type Asked = Readonly<Record<string, unknown>> & { readonly id: string };

export interface AskedDevice<Device> {
  readonly device: Device;
  /** It stands in the definition already. */
  readonly defined: boolean;
}

export function askedDisk(record: DefinitionRecord, asked: Asked): Outcome<AskedDevice<DiskDefinition>> {
  return ask(record, asked, { list: 'disks', what: 'disk', of: ({ disks }) => disks });
}

export function askedCard(record: DefinitionRecord, asked: Asked): Outcome<AskedDevice<NicDefinition>> {
  return ask(record, asked, { list: 'nics', what: 'card', of: ({ nics }) => nics });
}

export function askedUsb(record: DefinitionRecord, asked: Asked): Outcome<AskedDevice<HostDeviceDefinition>> {
  return ask(record, asked, {
    list: 'hostDevices',
    what: 'USB device',
    of: ({ hostDevices }) => hostDevices,
  });
}

interface Kind<Device> {
  readonly list: 'disks' | 'nics' | 'hostDevices';
  readonly what: string;
  readonly of: (definition: MachineDefinition) => readonly Device[];
}

function ask<Device extends { readonly id: string }>(
  { definition }: DefinitionRecord,
  asked: Asked,
  { list, what, of }: Kind<Device>,
): Outcome<AskedDevice<Device>> {
  const { id } = asked;
  const own = of(definition).find((item) => item.id === id);
  const named = Object.keys(asked).length > 1;
  if (own !== undefined && !named) return success({ device: own, defined: true });
  const { disks, cdroms, nics, hostDevices } = definition;
  const taken = [...disks, ...cdroms, ...nics, ...hostDevices].some((one) => one.id === id);
  if (taken)
    return failure(
      'request-invalid',
      `the definition of machine "${definition.name}" has "${id}" already`,
      `choose another id, or give the id alone to attach the ${what} as the definition has it`,
    );
  if (!named)
    return failure(
      'request-invalid',
      `the definition of machine "${definition.name}" has no ${what} "${id}"`,
      'say what it is: the path and format of a disk, the bridge of a card, the port of a USB device',
    );
  // JSON is YAML, and a definition of this device and what its keys may refer to is a definition.
  const { name, iothreads, scsiControllers } = definition;
  const parsed = parseDefinition(JSON.stringify({ name, iothreads, scsiControllers, [list]: [asked] }));
  if (!parsed.ok)
    return {
      ok: false,
      faults: parsed.faults.map(({ line: _line, column: _column, ...fault }) => fault),
    };
  const [device] = of(parsed.definition);
  if (device === undefined) throw new TypeError(`a definition with one ${what} has none`);
  return success({ device, defined: false });
}
