/** The events of QEMU that the manager acts on, under QEMU's own names; of all others just the name. */
import { maxNameLength } from './limits.ts';
import { printable } from './printable.ts';
import { type Fields, memberOf, parseCount, parseFields, parseFlag, parseText } from './shape.ts';

export type QmpEvent =
  | { readonly name: 'SHUTDOWN'; readonly guest: boolean; readonly reason: string }
  | { readonly name: 'RESET'; readonly guest: boolean; readonly reason: string }
  | { readonly name: 'STOP' }
  | { readonly name: 'RESUME' }
  | { readonly name: 'POWERDOWN' }
  | { readonly name: 'GUEST_PANICKED'; readonly action: string }
  | {
      readonly name: 'BLOCK_IO_ERROR';
      /** Id of the device or of its back-end; may be empty. */
      readonly device: string;
      readonly nodeName: string | null;
      readonly operation: string;
      /** `stop`, `report` or `ignore`. */
      readonly action: string;
      /** The host ran out of space. */
      readonly noSpace: boolean;
      readonly reason: string;
    }
  | { readonly name: 'WATCHDOG'; readonly action: string }
  /** The guest's memory after the change, bytes. */
  | { readonly name: 'BALLOON_CHANGE'; readonly actual: number }
  /** Whoever served a network card has gone. */
  | { readonly name: 'NETDEV_STREAM_DISCONNECTED' }
  /** The guest, or QEMU, let go of a device. */
  | { readonly name: 'DEVICE_DELETED' }
  | { readonly name: 'other'; readonly event: string };

type KnownName = Exclude<QmpEvent['name'], 'other'>;
type ParserOf<Name extends KnownName> = (
  data: Fields | undefined,
) => Extract<QmpEvent, { name: Name }> | undefined;

const parsers: { readonly [Name in KnownName]: ParserOf<Name> } = {
  SHUTDOWN: (data) => parseCause('SHUTDOWN', data),
  RESET: (data) => parseCause('RESET', data),
  STOP: () => ({ name: 'STOP' }),
  NETDEV_STREAM_DISCONNECTED: () => ({ name: 'NETDEV_STREAM_DISCONNECTED' }),
  DEVICE_DELETED: () => ({ name: 'DEVICE_DELETED' }),
  RESUME: () => ({ name: 'RESUME' }),
  POWERDOWN: () => ({ name: 'POWERDOWN' }),
  GUEST_PANICKED: (data) => parseAction('GUEST_PANICKED', data),
  BLOCK_IO_ERROR: parseBlockIoError,
  WATCHDOG: (data) => parseAction('WATCHDOG', data),
  BALLOON_CHANGE: (data) => {
    const actual = parseCount(memberOf(data, 'actual'));
    return actual === undefined ? undefined : { name: 'BALLOON_CHANGE', actual };
  },
};

/** Undefined where the name is no name, or a known event lacks what QEMU's schema promises. */
export function parseEvent(name: unknown, data: unknown): QmpEvent | undefined {
  if (typeof name !== 'string' || !/^[A-Za-z0-9_.-]{1,64}$/.test(name)) return undefined;
  if (!isKnown(name)) return { name: 'other', event: name };
  return parsers[name](parseFields(data));
}

/** Events with one key say the same: where they wait for their reader the newest stands for all, with their number. */
export function eventKey(event: QmpEvent): string {
  if (event.name === 'other') return `other ${event.event}`;
  if (event.name !== 'BLOCK_IO_ERROR') return event.name;
  return ['BLOCK_IO_ERROR', event.device, event.nodeName ?? '', event.operation, event.action].join(' ');
}

function isKnown(name: string): name is KnownName {
  return Object.hasOwn(parsers, name);
}

function parseCause<Name extends 'SHUTDOWN' | 'RESET'>(name: Name, data: Fields | undefined) {
  const guest = parseFlag(memberOf(data, 'guest'));
  const reason = parseName(memberOf(data, 'reason'));
  return guest === undefined || reason === undefined ? undefined : { name, guest, reason };
}

function parseAction<Name extends 'GUEST_PANICKED' | 'WATCHDOG'>(name: Name, data: Fields | undefined) {
  const action = parseName(memberOf(data, 'action'));
  return action === undefined ? undefined : { name, action };
}

function parseBlockIoError(
  data: Fields | undefined,
): Extract<QmpEvent, { name: 'BLOCK_IO_ERROR' }> | undefined {
  const device = parseName(memberOf(data, 'device'));
  const nodeName = parseName(memberOf(data, 'node-name') ?? '');
  const operation = parseName(memberOf(data, 'operation'));
  const action = parseName(memberOf(data, 'action'));
  const noSpace = parseFlag(memberOf(data, 'nospace') ?? false);
  const reason = parseName(memberOf(data, 'reason'));
  if (device === undefined || nodeName === undefined || operation === undefined) return undefined;
  if (action === undefined || noSpace === undefined || reason === undefined) return undefined;
  return {
    name: 'BLOCK_IO_ERROR',
    device,
    nodeName: nodeName === '' ? null : nodeName,
    operation,
    action,
    noSpace,
    reason,
  };
}

function parseName(value: unknown): string | undefined {
  const text = parseText(value, maxNameLength);
  return text === undefined ? undefined : printable(text, maxNameLength);
}
