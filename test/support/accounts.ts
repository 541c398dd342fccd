/**
 * An instance whose manager sees accounts and groups of a test: its account database is bound over /etc/passwd and
 * /etc/group in a mount namespace of its own. The host's database is not touched.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, startInstance, type Instance } from './instance.ts';

export interface TestAccount {
  readonly name: string;
  readonly uid: number;
  readonly groups?: readonly (keyof typeof groupIds)[];
}

const groupIds = {
  'qward-admin': 910_000_001,
  'qward-operators': 910_000_002,
  kvm: 910_000_003,
  team: 910_000_004,
} as const;

export async function startWithAccounts(accounts: readonly TestAccount[]): Promise<Instance> {
  const instance = await startInstance({ down: true });
  let end = (): Promise<void> => Promise.resolve();
  const dispose = async (): Promise<void> => {
    await instance[Symbol.asyncDispose]();
    await end();
  };
  try {
    const [passwd, group] = [join(instance.directory, 'passwd'), join(instance.directory, 'group')];
    const users = accounts.map(({ name, uid }) => `${name}:x:${uid}:${uid}::/nonexistent:/usr/sbin/nologin`);
    writeFileSync(passwd, ['root:x:0:0:root:/root:/bin/sh', ...users, ''].join('\n'));
    writeGroups(instance, accounts);
    const script = `mount --bind ${passwd} /etc/passwd && mount --bind ${group} /etc/group && echo there && exec cat`;
    // Held by a process of its own: what a daemon mounted must be there for the next one, whichever was killed.
    const keeper = spawn('/usr/bin/unshare', ['--mount', '/bin/sh', '-c', script], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    end = async () => {
      if (keeper.exitCode !== null) return;
      keeper.stdin.end();
      await once(keeper, 'exit');
    };
    await once(keeper.stdout, 'data');
    const up = async (): Promise<void> => {
      const inNamespace = ['/usr/bin/nsenter', `--mount=/proc/${keeper.pid}/ns/mnt`];
      const words = [...inNamespace, ...instance.program, 'host', 'up', ...instance.hostFlags];
      const outcome = await run(words, instance.environment);
      if (outcome.status !== 0) throw new Error(`qward host up: ${outcome.stderr}${outcome.stdout}`);
    };
    await up();
    return { ...instance, up, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** Who is in which group from now on: the file is written in place, where it is bound. */
export function writeGroups({ directory }: Instance, accounts: readonly TestAccount[]): void {
  const groups = Object.entries(groupIds).map(([name, gid]) => {
    const members = accounts.filter((account) => account.groups?.some((one) => one === name));
    return `${name}:x:${gid}:${members.map((member) => member.name).join(',')}`;
  });
  writeFileSync(join(directory, 'group'), ['root:x:0:', ...groups, ''].join('\n'));
}

export const groupIdsOfTests: Readonly<Record<string, number>> = groupIds;

/** A home that is closed to all others. */
export function closedHome({ directory }: Instance, user: string, uid: number): string {
  const path = join(directory, 'home', user);
  mkdirSync(path, { recursive: true });
  chownSync(path, uid, uid);
  chmodSync(path, 0o700);
  return path;
}
