/** A directory as an archive (POSIX.1-2001, pax), for tar in a guest: files, directories and links, as of root. */
import { createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';

const blockBytes = 512;
const types = { file: '0', link: '2', directory: '5', more: 'x' } as const;

interface Member {
  readonly name: string;
  readonly type: (typeof types)[keyof typeof types];
  readonly mode: number;
  /** Seconds since the epoch. */
  readonly time: number;
  readonly size: number;
  readonly target?: string;
}

/** Throws what the file system throws; sockets, pipes and devices are left out. */
export async function* archive(directory: string, below = ''): AsyncGenerator<Buffer, void> {
  yield* members(directory, below);
  yield Buffer.alloc(2 * blockBytes);
}

async function* members(directory: string, below: string): AsyncGenerator<Buffer, void> {
  const entries = await readdir(directory, { withFileTypes: true });
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    const path = join(directory, entry.name);
    const name = below === '' ? entry.name : `${below}/${entry.name}`;
    const { mode, mtimeMs, size } = await lstat(path);
    const common = { mode: mode & 0o777, time: Math.floor(mtimeMs / 1000), size: 0 };
    if (entry.isDirectory()) {
      yield* header({ ...common, name: `${name}/`, type: types.directory });
      yield* members(path, name);
    } else if (entry.isSymbolicLink()) {
      yield* header({ ...common, name, type: types.link, target: await readlink(path) });
    } else if (entry.isFile()) {
      yield* header({ ...common, name, type: types.file, size });
      yield* content(path, size);
    }
  }
}

/** As long as it was when it was looked at, whatever becomes of it meanwhile. */
async function* content(path: string, size: number): AsyncGenerator<Buffer, void> {
  let left = size;
  if (size > 0)
    for await (const piece of createReadStream(path, { end: size - 1 }) as AsyncIterable<Buffer>) {
      left -= piece.length;
      yield piece;
    }
  if (left > 0) throw new Error(`${path} became shorter while it was copied`);
  const padding = (blockBytes - (size % blockBytes)) % blockBytes;
  if (padding > 0) yield Buffer.alloc(padding);
}

function* header(member: Member): Generator<Buffer, void> {
  const { name, target = '', size } = member;
  const long = [
    ...(fits(name, 100) ? [] : [['path', name] as const]),
    ...(fits(target, 100) ? [] : [['linkpath', target] as const]),
    ...(size < 8 ** 11 ? [] : [['size', String(size)] as const]),
  ];
  if (long.length > 0) {
    const records = Buffer.concat(long.map(([key, value]) => record(key, value)));
    yield block({ ...member, name: 'more', type: types.more, size: records.length, target: '' });
    yield Buffer.concat([records, Buffer.alloc((blockBytes - (records.length % blockBytes)) % blockBytes)]);
  }
  yield block(member);
}

const fits = (text: string, bytes: number): boolean =>
  Buffer.byteLength(text) <= bytes && /^[\u0020-\u007e]*$/.test(text);

/** `LENGTH KEY=VALUE\n`, the length counting itself. */
function record(key: string, value: string): Buffer {
  const rest = ` ${key}=${value}\n`;
  const bytes = Buffer.byteLength(rest);
  let length = bytes + String(bytes).length;
  length = bytes + String(length).length;
  return Buffer.from(`${length}${rest}`);
}

function block({ name, type, mode, time, size, target = '' }: Member): Buffer {
  const bytes = Buffer.alloc(blockBytes);
  const put = (text: string, at: number, most: number): void =>
    void Buffer.from(text).copy(bytes, at, 0, most);
  const octal = (value: number, at: number, digits: number): void =>
    put(value.toString(8).padStart(digits, '0').slice(-digits), at, digits);
  put(name, 0, 100);
  octal(mode, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size < 8 ** 11 ? size : 0, 124, 11);
  octal(Math.max(0, time), 136, 11);
  put(' '.repeat(8), 148, 8);
  put(type, 156, 1);
  put(target, 157, 100);
  put('ustar\u000000', 257, 8);
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  put(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8);
  return bytes;
}
