/** What is mounted where, as /proc/PID/mountinfo has it (proc(5)). */

export interface Mount {
  /** The directory of the file system that is shown. */
  readonly root: string;
  readonly point: string;
  /** Type of the file system. */
  readonly type: string;
  /** Of the file system itself: of a cgroup v1 hierarchy its controllers are among them. */
  readonly options: readonly string[];
}

/** In the order of the text: what is mounted later covers what was there. */
export function parseMountinfo(text: string): Mount[] {
  return text.split('\n').flatMap((line) => {
    const [left = '', right] = line.split(' - ');
    if (right === undefined) return [];
    const [, , , root = '', point = ''] = left.split(' ');
    const [type = '', , options = ''] = right.split(' ');
    return [{ root: unescaped(root), point: unescaped(point), type, options: options.split(',') }];
  });
}

/** A space, tab, newline or backslash in a path is written as three octal digits. */
const unescaped = (path: string): string =>
  path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
