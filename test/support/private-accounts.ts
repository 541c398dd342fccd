/**
 * Accounts of a test's own for this very process and those that it starts: an account database bound over /etc/passwd and
 * /etc/group in a mount namespace of the main thread's own, which ends with the process. The host's is not touched.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { checked, syscall } from '../../src/linux/libc.ts';

const SYS_unshare = 272;
const CLONE_NEWNS = 0x20000;

export interface PrivateAccount {
  readonly name: string;
  readonly uid: number;
  readonly groups?: readonly string[];
}

/** `groups`: gid by name. Each account has a group of its own name and number beside them. */
export function bindAccounts(
  accounts: readonly PrivateAccount[],
  groups: Readonly<Record<string, number>> = {},
): void {
  checked(syscall(SYS_unshare, [CLONE_NEWNS]), 'unshare', 'mount namespace');
  execFileSync('mount', ['--make-rprivate', '/']);
  const directory = mkdtempSync('/tmp/qward-accounts-');
  const own = accounts.map(({ name, uid }) => `${name}:x:${uid}:`);
  const shared = Object.entries(groups).map(([name, gid]) => {
    const members = accounts.filter((account) => account.groups?.includes(name));
    return `${name}:x:${gid}:${members.map((member) => member.name).join(',')}`;
  });
  const users = accounts.map(({ name, uid }) => `${name}:x:${uid}:${uid}::/nonexistent:/usr/sbin/nologin`);
  const files = {
    passwd: ['root:x:0:0:root:/root:/bin/sh', ...users, ''],
    group: ['root:x:0:', ...own, ...shared, ''],
  };
  for (const [name, lines] of Object.entries(files)) {
    writeFileSync(`${directory}/${name}`, lines.join('\n'), { mode: 0o644 });
    execFileSync('mount', ['--bind', `${directory}/${name}`, `/etc/${name}`]);
  }
  // What is bound stays.
  rmSync(directory, { recursive: true });
}
