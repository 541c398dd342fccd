/** The commands that the manager gives, a closed set: QEMU's name, time limit, arguments, and how the answer is read. */
import type { CommandResult } from './command-result.ts';
import {
  parseBalloon,
  parseBlockStats,
  parseAddedDescriptor,
  parseDescriptorSets,
  parseDone,
  parseDrives,
  parseMemberNames,
  parseMigration,
  parseMonitorOutput,
  parseNodeNames,
  parseRunStatus,
  parseVcpuCount,
} from './command-values.ts';
import { parseCpuPlaces } from './hotpluggable-cpus.ts';
import type { QmpSession } from './session.ts';
import type { Fields } from './shape.ts';

/** Stands in for the table's own time limit. */
export interface CommandOptions {
  readonly timeoutMs?: number;
  /** Goes with the command, for QEMU to take. */
  readonly descriptor?: number;
}

/** Limits of one drive, reads and writes together; 0: no limit. */
export interface IoLimits {
  readonly bps: number;
  readonly iops: number;
}

/** For what QEMU answers at once, however busy the guest is. */
export const quickMs = 5_000;
/** For what may wait for outstanding disk requests of the guest. */
export const drainMs = 30_000;

export const commands = {
  queryStatus: plain('query-status', quickMs, parseRunStatus),
  cont: plain('cont', drainMs, parseDone),
  /** Pauses the virtual CPUs, and waits for requests that are on their way to disks. */
  stop: plain('stop', drainMs, parseDone),
  /** Presses the power button; the guest decides what follows. */
  systemPowerdown: plain('system_powerdown', quickMs, parseDone),
  systemReset: plain('system_reset', quickMs, parseDone),
  /** What QEMU does by itself when the guest reboots or panics (as `-action`). */
  setAction: withArgs(
    'set-action',
    quickMs,
    parseDone,
    (actions: { readonly reboot?: 'reset' | 'shutdown'; readonly panic?: 'pause' | 'exit-failure' }) =>
      actions,
  ),
  /** Ends QEMU. The session may end before the answer: `session-ended` is success too. */
  quit: plain('quit', quickMs, parseDone),
  queryFdsets: plain('query-fdsets', quickMs, parseDescriptorSets),
  /** Closes the descriptors of a set that no block node holds open. */
  removeFd: withArgs('remove-fd', quickMs, parseDone, ({ set }: { readonly set: number }) => ({
    'fdset-id': set,
  })),
  /** The descriptor that comes with it, in a set of its own: `/dev/fdset/N` is then a path of QEMU's. Gives N. */
  addFd: plain('add-fd', quickMs, parseAddedDescriptor),
  /** The same into a set that is there, beside what is in it. */
  addFdTo: withArgs('add-fd', quickMs, parseAddedDescriptor, ({ set }: { readonly set: number }) => ({
    'fdset-id': set,
  })),
  /** Writes what the screen shows as PNG to a path of QEMU's. */
  screendump: withArgs('screendump', drainMs, parseDone, ({ path }: { readonly path: string }) => ({
    filename: path,
    format: 'png',
  })),
  /** Presses keys (QKeyCode) together, and lets go of them after `holdMs`; answers at once. */
  sendKey: withArgs(
    'send-key',
    quickMs,
    parseDone,
    ({ keys, holdMs }: { readonly keys: readonly string[]; readonly holdMs: number }) => ({
      keys: keys.map((data) => ({ type: 'qcode', data })),
      'hold-time': holdMs,
    }),
  ),
  /** QEMU keeps the descriptor that comes with it under this name. */
  getDescriptor: withArgs('getfd', quickMs, parseDone, ({ name }: { readonly name: string }) => ({
    fdname: name,
  })),
  closeDescriptor: withArgs('closefd', quickMs, parseDone, ({ name }: { readonly name: string }) => ({
    fdname: name,
  })),
  /** A viewer at the other end of the socket that is kept under this name. There are no passwords: who views was asked before. */
  addVncClient: withArgs('add_client', quickMs, parseDone, ({ name }: { readonly name: string }) => ({
    protocol: 'vnc',
    fdname: name,
    skipauth: true,
  })),
  /** The memory and the devices of a machine, to the descriptor that is kept under this name; answers at once. */
  migrate: withArgs('migrate', quickMs, parseDone, ({ name }: { readonly name: string }) => ({
    uri: `fd:${name}`,
  })),
  /** The same from it, into a QEMU that waits for them; answers at once. */
  migrateIncoming: withArgs(
    'migrate-incoming',
    quickMs,
    parseDone,
    ({ name }: { readonly name: string }) => ({
      uri: `fd:${name}`,
    }),
  ),
  migrateCancel: plain('migrate_cancel', quickMs, parseDone),
  queryMigrate: plain('query-migrate', quickMs, parseMigration),
  /** As fast as the reader takes it. */
  unlimitMigration: withFixed('migrate-set-parameters', { 'max-bandwidth': 1024 ** 4 }, quickMs, parseDone),
  /** Bytes a second, 0: as fast as the reader takes it; and how long the guest may stand still. */
  limitMigration: withArgs(
    'migrate-set-parameters',
    quickMs,
    parseDone,
    ({ bandwidth, downtimeMs }: { readonly bandwidth: number; readonly downtimeMs: number }) => ({
      'max-bandwidth': bandwidth === 0 ? 1024 ** 4 : bandwidth,
      'downtime-limit': downtimeMs,
    }),
  ),
  /** What comes in touches no disk until the guest goes on. */
  activateLate: withFixed(
    'migrate-set-capabilities',
    { capabilities: [{ capability: 'late-block-activate', state: true }] },
    quickMs,
    parseDone,
  ),
  blockdevAdd: withArgs('blockdev-add', drainMs, parseDone, (node: Fields) => node),
  /** A node that no drive has any more; what it had open is closed. */
  blockdevDel: withArgs('blockdev-del', drainMs, parseDone, ({ node }: { readonly node: string }) => ({
    'node-name': node,
  })),
  objectAdd: withArgs('object-add', quickMs, parseDone, (object: Fields) => object),
  objectDel: withArgs('object-del', quickMs, parseDone, ({ id }: { readonly id: string }) => ({ id })),
  netdevAdd: withArgs('netdev_add', quickMs, parseDone, (netdev: Fields) => netdev),
  netdevDel: withArgs('netdev_del', quickMs, parseDone, ({ id }: { readonly id: string }) => ({ id })),
  deviceAdd: withArgs('device_add', drainMs, parseDone, (device: Fields) => device),
  /** Asks the guest to let go of a device on PCI; a SCSI disk goes at once. The device is there until the guest has. */
  deviceDel: withArgs('device_del', drainMs, parseDone, ({ id }: { readonly id: string }) => ({ id })),
  /** Ids of the devices that have one. */
  listDevices: withFixed('qom-list', { path: '/machine/peripheral' }, quickMs, parseMemberNames),
  /** A guest that keeps the tray in is asked to let it out, and the command is refused meanwhile; `force`: it comes out. */
  openTray: withArgs(
    'blockdev-open-tray',
    drainMs,
    parseDone,
    ({ drive, force }: { readonly drive: string; readonly force: boolean }) => ({ id: drive, force }),
  ),
  closeTray: withArgs('blockdev-close-tray', drainMs, parseDone, ({ drive }: { readonly drive: string }) => ({
    id: drive,
  })),
  removeMedium: withArgs(
    'blockdev-remove-medium',
    drainMs,
    parseDone,
    ({ drive }: { readonly drive: string }) => ({ id: drive }),
  ),
  insertMedium: withArgs(
    'blockdev-insert-medium',
    drainMs,
    parseDone,
    ({ drive, node }: { readonly drive: string; readonly node: string }) => ({
      id: drive,
      'node-name': node,
    }),
  ),
  /** What the guest did with its drives since the start. */
  queryBlockStats: plain('query-blockstats', quickMs, parseBlockStats),
  /** The guest's memory now, bytes; refused where there is no balloon. */
  queryBalloon: plain('query-balloon', quickMs, parseBalloon),
  /** A snapshot within each image, of the same moment, or of none. */
  snapshotDisks: withArgs(
    'transaction',
    drainMs,
    parseDone,
    ({ disks, tag }: { readonly disks: readonly string[]; readonly tag: string }) => ({
      actions: disks.map((device) => ({
        type: 'blockdev-snapshot-internal-sync',
        data: { device, name: tag },
      })),
    }),
  ),
  dropDiskSnapshot: withArgs(
    'blockdev-snapshot-delete-internal-sync',
    drainMs,
    parseDone,
    ({ disk, tag }: { readonly disk: string; readonly tag: string }) => ({ device: disk, name: tag }),
  ),
  queryBlock: plain('query-block', drainMs, parseDrives),
  /** Bytes; the guest is told. Where it is smaller, what lies behind it is lost. */
  blockResize: withArgs(
    'block_resize',
    drainMs,
    parseDone,
    ({ node, size }: { readonly node: string; readonly size: number }) => ({ 'node-name': node, size }),
  ),
  queryBlockNodeNames: withFixed('query-named-block-nodes', { flat: true }, drainMs, parseNodeNames),
  queryCpuPlaces: plain('query-hotpluggable-cpus', quickMs, parseCpuPlaces),
  queryVcpuCount: plain('query-cpus-fast', quickMs, parseVcpuCount),
  /** The target for the guest's memory; the guest follows as far as it likes (event BALLOON_CHANGE). */
  balloon: withArgs('balloon', quickMs, parseDone, ({ bytes }: { readonly bytes: number }) => ({
    value: bytes,
  })),
  /** Limits of one drive, where it has no throttle node: `id` is its `device` as `queryBlock` gives it (QEMU 7.2 wants
   * the path `…/virtio-backend` for a virtio disk, not the device's id). */
  setIoLimits: withArgs(
    'block_set_io_throttle',
    drainMs,
    parseDone,
    ({ id, bps, iops }: IoLimits & { readonly id: string }) => ({
      id,
      bps,
      bps_rd: 0,
      bps_wr: 0,
      iops,
      iops_rd: 0,
      iops_wr: 0,
    }),
  ),
  /** Limits of the throttle-group object `group`, for block nodes of the driver `throttle`. */
  setGroupIoLimits: withArgs(
    'qom-set',
    quickMs,
    parseDone,
    ({ group, bps, iops }: IoLimits & { readonly group: string }) => ({
      path: `/objects/${group}`,
      property: 'limits',
      value: { 'bps-total': bps, 'iops-total': iops },
    }),
  ),
  /** Plugs or pulls the cable of a network card. */
  setLink: withArgs(
    'set_link',
    quickMs,
    parseDone,
    ({ id, up }: { readonly id: string; readonly up: boolean }) => ({ name: id, up }),
  ),
  /** QEMU sends frames with the card's address for the guest, and has the guest announce itself where its driver can. */
  announceSelf: withArgs('announce-self', quickMs, parseDone, ({ id }: { readonly id: string }) => ({
    initial: 50,
    max: 550,
    rounds: 3,
    step: 50,
    interfaces: [id],
    id,
  })),
  /** One line of the human monitor; what it prints is made fit for a terminal. */
  humanMonitor: withArgs(
    'human-monitor-command',
    drainMs,
    parseMonitorOutput,
    ({ line }: { readonly line: string }) => ({ 'command-line': line }),
  ),
} as const;

