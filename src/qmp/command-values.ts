/** What QEMU's answers to our commands say, as far as the manager needs it. Undefined: not as QEMU's schema promises. */
import { maxLineBytes, maxNameLength, maxTextLength } from './limits.ts';
import { printable } from './printable.ts';
import { memberOf, parseCount, parseFields, parseFlag, parseList, parseText } from './shape.ts';

/** States of QEMU (qapi/run-state.json) from 7.2 on. */
const runStates = [
  'colo',
  'debug',
  'finish-migrate',
  'guest-panicked',
  'inmigrate',
  'internal-error',
  'io-error',
  'paused',
  'postmigrate',
  'prelaunch',
  'restore-vm',
  'running',
  'save-vm',
  'shutdown',
  'suspended',
  'watchdog',
] as const;

export interface RunStatus {
  readonly status: (typeof runStates)[number];
  /** Whether the virtual CPUs run. */
  readonly running: boolean;
}

export interface DescriptorSet {
  readonly id: number;
  /** Numbers of the descriptors in QEMU. */
  readonly descriptors: readonly number[];
}

/** A drive that the guest sees. */
export interface Drive {
  /** Id or path of the device in QEMU; empty where there is none. */
  readonly device: string;
  /** The block node in it; null: no medium. */
  readonly nodeName: string | null;
  readonly readonly: boolean;
  /** Size that the guest sees, bytes; null: no medium, or QEMU does not tell. */
  readonly size: number | null;
  /** Whether it takes discs; then whether its tray is out, and whether the guest keeps it in. */
  readonly tray: boolean;
  readonly trayOpen: boolean;
  readonly locked: boolean;
  /** `ok`, `failed` or `nospace`; null where the device does not say. */
  readonly ioStatus: string | null;
}

/** How far a migration is; states of QEMU (qapi/migration.json) that differ in nothing for us are one. */
export interface Migration {
  readonly status: 'none' | 'active' | 'completed' | 'failed';
  /** Bytes of memory; 0: not told. */
  readonly total: number;
  readonly remaining: number;
  /** Why it failed, fit for a terminal; empty where QEMU does not say. */
  readonly error: string;
  /** How long the guest stood still; 0: not told. */
  readonly downtimeMs: number;
  /** Why QEMU would not begin one, fit for a terminal. */
  readonly blocked: readonly string[];
}

const migrationStates: Readonly<Record<string, Migration['status']>> = {
  none: 'none',
  setup: 'active',
  active: 'active',
  device: 'active',
  'wait-unplug': 'active',
  cancelling: 'active',
  cancelled: 'failed',
  failed: 'failed',
  completed: 'completed',
};

export function parseMigration(value: unknown): Migration | undefined {
  const fields = parseFields(value);
  if (fields === undefined) return undefined;
  const name = parseText(memberOf(fields, 'status') ?? 'none', maxNameLength);
  const ram = parseFields(memberOf(fields, 'ram'));
  const error = parseText(memberOf(fields, 'error-desc') ?? '', maxTextLength);
  const total = parseCount(memberOf(ram, 'total') ?? 0);
  const remaining = parseCount(memberOf(ram, 'remaining') ?? 0);
  if (name === undefined || !Object.hasOwn(migrationStates, name)) return undefined;
  const status = migrationStates[name];
  const downtimeMs = parseCount(memberOf(fields, 'downtime') ?? 0);
  const blocked = parseList(memberOf(fields, 'blocked-reasons') ?? [], (reason) =>
    parseText(reason, maxTextLength),
  );
  if (status === undefined || error === undefined || total === undefined || remaining === undefined)
    return undefined;
  if (downtimeMs === undefined || blocked === undefined) return undefined;
  return {
    status,
    total,
    remaining,
    error: printable(error, maxTextLength),
    downtimeMs,
    blocked: blocked.map((reason) => printable(reason, maxTextLength)),
  };
}

/** The answer of a command that only does something. */
export function parseDone(value: unknown): true | undefined {
  return parseFields(value) === undefined ? undefined : true;
}

export function parseRunStatus(value: unknown): RunStatus | undefined {
  const fields = parseFields(value);
  const status = runStates.find((state) => state === memberOf(fields, 'status'));
  const running = parseFlag(memberOf(fields, 'running'));
  return status === undefined || running === undefined ? undefined : { status, running };
}

