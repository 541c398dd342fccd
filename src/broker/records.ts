/**
 * The launch records: one file a machine, written before anything is made for it and removed after all of it is gone,
 * so that a broker that starts later knows what to clear away. They lie on /run: a reboot forgets them with the rest.
 */
import { readdirSync, rmSync } from 'node:fs';
import { machineNamePattern, type LaunchRequest, type SocketName } from '../protocol/launch.ts';
import { readJson, writeWhole } from './files.ts';

export interface LaunchRecord {
  readonly version: 1;
  readonly machine: string;
  /** launching: made by a request that has not finished; whoever finds it without a broker at work sweeps it. */
  readonly phase: 'launching' | 'running';
  readonly uid: number;
  readonly cgroup: string;
  readonly runtime: 'crun' | 'runc';
  /** 0 while launching. */
  readonly pid: number;
  readonly startTime: number;
  readonly sockets: Readonly<Partial<Record<SocketName, string>>>;
  readonly log: string;
  readonly launchedAt: string;
  readonly launch: LaunchRequest;
}

export interface Records {
  readonly read: (machine: string) => LaunchRecord | undefined;
  readonly write: (record: LaunchRecord) => void;
  readonly remove: (machine: string) => void;
  readonly list: () => LaunchRecord[];
}

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
  };
}

function machinesIn(directory: string): string[] {
  return readdirSync(directory)
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .filter((name) => machineNamePattern.test(name));
}

function isRecord(value: unknown): value is LaunchRecord {
  return (
    typeof value === 'object' &&
    value !== null &&
    'version' in value &&
    value.version === 1 &&
    'machine' in value &&
    'launch' in value
  );
}