type Parse<Value> = (value: unknown) => Value | undefined;

export function plain<Value>(name: string, timeoutMs: number, parse: Parse<Value>) {
  return withFixed(name, {}, timeoutMs, parse);
}

export function withFixed<Value>(name: string, fixed: Fields, timeoutMs: number, parse: Parse<Value>) {
  return async (session: QmpSession, options: CommandOptions = {}): Promise<CommandResult<Value>> => {
    const result = await session.execute(name, fixed, { timeoutMs, ...options });
    return result.ok ? readValue(name, result.value, parse) : result;
  };
}

export function withArgs<Args, Value>(
  name: string,
  timeoutMs: number,
  parse: Parse<Value>,
  encode: (args: Args) => Fields,
) {
  return async (
    session: QmpSession,
    args: Args,
    options: CommandOptions = {},
  ): Promise<CommandResult<Value>> => {
    const result = await session.execute(name, encode(args), { timeoutMs, ...options });
    return result.ok ? readValue(name, result.value, parse) : result;
  };
}

function readValue<Value>(name: string, raw: unknown, parse: Parse<Value>): CommandResult<Value> {
  const value = parse(raw);
  if (value !== undefined) return { ok: true, value };
  return {
    ok: false,
    code: 'malformed',
    message: `QEMU's answer to "${name}" does not have the form that it has from QEMU 7.2 on`,
  };
}
