/** QEMU's own output: a file that the broker made, small, and written by a process that may be in its guest's hands. */
import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { capText } from '../log.ts';

const maxReadBytes = 64 * 1024;
const maxLineLength = 1000;

export interface LogPiece {
  readonly lines: readonly string[];
  /** Where to read on. */
  readonly offset: number;
  /** When the last line was written, ISO 8601. */
  readonly at: string;
}

/** Whole lines from `offset` on, the last ones where there are very many. A file that cannot be read has none. */
export async function readQemuLog(path: string, offset: number): Promise<LogPiece> {
  // SECURITY: rule QMP. The file is QEMU's own: a lease on it must not hold us up (fcntl(2), F_SETLEASE).
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  const file = await open(path, flags).catch(() => undefined);
  const nothing = { lines: [], offset, at: new Date(0).toISOString() };
  if (file === undefined) return nothing;
  try {
    const { size, mtime } = await file.stat();
    const begin = size < offset ? 0 : Math.max(offset, size - maxReadBytes);
    const bytes = Buffer.alloc(Math.min(maxReadBytes, Math.max(0, size - begin)));
    const { bytesRead } = await file.read(bytes, 0, bytes.length, begin);
    const lines = bytes
      .toString('utf8', 0, bytesRead)
      .split('\n')
      .filter((line) => line.trim() !== '')
      // SECURITY: rule guest. The guest may choose this text: it is escaped and cut.
      .map((line) => capText(line, maxLineLength));
    return { lines, offset: begin + bytesRead, at: mtime.toISOString() };
  } catch {
    return nothing;
  } finally {
    await file.close();
  }
}
