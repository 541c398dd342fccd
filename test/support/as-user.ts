/** A short program with the rights of another user and no others: setpriv(1) with uid, gid, groups and no capability. */
import { fileURLToPath } from 'node:url';
import { run, type Instance } from './instance.ts';

export interface Ids {
  readonly uid: number;
  readonly gid?: number;
  readonly groups?: readonly number[];
}

/** What became of each attempt: `done`, or the errno's name. */
export type Attempts = Readonly<Record<string, string>>;

/** One thing that a process may try. */
export type Attempt =
  | { readonly try: 'read' | 'list' | 'write' | 'connect'; readonly path: string }
  | { readonly try: 'signal' | 'attach' | 'memory'; readonly pid: number };

export function asUser({ uid, gid = uid, groups = [] }: Ids): string[] {
  return [
    '/usr/bin/setpriv',
    `--reuid=${uid}`,
    `--regid=${gid}`,
    groups.length === 0 ? '--clear-groups' : `--groups=${groups.join(',')}`,
    '--inh-caps=-all',
    '--ambient-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
    '--',
  ];
}

/** Tries each in a process of that user in the host's namespaces. */
export async function attempt(instance: Instance, ids: Ids, attempts: readonly Attempt[]): Promise<Attempts> {
  const [node = '', quiet = '', entry = ''] = instance.program;
  const prober = entry.replace('src/cli/main.ts', 'test/support/attempts.ts');
  const outcome = await run([...asUser(ids), node, quiet, prober], instance.environment, {
    stdin: JSON.stringify(attempts),
  });
  if (outcome.status !== 0) throw new Error(`${fileURLToPath(import.meta.url)}: ${outcome.stderr}`);
  return JSON.parse(outcome.stdout) as Attempts;
}
