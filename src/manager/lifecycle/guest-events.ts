/** QEMU's events in the words of the event stream and of the machine's log. */
import type { QmpEvent } from '../../qmp/events.ts';

export interface ToldEvent {
  readonly event: string;
  readonly details: Readonly<Record<string, unknown>>;
  /** For the machine's log; undefined: too frequent, or said there otherwise. */
  readonly text?: string;
}

/** Undefined for what nobody outside needs to know. */
export function describeEvent(event: QmpEvent): ToldEvent | undefined {
  switch (event.name) {
    case 'SHUTDOWN':
      return {
        event: 'guest.shutdown',
        details: { guest: event.guest, reason: event.reason },
        text: `shutdown: ${event.reason}`,
      };
    case 'RESET':
      return {
        event: 'guest.reset',
        details: { guest: event.guest, reason: event.reason },
        text: `reset: ${event.reason}`,
      };
    case 'STOP':
      return { event: 'machine.paused', details: {} };
    case 'RESUME':
      return { event: 'machine.resumed', details: {} };
    case 'GUEST_PANICKED':
      return {
        event: 'guest.panicked',
        details: { action: event.action },
        text: `the guest's kernel panicked (${event.action})`,
      };
    case 'BLOCK_IO_ERROR':
      return {
        event: 'disk.error',
        details: {
          device: event.device,
          operation: event.operation,
          action: event.action,
          noSpace: event.noSpace,
          reason: event.reason,
        },
        text: `disk "${event.device}": ${event.operation} failed (${event.reason}); ${event.noSpace ? 'the host has no space left; ' : ''}QEMU did: ${event.action}`,
      };
    case 'WATCHDOG':
      return {
        event: 'guest.watchdog',
        details: { action: event.action },
        text: `the watchdog fired (${event.action})`,
      };
    case 'POWERDOWN':
    case 'BALLOON_CHANGE':
    case 'NETDEV_STREAM_DISCONNECTED':
    case 'DEVICE_DELETED':
    case 'other':
      return undefined;
  }
}
