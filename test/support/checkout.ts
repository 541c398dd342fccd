/** This checkout at a path that any user can reach: the manager runs its sources as a user of its own. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { patienceMs } from './patience.ts';

export const checkout = resolve(import.meta.dirname, '../..');

function reachable(directory: string): boolean {
  const open = (statSync(directory).mode & 0o001) !== 0;
  return open && (directory === '/' || reachable(dirname(directory)));
}

/**
 * The checkout itself, or a bind mount of it below `directory` where a parent shuts others out (a home directory of
 * mode 0700). The mount is undone by removeExposedCheckout.
 */
export function exposeCheckout(directory: string): string {
  if (reachable(checkout)) return checkout;
  const target = join(directory, 'checkout');
  mkdirSync(target);
  execFileSync('mount', ['--bind', checkout, target], { timeout: patienceMs });
  return target;
}

export function removeExposedCheckout(directory: string): void {
  const target = join(directory, 'checkout');
  try {
    execFileSync('umount', ['--lazy', target], { timeout: patienceMs, stdio: 'ignore' });
    rmdirSync(target);
  } catch {
    // There was none.
  }
}
