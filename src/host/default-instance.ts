/** Which instance is meant where nobody says: /etc/qward/instances.json, the administrator's. Never found out by trying. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { instancesFile } from '../protocol/paths.ts';
import { list, oneOf, record, text, ValueFaults, type Parse } from '../protocol/values.ts';

export type InstanceName = 'system' | 'session';

export interface Instances {
  /** Who means the system instance; root always does. */
  readonly system: { readonly users: readonly string[]; readonly groups: readonly string[] };
  /** What all others mean. */
  readonly others: InstanceName;
}

const name = text(64, /^[A-Za-z0-9_.][A-Za-z0-9_.@-]*\$?$/, 'a name of a user or group');
const names = list(1000, name);
const nobody: Instances['system'] = { users: [], groups: [] };

const parse: Parse<Instances> = record<Instances>(
  {
    system: record<Instances['system']>({ users: names, groups: names }, nobody),
    others: oneOf(['system', 'session']),
  },
  { system: nobody },
);

export interface Whoever {
  readonly uid: number;
  /** Asked only where the file names any. */
  readonly user: () => string;
  readonly groups: () => readonly string[];
}

/** Without the file everybody means the system instance. Throws with the fault and the cure. */
export function defaultInstance(who: Whoever, content: string | undefined): InstanceName {
  if (who.uid === 0 || content === undefined) return 'system';
  const { system, others } = parseInstances(content);
  if (others === 'system') return 'system';
  if (system.users.length > 0 && system.users.includes(who.user())) return 'system';
  if (system.groups.length === 0) return others;
  const own = new Set(who.groups());
  return system.groups.some((group) => own.has(group)) ? 'system' : others;
}

function parseInstances(content: string): Instances {
  try {
    return parse(JSON.parse(content), '');
  } catch (error) {
    const what =
      error instanceof ValueFaults
        ? error.faults.map(({ key, message }) => `${key}: ${message}`).join('; ')
        : 'it is no JSON';
    throw new Error(`${instancesFile}: ${what}; mend it, or say --system or --session`, { cause: error });
  }
}

/** Of whoever calls. */
export function readDefaultInstance(): InstanceName {
  const id = (option: string): string => execFileSync('/usr/bin/id', [option], { encoding: 'utf8' }).trim();
  return defaultInstance(
    { uid: process.getuid?.() ?? -1, user: () => id('-un'), groups: () => id('-Gn').split(' ') },
    readFileSync(instancesFile, 'utf8'),
  );
}
