/** Lines of the kernel's log that tell of denials, as far as the caller may read it (dmesg(1), /dev/kmsg). */
import { closeSync, constants, openSync, readSync } from 'node:fs';

const maxLines = 200;
const maxLineBytes = 2000;
const maxRecords = 20_000;

/** Newest last; none where it may not be read. */
export function readKernelDenials(path = '/dev/kmsg'): readonly string[] {
  const found: string[] = [];
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return [];
  }
  const record = Buffer.alloc(8192);
  try {
    for (let count = 0; count < maxRecords; count += 1) {
      const length = readSync(fd, record);
      if (length === 0) break;
      const line = record.toString('utf8', 0, length).split('\n')[0] ?? '';
      if (/apparmor="DENIED"|type=1326/.test(line)) found.push(line.slice(0, maxLineBytes));
    }
  } catch {
    // EAGAIN: that was the last; EPIPE: records were overwritten meanwhile.
  } finally {
    closeSync(fd);
  }
  return found.slice(-maxLines);
}
