/** Which machines are started with the host: root's own file. Only administrators add to it, over connections of their own. */
import type { Autostart } from '../protocol/broker.ts';
import { machineNamePattern } from '../protocol/launch.ts';
import { readJson, writeWhole } from './files.ts';

export interface AutostartRegister {
  readonly list: () => readonly Autostart[];
  /** False where it was enabled already. */
  readonly enable: (machine: string, by: number) => boolean;
  /** False where it was not enabled. */
  readonly disable: (machine: string) => boolean;
  readonly rename: (machine: string, to: string) => void;
  /** For the status: the file is there and cannot be read; nothing is started with the host, and root removes it. */
  readonly damaged: () => boolean;
}

/** A file that cannot be read counts as empty, and is kept as it is until root removes it. */
export class DamagedAutostart extends Error {
  readonly cure: string;
  constructor(file: string) {
    super(`the list of what starts with the host, ${file}, cannot be read`);
    this.name = 'DamagedAutostart';
    this.cure = `root removes it (rm ${file}); then enable again what is to start with the host (qward autostart on)`;
  }
}

export function openAutostart(file: string, now: () => Date): AutostartRegister {
  const read = (): readonly Autostart[] | undefined => {
    const value = readJson(file);
    if (value === undefined) return [];
    return Array.isArray(value) && value.every(isAutostart) ? value : undefined;
  };
  const change = (work: (entries: readonly Autostart[]) => readonly Autostart[]): boolean => {
    const before = read();
    if (before === undefined) throw new DamagedAutostart(file);
    const after = work(before);
    const changed = JSON.stringify(after) !== JSON.stringify(before);
    if (changed) writeWhole(file, `${JSON.stringify(after, null, 2)}\n`, true);
    return changed;
  };
  return {
    list: () => read() ?? [],
    enable: (machine, by) =>
      change((entries) =>
        entries.some((entry) => entry.machine === machine)
          ? entries
          : [...entries, { machine, by, at: now().toISOString() }],
      ),
    disable: (machine) => change((entries) => entries.filter((entry) => entry.machine !== machine)),
    rename: (machine, to) =>
      void change((entries) =>
        entries
          .filter((entry) => entry.machine !== to)
          .map((entry) => (entry.machine === machine ? { ...entry, machine: to } : entry)),
      ),
    damaged: () => read() === undefined,
  };
}

function isAutostart(value: unknown): value is Autostart {
  const field = (name: string): unknown => Reflect.get(Object(value), name);
  return (
    machineNamePattern.test(String(field('machine'))) &&
    Number.isSafeInteger(field('by')) &&
    typeof field('at') === 'string'
  );
}
