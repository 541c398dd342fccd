/** Which machines are started with the host: root's own file. Only administrators add to it, over connections of their own. */
import type { Autostart } from '../protocol/broker.ts';
import { machineNamePattern } from '../protocol/launch.ts';
import { openRegisterFile, renamed, type UnusableState } from './state.ts';

export interface AutostartRegister {
  readonly list: () => readonly Autostart[];
  /** False where it was enabled already. */
  readonly enable: (machine: string, by: number) => boolean;
  /** False where it was not enabled. */
  readonly disable: (machine: string) => boolean;
  readonly rename: (machine: string, to: string) => void;
  /** For the status: while there is one, nothing is started with the host. */
  readonly fault: () => UnusableState | undefined;
  /** Throws where nothing can be changed. */
  readonly check: () => void;
}

export function openAutostart(path: string, now: () => Date): AutostartRegister {
  const form = {
    key: 'autostart',
    parse: (content: unknown) => (Array.isArray(content) && content.every(isAutostart) ? content : undefined),
    cure: 'then enable again what is to start with the host (qward autostart on)',
  };
  const { look, change, fault, check } = openRegisterFile<readonly Autostart[]>(path, form, []);
  return {
    list: look,
    enable: (machine, by) =>
      change((entries) =>
        entries.some((entry) => entry.machine === machine)
          ? entries
          : [...entries, { machine, by, at: now().toISOString() }],
      ),
    disable: (machine) => change((entries) => entries.filter((entry) => entry.machine !== machine)),
    rename: (machine, to) => void change((entries) => renamed(entries, machine, to)),
    fault,
    check,
  };
}

function isAutostart(value: unknown): value is Autostart {
  const field = (name: string): unknown => Reflect.get(Object(value), name);
  return (
    machineNamePattern.test(String(field('machine'))) &&
    Number.isSafeInteger(field('by')) &&
    ['machine', 'at'].every((name) => typeof field(name) === 'string')
  );
}