export function parseDescriptorSets(value: unknown): readonly DescriptorSet[] | undefined {
  return parseList(value, (item) => {
    const fields = parseFields(item);
    const id = parseCount(memberOf(fields, 'fdset-id'));
    const descriptors = parseList(memberOf(fields, 'fds'), (entry) =>
      parseCount(memberOf(parseFields(entry), 'fd')),
    );
    return id === undefined || descriptors === undefined ? undefined : { id, descriptors };
  });
}

/** The set that a descriptor was put into. */
export function parseAddedDescriptor(value: unknown): number | undefined {
  return parseCount(memberOf(parseFields(value), 'fdset-id'));
}

export function parseDrives(value: unknown): readonly Drive[] | undefined {
  return parseList(value, parseDrive);
}

export function parseVcpuCount(value: unknown): number | undefined {
  return parseList(value, (item) => parseCount(memberOf(parseFields(item), 'cpu-index')))?.length;
}

export function parseNodeNames(value: unknown): readonly string[] | undefined {
  return parseList(value, (item) => parseText(memberOf(parseFields(item), 'node-name'), maxNameLength));
}

/** What the guest did with a drive since the start. */
export interface DriveCounters {
  /** As in `Drive`. */
  readonly device: string;
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly reads: number;
  readonly writes: number;
  readonly flushes: number;
}

export function parseBlockStats(value: unknown): readonly DriveCounters[] | undefined {
  return parseList(value, (item) => {
    const fields = parseFields(item);
    const device = parseText(memberOf(fields, 'qdev') ?? memberOf(fields, 'device') ?? '', maxNameLength);
    const stats = parseFields(memberOf(fields, 'stats'));
    const count = (name: string): number | undefined => parseCount(memberOf(stats, name));
    const [readBytes, writtenBytes] = [count('rd_bytes'), count('wr_bytes')];
    const [reads, writes] = [count('rd_operations'), count('wr_operations')];
    const flushes = count('flush_operations');
    if (device === undefined || readBytes === undefined || writtenBytes === undefined) return undefined;
    if (reads === undefined || writes === undefined || flushes === undefined) return undefined;
    return { device, readBytes, writtenBytes, reads, writes, flushes };
  });
}

export function parseBalloon(value: unknown): number | undefined {
  return parseCount(memberOf(parseFields(value), 'actual'));
}

/** What an object of QEMU's has below it. */
export function parseMemberNames(value: unknown): readonly string[] | undefined {
  return parseList(value, (item) => parseText(memberOf(parseFields(item), 'name'), maxNameLength));
}

/** Output of the human monitor, fit for a terminal. */
export function parseMonitorOutput(value: unknown): string | undefined {
  const output = parseText(value, maxLineBytes);
  return output === undefined ? undefined : printable(output, maxLineBytes);
}

function parseDrive(value: unknown): Drive | undefined {
  const fields = parseFields(value);
  const device = parseText(memberOf(fields, 'qdev') ?? memberOf(fields, 'device'), maxNameLength);
  const ioStatus = parseText(memberOf(fields, 'io-status') ?? '', maxNameLength);
  if (device === undefined || ioStatus === undefined) return undefined;
  const isSet = (name: string): boolean => memberOf(fields, name) === true;
  const drive = {
    device,
    tray: typeof memberOf(fields, 'tray_open') === 'boolean',
    trayOpen: isSet('tray_open'),
    locked: isSet('locked'),
    ioStatus: ioStatus === '' ? null : ioStatus,
  };
  const inserted = memberOf(fields, 'inserted');
  if (inserted === undefined) return { ...drive, nodeName: null, readonly: false, size: null };
  const nodeName = parseText(memberOf(parseFields(inserted), 'node-name'), maxNameLength);
  const readonly = parseFlag(memberOf(parseFields(inserted), 'ro'));
  if (nodeName === undefined || readonly === undefined) return undefined;
  const image = parseFields(memberOf(parseFields(inserted), 'image'));
  const size = parseCount(memberOf(image, 'virtual-size')) ?? null;
  return { ...drive, nodeName, readonly, size };
}
