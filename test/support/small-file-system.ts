/** A file system that is soon full, in place of a directory of an instance that is not up yet. */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import type { Instance } from './instance.ts';

export interface SmallFileSystem {
  /** Takes the last byte. */
  readonly fill: () => void;
  readonly empty: () => void;
}

/** The instance's sweep unmounts it. */
export function mountSmall({ directory }: Instance, path: string, bytes: number): SmallFileSystem {
  if (!path.startsWith(`${directory}/`)) throw new RangeError(`${path} is not the instance's`);
  mkdirSync(path, { recursive: true, mode: 0o755 });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${bytes},mode=755`, 'qward-test', path], {
    timeout: 10_000,
  });
  const filler = `${path}/filler`;
  return {
    fill: () => {
      const fd = openSync(filler, 'a', 0o600);
      try {
        for (;;) writeSync(fd, Buffer.alloc(4096));
      } catch (error) {
        if (!(error instanceof Error) || Reflect.get(error, 'code') !== 'ENOSPC') throw error;
      } finally {
        closeSync(fd);
      }
    },
    empty: () => rmSync(filler, { force: true }),
  };
}
