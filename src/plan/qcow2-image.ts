/** Writes a qcow2 image from bytes: the UEFI variable store of a new machine. Format: QEMU's docs/interop/qcow2.txt. */

const clusterBits = 16;
const clusterSize = 1 << clusterBits;
/** Entries of 8 bytes in a cluster: an L2 table maps 512 MiB. */
const entriesPerTable = clusterSize / 8;
const headerLength = 104;
const refcountOrder = 4;
/** Set in L1 and L2 entries: the cluster's refcount is exactly one. */
const copied = 1n << 63n;
/** Up to here one refcount block (32,768 counts of 16 bits: 2 GiB) and one cluster of L1 table are always enough. */
const maxBytes = 1024 ** 3;

interface Layout {
  readonly data: number;
  readonly tables: number;
  readonly firstTable: number;
  readonly firstData: number;
  readonly clusters: number;
}

/** In this order, in clusters: header, refcount table, refcount block, L1 table, L2 tables, data. */
function layoutOf(length: number): Layout {
  const data = Math.ceil(length / clusterSize);
  const tables = Math.max(1, Math.ceil(data / entriesPerTable));
  const firstTable = 4;
  const firstData = firstTable + tables;
  return { data, tables, firstTable, firstData, clusters: firstData + data };
}

function writeHeader(image: DataView, virtualSize: number, tables: number): void {
  image.setUint32(0, 0x514649fb); // "QFI\xfb"
  image.setUint32(4, 3);
  image.setUint32(20, clusterBits);
  image.setBigUint64(24, BigInt(virtualSize));
  image.setUint32(36, tables);
  image.setBigUint64(40, BigInt(3 * clusterSize)); // L1 table
  image.setBigUint64(48, BigInt(clusterSize)); // refcount table
  image.setUint32(56, 1); // clusters of the refcount table
  image.setUint32(96, refcountOrder);
  image.setUint32(100, headerLength);
  // The end of header extensions is eight zero bytes, which are there.
}

/**
 * A qcow2 image, version 3, whose guest sees exactly `content`, padded with zeros to whole sectors of 512 bytes. At most
 * 1 GiB, else RangeError.
 */
export function writeQcow2(content: Uint8Array): Uint8Array {
  if (content.length > maxBytes)
    throw new RangeError(`${content.length} bytes, at most ${maxBytes} can be written`);
  const layout = layoutOf(content.length);
  const bytes = new Uint8Array(layout.clusters * clusterSize);
  const image = new DataView(bytes.buffer);
  writeHeader(image, Math.ceil(content.length / 512) * 512, layout.tables);
  image.setBigUint64(clusterSize, BigInt(2 * clusterSize));
  for (let cluster = 0; cluster < layout.clusters; cluster++)
    image.setUint16(2 * clusterSize + cluster * 2, 1);
  for (let table = 0; table < layout.tables; table++)
    image.setBigUint64(
      3 * clusterSize + table * 8,
      copied | BigInt((layout.firstTable + table) * clusterSize),
    );
  for (let cluster = 0; cluster < layout.data; cluster++)
    image.setBigUint64(
      layout.firstTable * clusterSize + cluster * 8,
      copied | BigInt((layout.firstData + cluster) * clusterSize),
    );
  bytes.set(content, layout.firstData * clusterSize);
  return bytes;
}

/** One cluster of L1 table maps so much. */
const maxVirtualBytes = entriesPerTable * entriesPerTable * clusterSize;
/** Of the format. */
const maxBackingBytes = 1023;
const backingFormat = 0xe2792aca;

/** An empty image of this virtual size over another one. RangeError above 4 TiB, or where the other's path is too long for the format. */
export function overlayQcow2(
  virtualSize: number,
  { path, format }: { readonly path: string; readonly format: 'raw' | 'qcow2' },
): Uint8Array {
  const size = Math.ceil(virtualSize / 512) * 512;
  const [name, kind] = [Buffer.from(path), Buffer.from(format)];
  if (size > maxVirtualBytes) throw new RangeError(`${size} bytes, at most ${maxVirtualBytes}`);
  if (name.length > maxBackingBytes)
    throw new RangeError(`a path of ${name.length} bytes, at most ${maxBackingBytes}`);
  const bytes = new Uint8Array(4 * clusterSize);
  const image = new DataView(bytes.buffer);
  writeHeader(image, size, Math.max(1, Math.ceil(size / (entriesPerTable * clusterSize))));
  image.setUint32(headerLength, backingFormat);
  image.setUint32(headerLength + 4, kind.length);
  bytes.set(kind, headerLength + 8);
  // Extensions are padded to eight bytes; eight zero bytes end them.
  const nameAt = headerLength + 8 + Math.ceil(kind.length / 8) * 8 + 8;
  image.setBigUint64(8, BigInt(nameAt));
  image.setUint32(16, name.length);
  bytes.set(name, nameAt);
  image.setBigUint64(clusterSize, BigInt(2 * clusterSize));
  for (let cluster = 0; cluster < 4; cluster++) image.setUint16(2 * clusterSize + cluster * 2, 1);
  return bytes;
}
