/** The accounts of the system instance: the manager's, and the one that claims the machines' range of uids. */
import { execFileSync } from 'node:child_process';
import { accountNamed, accountOf } from '../linux/accounts.ts';

/** As the broker's policy has it where the administrator says nothing else. */
const range = { account: 'qward-machines', base: 0x7000_0000, count: 65_536 };

/**
 * Makes what is missing, as the package does at installation (useradd(8), usermod(8)); tells what was made.
 * Throws where the tools fail.
 */
export function ensureAccounts(managerUser: string, home: string): string[] {
  const made: string[] = [];
  const common = ['--system', '--user-group', '--no-create-home', '--shell', '/usr/sbin/nologin'];
  if (accountNamed(managerUser) === undefined) {
    run('useradd', [...common, '--home-dir', home, '--comment', 'qward manager', managerUser]);
    made.push(`user ${managerUser}`);
  }
  if (accountNamed(range.account) === undefined && accountOf(range.base) === undefined) {
    const claim = [
      '--add-subuids',
      `${range.base}-${range.base + range.count - 1}`,
      '--add-subgids',
      `${range.base}-${range.base + range.count - 1}`,
    ];
    run('useradd', [
      ...common,
      '--uid',
      String(range.base),
      '--home-dir',
      '/nonexistent',
      '--comment',
      'uids of qward machines',
      range.account,
    ]);
    run('usermod', [...claim, range.account]);
    made.push(`user ${range.account} with uids ${range.base} to ${range.base + range.count - 1}`);
  }
  return made;
}

function run(program: 'useradd' | 'usermod', argv: readonly string[]): void {
  execFileSync(`/usr/sbin/${program}`, argv, { stdio: ['ignore', 'ignore', 'pipe'], timeout: 30_000 });
}
