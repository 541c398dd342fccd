/** Writes a cpio archive of the `newc` kind, which the Linux kernel takes as an initial RAM disk. */

export interface CpioEntry {
  /** Path without a leading slash. */
  readonly path: string;
  /** File type and permissions as in st_mode. */
  readonly mode: number;
  /** File content, or the target of a symbolic link. */
  readonly data?: Uint8Array;
  /** Major and minor number of a device node. */
  readonly device?: readonly [number, number];
}

export const directory = (path: string): CpioEntry => ({ path, mode: 0o040755 });
export const file = (path: string, data: Uint8Array, permissions = 0o644): CpioEntry => ({
  path,
  mode: 0o100000 | permissions,
  data,
});
export const link = (path: string, target: string): CpioEntry => ({
  path,
  mode: 0o120777,
  data: Buffer.from(target),
});
export const characterDevice = (path: string, major: number, minor: number): CpioEntry => ({
  path,
  mode: 0o020600,
  device: [major, minor],
});

const padding = (length: number): Buffer => Buffer.alloc((4 - (length % 4)) % 4);

function encodeEntry(entry: CpioEntry, inode: number): Buffer[] {
  const name = Buffer.from(`${entry.path}\0`);
  const data = entry.data ?? Buffer.alloc(0);
  const [major, minor] = entry.device ?? [0, 0];
  // inode, mode, uid, gid, nlink, mtime, size, dev major and minor, rdev major and minor, name size, check
  const fields = [inode, entry.mode, 0, 0, 1, 0, data.length, 0, 0, major, minor, name.length, 0];
  const header = Buffer.from(`070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`);
  return [header, name, padding(header.length + name.length), Buffer.from(data), padding(data.length)];
}

/** The archive, byte for byte the same for the same entries. */
export function writeCpio(entries: readonly CpioEntry[]): Buffer {
  const pieces = entries.flatMap((entry, index) => encodeEntry(entry, index + 1));
  return Buffer.concat([...pieces, ...encodeEntry({ path: 'TRAILER!!!', mode: 0 }, 0)]);
}
