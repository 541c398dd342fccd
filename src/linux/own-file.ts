/** Reading a file of the administrator's, and only where nobody but root can have written it. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { errorCode } from './errno.ts';

/** `text` undefined: there is no such file. Else each thing that is wrong with it. */
export type OwnFile =
  | { readonly ok: true; readonly text: string | undefined }
  | { readonly ok: false; readonly faults: readonly { readonly message: string; readonly cure: string }[] };

/** Reads the regular file of root's, at most `maxBytes` long. */
export function readOwnFile(path: string, maxBytes: number): OwnFile {
  const plain = `it must be a regular file of root's with mode 0644: ls -l ${path}`;
  let fd: number;
  try {
    // SECURITY: promise 1. A link is not followed.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === 'ENOENT') return { ok: true, text: undefined };
    const message = code === 'ELOOP' ? 'it is a symbolic link' : `it cannot be opened (${code})`;
    return { ok: false, faults: [{ message, cure: plain }] };
  }
  try {
    const stats = fstatSync(fd);
    const faults = [
      { wrong: !stats.isFile(), message: 'it is not a regular file', cure: plain },
      {
        wrong: stats.uid !== 0,
        message: `it belongs to uid ${stats.uid}, not to root`,
        cure: `chown root ${path}`,
      },
      {
        wrong: (stats.mode & 0o022) !== 0,
        message: 'others than root can write it',
        cure: `chmod 0644 ${path}`,
      },
      { wrong: stats.size > maxBytes, message: `it is larger than ${maxBytes} bytes`, cure: plain },
    ].filter(({ wrong }) => wrong);
    return faults.length > 0 ? { ok: false, faults } : { ok: true, text: readFileSync(fd, 'utf8') };
  } finally {
    closeSync(fd);
  }
}
