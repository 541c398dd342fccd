/**
 * An instance whose manager sees accounts and groups of a test: its account database is bound over /etc/passwd and
 * /etc/group in a mount namespace of its own. The host's database is not touched.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, startInstance, type Instance } from './instance.ts';

export interface TestAccount {
  readonly name: string;
  readonly uid: number;
  readonly groups?: readonly ('qward-admin' | 'qward-operators')[];
}

const groupIds = { 'qward-admin': 910_000_001, 'qward-operators': 910_000_002 } as const;

export async function startWithAccounts(accounts: readonly TestAccount[]): Promise<Instance> {
  const instance = await startInstance({ down: true });
  try {
    const [passwd, group] = [join(instance.directory, 'passwd'), join(instance.directory, 'group')];
    const users = accounts.map(({ name, uid }) => `${name}:x:${uid}:${uid}::/nonexistent:/usr/sbin/nologin`);
    const groups = Object.entries(groupIds).map(([name, gid]) => {
      const members = accounts.filter((account) => account.groups?.some((one) => one === name));
      return `${name}:x:${gid}:${members.map((member) => member.name).join(',')}`;
    });
    writeFileSync(passwd, ['root:x:0:0:root:/root:/bin/sh', ...users, ''].join('\n'));
    writeFileSync(group, ['root:x:0:', ...groups, ''].join('\n'));
    const script = `mount --bind ${passwd} /etc/passwd && mount --bind ${group} /etc/group && exec "$@"`;
    const inNamespace = ['/usr/bin/unshare', '--mount', '/bin/sh', '-c', script, 'sh'];
    const up = [...inNamespace, ...instance.program, 'host', 'up', ...instance.hostFlags];
    const outcome = await run(up, instance.environment);
    if (outcome.status !== 0) throw new Error(`qward host up: ${outcome.stderr}${outcome.stdout}`);
    return instance;
  } catch (error) {
    await instance[Symbol.asyncDispose]();
    throw error;
  }
}

export const groupIdsOfTests: Readonly<Record<string, number>> = groupIds;
