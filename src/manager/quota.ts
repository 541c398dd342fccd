/** Quotas: the most that the machines of one owner may have together. Pure. */
import type { Fault } from '../definition/fault.ts';
import type { Policy, Quota } from '../policy/policy.ts';
import { isOneOf, type Person } from '../policy/who.ts';

/** What machines have together; sizes in bytes. */
export interface Use {
  readonly machines: number;
  readonly cpus: number;
  readonly memory: number;
  /** Virtual sizes of writable disks, as far as they are known. */
  readonly disk: number;
}

export interface AppliedQuota {
  /** Its key in the policy: `quotas[0]`. */
  readonly rule: string;
  readonly quota: Quota;
}

export const noUse: Use = { machines: 0, cpus: 0, memory: 0, disk: 0 };

/** The first quota that names the user. */
export function quotaFor(quotas: Policy['quotas'], person: Person): AppliedQuota | undefined {
  const index = quotas.findIndex(({ who }) => isOneOf(who, person));
  const quota = quotas[index];
  return quota === undefined ? undefined : { rule: `quotas[${index}]`, quota };
}

export function sumOf(uses: readonly Use[]): Use {
  return uses.reduce(
    (sum, use) => ({
      machines: sum.machines + use.machines,
      cpus: sum.cpus + use.cpus,
      memory: sum.memory + use.memory,
      disk: sum.disk + use.disk,
    }),
    noUse,
  );
}

/** The most of each. */
export function mostOf(uses: readonly Use[]): Use {
  return uses.reduce(
    (most, use) => ({
      machines: Math.max(most.machines, use.machines),
      cpus: Math.max(most.cpus, use.cpus),
      memory: Math.max(most.memory, use.memory),
      disk: Math.max(most.disk, use.disk),
    }),
    noUse,
  );
}

const bounded = ['machines', 'cpus', 'memory', 'disk'] as const;

/**
 * A fault for each bound that `needed` is above and `before` was below or less above: what makes it better is allowed also
 * where it is not good yet, after the quota was lowered.
 */
export function quotaFaults(
  user: string,
  { rule, quota }: AppliedQuota,
  { before, needed }: { readonly before: Use; readonly needed: Use },
): readonly Fault[] {
  return bounded.flatMap((key) => {
    const limit = quota[key];
    if (limit === null || needed[key] <= limit || needed[key] <= before[key]) return [];
    return [
      {
        code: 'policy-refused',
        message:
          `the quota of user ${user} is ${amount(key, limit)}; ` +
          `${amount(key, before[key])} are used, and ${amount(key, needed[key])} would be needed`,
        hint: `lower what other machines have, or ask the administrator to raise ${rule}.${key} in the policy`,
        rule,
      },
    ];
  });
}

function amount(key: (typeof bounded)[number], value: number): string {
  switch (key) {
    case 'machines':
      return `${value} machines`;
    case 'cpus':
      return `${value} virtual CPUs`;
    case 'memory':
      return `${mebibytes(value)} of memory`;
    case 'disk':
      return `${mebibytes(value)} of disks`;
  }
}

const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 1024 ** 2)} MiB`;
