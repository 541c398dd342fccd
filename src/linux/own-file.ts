/** Files of the administrator's: read, or run, only where nobody but root can have written them. */
import { closeSync, constants, fstatSync, lstatSync, openSync, readFileSync } from 'node:fs';
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

/**
 * Why the program at an absolute path is not the administrator's alone: it, and each directory on the way to it, is root's, no
 * link, and not to be written by others. Undefined: it is.
 */
export function faultOfOwnProgram(path: string): { message: string; cure: string } | undefined {
  const ends = [...path.matchAll(/(?<=.)(?=\/)|$/g)].map(({ index }) => path.slice(0, index));
  for (const place of ['/', ...ends]) {
    const stats = lstatSync(place, { throwIfNoEntry: false });
    const { uid = 0, mode = 0 } = stats ?? {};
    const isIt = place === path ? stats?.isFile() : stats?.isDirectory();
    const open = place === path ? mode & 0o005 : 0o005;
    const rules: readonly (readonly [wrong: boolean, message: string, cure: string])[] = [
      [stats === undefined, `${place} is missing`, `ls -l ${place}`],
      // SECURITY: promise 1. A link is not followed.
      [isIt !== true, `${place} is no regular file, or no directory; a link is neither`, `realpath ${path}`],
      [uid !== 0, `${place} belongs to uid ${uid}, not to root`, `chown root ${place}`],
      [(mode & 0o022) !== 0, `others than root can write ${place}`, `chmod go-w ${place}`],
      [open !== 0o005, `not everybody may read and execute ${place}`, `chmod 0755 ${place}`],
    ];
    const [, message, cure] = rules.find(([wrong]) => wrong) ?? [];
    if (message !== undefined && cure !== undefined) return { message, cure };
  }
  return undefined;
}
