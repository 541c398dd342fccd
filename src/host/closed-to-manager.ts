/** Whether the manager's user can reach the program: a checkout below a home that is closed to others cannot run as it is. */
import { spawnSync } from 'node:child_process';
import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { programOf } from '../linux/daemon-program.ts';
import { asManager } from './daemons.ts';
import type { HostSite } from './site.ts';

const deadlineMs = 5_000;

/** Asked as the manager's user itself, so that groups, ACLs and mount options count as they will. Prints the first that fails. */
const script = `for path; do
  if [ -d "$path" ]; then test -x "$path"; else test -r "$path"; fi || { printf %s "$path"; exit; }
done`;

/** The first directory or file on the way that is closed, with the cure; undefined where the manager can run. */
export function closedToManager(
  site: HostSite,
  files: readonly string[] = [process.execPath, programOf('manager')],
): { readonly message: string; readonly hint: string } | undefined {
  const ways = files.map((file) => realpathSync(file)).flatMap((file) => [...directoriesTo(file), file]);
  const [program = '', ...argv] = [...asManager(site), '/bin/sh', '-c', script, 'sh', ...ways];
  const asked = spawnSync(program, argv, { encoding: 'utf8', cwd: '/', timeout: deadlineMs });
  if (asked.status !== 0 || asked.stdout === '') return undefined;
  const mode = (statSync(asked.stdout).mode & 0o7777).toString(8).padStart(4, '0');
  return {
    message:
      `qward lies at ${dirname(files.at(-1) ?? '')}, and the manager, which is not root but uid ${site.managerUid}, ` +
      `cannot read it there: ${asked.stdout} has mode ${mode}`,
    hint: 'move the checkout to where every user may read it, such as /opt/qward or /srv/qward',
  };
}

/** From the top down. */
function directoriesTo(file: string): string[] {
  const directory = dirname(file);
  return directory === '/' ? [directory] : [...directoriesTo(directory), directory];
}
