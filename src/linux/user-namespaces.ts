/** Whether this host lets users make user namespaces (user_namespaces(7), /proc/sys/user). */
import { readFileSync } from 'node:fs';
import { unlessMissing } from './errno.ts';

interface Switch {
  readonly path: string;
  readonly off: string;
  readonly cure: string;
}

/** The kernel's own bound, and what Debian's kernels had beside it. */
const switches: readonly Switch[] = [
  {
    path: '/proc/sys/user/max_user_namespaces',
    off: '0',
    cure: 'sysctl user.max_user_namespaces=15000',
  },
  {
    path: '/proc/sys/kernel/unprivileged_userns_clone',
    off: '0',
    cure: 'sysctl kernel.unprivileged_userns_clone=1',
  },
];

/** Forbids them to programs without a profile, and no others. */
const byAppArmor: Switch = {
  path: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
  off: '1',
  cure: 'sysctl kernel.apparmor_restrict_unprivileged_userns=0',
};

/** Undefined where nothing is known that forbids them. `none`: it was seen that none can be made. */
export function userNamespaceFault(
  none = false,
): { readonly message: string; readonly hint: string } | undefined {
  const found = [...switches, ...(none ? [byAppArmor] : [])].find(
    ({ path, off }) => unlessMissing(() => readFileSync(path, 'utf8').trim()) === off,
  );
  if (found === undefined) return undefined;
  return {
    message: `this host lets no user make a user namespace (${found.path} is ${found.off})`,
    hint: `as root: ${found.cure}, or use the system instance (--system)`,
  };
}
