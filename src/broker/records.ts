/**
 * The launch records: one file a machine, written before anything is made for it and removed after all of it is gone,
 * so that a broker that starts later knows what to clear away. They lie on /run: a reboot forgets them with the rest.
 */
import type { JailIds } from './means.ts';
import { readdirSync, rmSync } from 'node:fs';
import type { LaunchedMachine } from '../protocol/broker.ts';
import { machineNamePattern, type LaunchRequest, type SocketName } from '../protocol/launch.ts';
import { helperJobPattern } from '../protocol/side-servers.ts';
import type { TakenDevices } from './pci-devices.ts';
import { readJson, writeWhole } from './files.ts';
import { newerThan, versionOf } from './state.ts';

export interface LaunchRecord {
  /** What is read of a newer qward's record keeps its meaning; see `damaged`. */
  readonly version: number;
  readonly machine: string;
  /** launching: made by a request that has not finished; whoever finds it without a broker at work sweeps it. */
  readonly phase: 'launching' | 'running';
  readonly uid: number;
  /** Absent in records of before there were sessions: the uid. */
  readonly gid?: number;
  readonly rootless?: JailIds['rootless'];
  readonly cgroup: string;
  readonly runtime: 'crun' | 'runc';
  readonly label?: string;
  /** 0 while launching. */
  readonly pid: number;
  readonly startTime: number;
  readonly sockets: Readonly<Partial<Record<SocketName, string>>>;
  readonly log: string;
  readonly launchedAt: string;
  /** Empty while launching. */
  readonly files: LaunchedMachine['files'];
  /** PCI devices that it has, by address. */
  readonly pci?: TakenDevices;
  readonly deviceNumbers?: LaunchedMachine['deviceNumbers'];
  readonly launch: LaunchRequest;
  /** Managed networks in which it was given cards since. */
  readonly joined?: readonly string[];
}

export interface Records {
  readonly read: (machine: string) => LaunchRecord | undefined;
  readonly write: (record: LaunchRecord) => void;
  readonly remove: (machine: string) => void;
  readonly list: () => LaunchRecord[];
  /** Of network helpers. */
  readonly helpers: () => LaunchRecord[];
  /** Those that cannot be read, or only in part: a newer qward wrote them. */
  readonly damaged: () => DamagedRecord[];
}

export interface DamagedRecord {
  readonly path: string;
  readonly machine: string;
  readonly reason: string;
  /** Whether the machine can be seen and ended as any other. */
  readonly known: boolean;
}

export const recordVersion = 1;

export function openRecords(directory: string): Records {
  const fileOf = (machine: string): string => `${directory}/${machine}.json`;
  const read = (machine: string): LaunchRecord | undefined => {
    const value = readJson(fileOf(machine));
    // Only root writes in this directory: the shape is what `write` wrote, or the file was cut short.
    return isRecord(value) && value.machine === machine ? value : undefined;
  };
  return {
    read,
    write: (record) => writeWhole(fileOf(record.machine), JSON.stringify(record), false),
    remove: (machine) => rmSync(fileOf(machine), { force: true }),
    list: () => machinesIn(directory).flatMap((machine) => read(machine) ?? []),
    helpers: () =>
      machinesIn(directory)
        .filter((machine) => helperJobPattern.test(machine))
        .flatMap((machine) => read(machine) ?? []),
    damaged: () =>
      machinesIn(directory).flatMap((machine) => {
        const [path, record] = [fileOf(machine), read(machine)];
        if (record?.version === recordVersion) return [];
        const found = versionOf(readJson(path));
        const reason = found > recordVersion ? newerThan(found, recordVersion) : 'cannot be read';
        return [{ machine, path, reason, known: record !== undefined }];
      }),
  };
}

function machinesIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .filter((name) => machineNamePattern.test(name));
}

/** Enough to tell a record that is whole: it is written in one piece, and only cut or spoilt from outside. */
function isRecord(value: unknown): value is LaunchRecord {
  if (typeof value !== 'object' || value === null) return false;
  const field = (name: string): unknown => Reflect.get(value, name);
  return (
    versionOf(value) === field('version') &&
    ['launching', 'running'].includes(String(field('phase'))) &&
    ['uid', 'pid', 'startTime'].every((name) => Number.isSafeInteger(field(name))) &&
    ['machine', 'cgroup', 'log', 'launchedAt'].every((name) => typeof field(name) === 'string') &&
    ['sockets', 'files', 'launch'].every((name) => typeof field(name) === 'object' && field(name) !== null)
  );
}
