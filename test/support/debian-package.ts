/** Packages of Debian's that are downloaded to be unpacked, and not installed. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const limitMs = 5 * 60_000;

/** Standard output of a program that must succeed. */
export function run(program: string, args: readonly string[], cwd: string): string {
  return execFileSync(program, args, {
    cwd,
    encoding: 'utf8',
    timeout: limitMs,
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, LC_ALL: 'C' },
  });
}

/** Puts the package into a directory that has no other, and gives the name of its file. Throws with apt's words. */
export function downloadPackage(name: string, directory: string): string {
  const args = ['--quiet', '-o', 'APT::Sandbox::User=root', 'download', name];
  try {
    run('apt-get', args, directory);
  } catch {
    // The lists may be older than what the archive still has, or not there.
    run('apt-get', ['update', '--quiet'], directory);
    run('apt-get', args, directory);
  }
  const file = readdirSync(directory).find((entry) => entry.endsWith('.deb'));
  if (file === undefined) throw new Error(`apt-get download ${name} left no package`);
  return file;
}
