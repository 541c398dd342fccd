/** What stands in a process's /dev, which only root can list. */
import { closeSync, constants, lstatSync, openSync, type Stats } from 'node:fs';
import type { DevEntry } from '../protocol/broker.ts';
import { deviceNumbers } from './block-device.ts';
import { unlessMissing } from './errno.ts';
import { listNames } from './process-facts-read.ts';

/**
 * SECURITY: promise 1. A link that the process put in place of its /dev is not followed (it would lead through the
 * host's root), and the nodes in it are looked at by lstat, never opened.
 */
export function readDev(proc: string): DevEntry[] {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
  let directory: number;
  try {
    directory = openSync(`${proc}/root/dev`, flags);
  } catch {
    return [];
  }
  try {
    const path = `/proc/self/fd/${directory}`;
    return listNames(path).flatMap((name) => {
      const stats = unlessMissing(() => lstatSync(`${path}/${name}`));
      return stats === undefined ? [] : [devEntry(name, stats)];
    });
  } finally {
    closeSync(directory);
  }
}

function devEntry(name: string, stats: Stats): DevEntry {
  const type = stats.isCharacterDevice()
    ? 'char'
    : stats.isBlockDevice()
      ? 'block'
      : stats.isDirectory()
        ? 'directory'
        : stats.isSymbolicLink()
          ? 'link'
          : 'other';
  return { name, type, ...deviceNumbers(stats.rdev), mode: stats.mode & 0o7777, uid: stats.uid };
}
