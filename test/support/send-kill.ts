/** Ends one process of a test by its pid. */
import assert from 'node:assert/strict';

/** A pid that is missing is a fault of the test: 0 would be the test itself and all that it runs in (kill(2)). */
export function sendKill(pid: number | null | undefined): void {
  assert.ok(typeof pid === 'number' && pid > 1, `there is no process to end: ${String(pid)}`);
  process.kill(pid, 'SIGKILL');
}
