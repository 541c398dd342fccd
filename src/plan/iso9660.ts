/**
 * A small ISO 9660 file system (ECMA-119) with a few files in its root, whose names are in Rock Ridge entries (SUSP 1.12, RRIP
 * 1.09): what cloud-init takes as NoCloud seed. Bytes out of bytes; nothing is run for it (docs/decisions/0045).
 */
export interface IsoFile {
  /** As Linux shows it; letters, digits, "-", "_" and ".", 64 characters at most. */
  readonly name: string;
  readonly data: Uint8Array;
}

const sectorBytes = 2048;
/** 16 of the system area, two descriptors, two path tables. */
const rootSector = 20;
const firstFileSector = 21;
const fileNamePattern = /^[A-Za-z0-9._-]{1,64}$/;
const labelPattern = /^[A-Za-z0-9_-]{1,32}$/;

const directoryMode = 0o40500;
/** Keys are among the files: they are the guest's root's. */
const fileMode = 0o100400;

export function isoImage(label: string, files: readonly IsoFile[], at: Date): Buffer {
  if (!labelPattern.test(label)) throw new Error(`"${label}" is no label`);
  const names = files.map(({ name }) => name);
  if (
    names.some((name) => !fileNamePattern.test(name)) ||
    new Set(names).size < names.length ||
    names.length > 10
  )
    throw new Error('names of files: letters, digits, "-", "_" and ".", ten at most, each once');
  const placed = place(files);
  const sectors = placed.reduce(
    (end, { sector, data }) => Math.max(end, sector + sectorsOf(data.length)),
    firstFileSector,
  );
  const image = Buffer.alloc(sectors * sectorBytes);
  const put = (bytes: Uint8Array, sector: number): void => image.set(bytes, sector * sectorBytes);
  put(volumeDescriptor(label, sectors, at), 16);
  put(Buffer.from([255, ...Buffer.from('CD001'), 1]), 17);
  put(pathTable('LE'), 18);
  put(pathTable('BE'), 19);
  put(rootDirectory(placed, at), rootSector);
  for (const { data, sector } of placed) put(data, sector);
  return image;
}

interface Placed extends IsoFile {
  readonly sector: number;
  /** The name of a reader that knows no Rock Ridge. */
  readonly plainName: string;
}

const sectorsOf = (bytes: number): number => Math.ceil(bytes / sectorBytes);

/** Entries of a directory are in the order of their plain names (ECMA-119, 9.3). */
function place(files: readonly IsoFile[]): readonly Placed[] {
  let sector = firstFileSector;
  return files.map((file, at) => {
    const placed = { ...file, sector, plainName: `FILE${at}.;1` };
    sector += sectorsOf(file.data.length);
    return placed;
  });
}

function both16(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt16LE(value, 0);
  bytes.writeUInt16BE(value, 2);
  return bytes;
}

function both32(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value, 0);
  bytes.writeUInt32BE(value, 4);
  return bytes;
}

/** 9.1.5: seven bytes, UTC. */
const shortTime = (at: Date): Buffer =>
  Buffer.from([
    at.getUTCFullYear() - 1900,
    at.getUTCMonth() + 1,
    at.getUTCDate(),
    at.getUTCHours(),
    at.getUTCMinutes(),
    at.getUTCSeconds(),
    0,
  ]);

/** 8.4.26.1: sixteen digits and the zone. */
const longTime = (at: Date): Buffer =>
  Buffer.concat([Buffer.from(`${at.toISOString().replaceAll(/\D/g, '').slice(0, 14)}00`), Buffer.of(0)]);
const noTime = Buffer.concat([Buffer.from('0'.repeat(16)), Buffer.of(0)]);

const padded = (text: string, length: number): Buffer => Buffer.from(text.padEnd(length, ' '), 'latin1');

