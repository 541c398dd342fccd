/** Whether what comes from another host reaches for more of this one than what its owner defined here. Pure. */
import { definitionText } from '../../definition/format-full.ts';
import type { Fault } from '../../definition/fault.ts';
import { claimableFiles } from '../../definition/named-files.ts';
import { relaxationsOf } from '../../definition/relaxations.ts';
import type { MachineDefinition } from '../../definition/schema.ts';

/** What stands beneath these is of the host, or says what the process may use of it. */
const parts = [
  'nics',
  'hooks',
  'qemu',
  'confinement',
  'limits',
  'hostDevices',
  'shares',
  'serials',
  'channels',
  'sound',
  'vsock',
  'onAuditFailure',
] as const satisfies readonly (keyof MachineDefinition)[];

/**
 * SECURITY: promise 6. The other manager says what runs, which may be older than the definition, and may be a lie:
 * files, networks, hooks and relaxations are those that were defined here. Every reason at once.
 */
export function beyondDefined(offered: MachineDefinition, defined: MachineDefinition): readonly Fault[] {
  const files = new Map(claimableFiles(defined).map(({ path, access }) => [path, access]));
  const walls = new Set(relaxationsOf(defined).map(nameOf));
  const more = [
    ...claimableFiles(offered).flatMap(({ path, access }) => {
      const has = files.get(path);
      return has === 'rw' || has === access ? [] : [`"${path}" (${access})`];
    }),
    ...relaxationsOf(offered)
      .map(nameOf)
      .filter((name) => !walls.has(name)),
    ...parts.filter((part) => JSON.stringify(offered[part]) !== JSON.stringify(defined[part])),
  ];
  return [...new Set(more)].map((what) => ({
    code: 'migration-failed',
    message: `what runs has other things than the definition of the machine on the other host: ${what}`,
    hint: 'set the definition back to what runs, or start the machine anew, and move it then',
  }));
}

const nameOf = ({ relax, to, access }: ReturnType<typeof relaxationsOf>[number]): string =>
  [relax, to, ...(access === undefined ? [] : [access])].join(' ');

/** Whether both are the same, however they were written. */
export const isDefined = (offered: MachineDefinition, defined: MachineDefinition): boolean =>
  definitionText(offered) === definitionText(defined);
