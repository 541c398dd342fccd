/**
 * A descriptor of one's own file through which it cannot be written, not even when it is opened again at /proc/self/fd/N: of a
 * read-only bind of the file, made in a mount namespace that a child unshares and that goes with it (mount_namespaces(7)).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, constants, fstatSync, openSync } from 'node:fs';
import type { OpenFile } from '../../linux/descriptors.ts';
import { errorCode } from '../../linux/errno.ts';

const deadlineMs = 5000;
/** $1 is the path; it waits until it has been looked at. */
const script = 'mount --no-mtab --bind -o ro,nosuid,nodev,noexec -- "$1" "$1" && echo there && exec cat';

/** `opened` is the same file, open; the caller closes it. Throws an error where it cannot be done. */
export async function openReadOnlyByMount(path: string, opened: OpenFile): Promise<number> {
  const words = ['--user', '--map-root-user', '--mount', '--', '/bin/sh', '-c', script, 'sh', path];
  const child = spawn('/usr/bin/unshare', words, {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: '/usr/bin:/bin' },
    timeout: deadlineMs,
    killSignal: 'SIGKILL',
  });
  const said: Buffer[] = [];
  child.stderr.on('data', (piece: Buffer) => said.push(piece));
  const ended = once(child, 'close').catch(() => undefined);
  try {
    await Promise.race([once(child.stdout, 'data'), ended]);
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null)
      throw new Error(Buffer.concat(said).toString('utf8').trim().slice(0, 300) || 'no mount can be made');
    return openShut(`/proc/${child.pid}/root${path}`, opened);
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
}

function openShut(path: string, { stats }: OpenFile): number {
  const flags = constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const fd = openSync(path, constants.O_RDONLY | flags);
  try {
    const found = fstatSync(fd);
    if (found.dev !== stats.dev || found.ino !== stats.ino) throw new Error('it was replaced meanwhile');
    // SECURITY: promise 5. That nobody can write through it is seen, not believed.
    closeSync(openSync(`/proc/self/fd/${fd}`, constants.O_RDWR | constants.O_NONBLOCK));
  } catch (error) {
    if (errorCode(error) === 'EROFS') return fd;
    closeSync(fd);
    throw error;
  }
  closeSync(fd);
  throw new Error('its mount can be written');
}