/** 8.4. */
function volumeDescriptor(label: string, sectors: number, at: Date): Buffer {
  const root = directoryRecord({
    identifier: Buffer.of(0),
    sector: rootSector,
    bytes: sectorBytes,
    directory: true,
    at,
  });
  const pathTables = Buffer.alloc(16);
  pathTables.writeUInt32LE(18, 0);
  pathTables.writeUInt32BE(19, 8);
  return Buffer.concat([
    Buffer.of(1),
    Buffer.from('CD001'),
    Buffer.of(1, 0),
    padded('', 32),
    padded(label, 32),
    Buffer.alloc(8),
    both32(sectors),
    Buffer.alloc(32),
    both16(1),
    both16(1),
    both16(sectorBytes),
    both32(10),
    pathTables,
    root,
    padded('', 128 + 128 + 128 + 128 + 37 + 37 + 37),
    longTime(at),
    longTime(at),
    noTime,
    noTime,
    Buffer.of(1, 0),
  ]);
}

/** 9.4: the root alone. */
function pathTable(order: 'LE' | 'BE'): Buffer {
  const bytes = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  if (order === 'LE') bytes.writeUInt32LE(rootSector, 2);
  else bytes.writeUInt32BE(rootSector, 2);
  if (order === 'LE') bytes.writeUInt16LE(1, 6);
  else bytes.writeUInt16BE(1, 6);
  return bytes;
}

interface DirectoryEntry {
  readonly identifier: Uint8Array;
  readonly sector: number;
  readonly bytes: number;
  readonly directory: boolean;
  readonly at: Date;
  /** System use: Rock Ridge. */
  readonly more?: Uint8Array;
}

/** 9.1. */
function directoryRecord({ identifier, sector, bytes, directory, at, more }: DirectoryEntry): Buffer {
  const fixed = Buffer.concat([
    both32(sector),
    both32(bytes),
    shortTime(at),
    Buffer.from([directory ? 2 : 0, 0, 0]),
    both16(1),
    Buffer.from([identifier.length]),
    identifier,
  ]);
  const even = identifier.length % 2 === 0 ? Buffer.of(0) : Buffer.alloc(0);
  const record = Buffer.concat([Buffer.of(0, 0), fixed, even, more ?? Buffer.alloc(0)]);
  const whole = record.length % 2 === 0 ? record : Buffer.concat([record, Buffer.of(0)]);
  whole.writeUInt8(whole.length, 0);
  return whole;
}

const entry = (signature: string, data: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from(signature), Buffer.from([data.length + 4, 1]), data]);

/** PX of RRIP 1.09: mode, links, owner, group. */
const attributes = (mode: number, links: number): Buffer =>
  entry('PX', Buffer.concat([both32(mode), both32(links), both32(0), both32(0)]));

/** SP says that there is Rock Ridge, ER which; without its texts, which nobody reads. */
const announcement = Buffer.concat([
  entry('SP', Buffer.from([0xbe, 0xef, 0])),
  entry('ER', Buffer.concat([Buffer.from([10, 0, 0, 1]), Buffer.from('RRIP_1991A')])),
]);

function rootDirectory(files: readonly Placed[], at: Date): Buffer {
  const root = { sector: rootSector, bytes: sectorBytes, directory: true, at };
  const self = attributes(directoryMode, 2);
  const records = [
    directoryRecord({ ...root, identifier: Buffer.of(0), more: Buffer.concat([announcement, self]) }),
    directoryRecord({ ...root, identifier: Buffer.of(1), more: self }),
    ...files.map(({ name, plainName, sector, data }) =>
      directoryRecord({
        identifier: Buffer.from(plainName),
        sector,
        bytes: data.length,
        directory: false,
        at,
        more: Buffer.concat([attributes(fileMode, 1), entry('NM', Buffer.from([0, ...Buffer.from(name)]))]),
      }),
    ),
  ];
  const directory = Buffer.concat(records);
  if (directory.length > sectorBytes) throw new Error('the directory does not fit into a sector');
  return directory;
}
