/** Bounded reading of files and directories whose size another process decides. */
import { closeSync, constants, opendirSync, openSync, readSync } from 'node:fs';

const maxFileBytes = 1024 * 1024;
const maxNames = 4096;
const chunkBytes = 16 * 1024;

/** Text of a file; RangeError where it is longer than `limit` bytes. */
export function readText(path: string, limit = maxFileBytes): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const chunks: Buffer[] = [];
    let total = 0;
    for (;;) {
      const chunk = Buffer.allocUnsafe(chunkBytes);
      const length = readSync(fd, chunk, 0, chunkBytes, null);
      if (length === 0)
        return chunks.length === 1 ? (chunks[0]?.toString() ?? '') : Buffer.concat(chunks).toString();
      total += length;
      if (total > limit) throw new RangeError(`${path}: more than ${limit} bytes`);
      chunks.push(chunk.subarray(0, length));
    }
  } finally {
    closeSync(fd);
  }
}

/** Names in a directory; RangeError where there are more than 4096. */
export function listNames(path: string): string[] {
  const directory = opendirSync(path, { bufferSize: 128 });
  try {
    const names: string[] = [];
    for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
      if (names.length === maxNames) throw new RangeError(`${path}: more than ${maxNames} entries`);
      names.push(entry.name);
    }
    return names;
  } finally {
    directory.closeSync();
  }
}

/** Text of a file that need not exist, or that the kernel does not fill; empty then. */
export function readOptional(path: string): string {
  try {
    return readText(path);
  } catch (error) {
    if (error instanceof RangeError) throw error;
    return '';
  }
}
