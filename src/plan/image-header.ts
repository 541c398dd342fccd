/**
 * Image headers, read from their first bytes. A guest or a stranger may have written them: nothing here throws, loops
 * by a number from the header, or reads outside the bytes that are there.
 */
import type { ImageHeader } from './launch-plan.ts';

type Format = ImageHeader['format'];
type Reference = ImageHeader['references'][number];

/** QEMU's own limit for the name of a backing file. */
const maxNameBytes = 1023;
const externalDataFile = 1n << 2n;
const dataFileExtension = 0x44415441;

/** Numbers at an offset; 0 where the bytes are not there. */
class Head {
  readonly bytes: Buffer;
  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }
  has(offset: number, length: number): boolean {
    return offset + length <= this.bytes.length;
  }
  u32be(offset: number): number {
    return this.has(offset, 4) ? this.bytes.readUInt32BE(offset) : 0;
  }
  u32le(offset: number): number {
    return this.has(offset, 4) ? this.bytes.readUInt32LE(offset) : 0;
  }
  u64be(offset: number): bigint {
    return this.has(offset, 8) ? this.bytes.readBigUInt64BE(offset) : 0n;
  }
  u64le(offset: number): bigint {
    return this.has(offset, 8) ? this.bytes.readBigUInt64LE(offset) : 0n;
  }
  starts(text: string, offset = 0): boolean {
    const end = offset + text.length;
    return this.bytes.length >= end && this.bytes.toString('latin1', offset, end) === text;
  }
  /** A name, as far as it lies within the bytes at hand; characters that steer a terminal become "?". */
  name(offset: bigint, length: number): string {
    if (offset > BigInt(this.bytes.length)) return '';
    const start = Number(offset);
    return this.nameOf(this.bytes.subarray(start, start + length));
  }
  nameOf(bytes: Buffer): string {
    const text = bytes.toString('utf8', 0, Math.min(bytes.length, maxNameBytes));
    return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}]/gu, '?');
  }
}

function safeSize(bytes: bigint): number {
  return bytes > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : Number(bytes);
}

/** The name in the header extension "external data file name"; extensions follow the header (docs/interop/qcow2.txt). */
function dataFileName(head: Head, version: number): string {
  let offset = version >= 3 ? Math.max(72, head.u32be(100)) : 72;
  // Each extension has 8 bytes at least, so this ends with the bytes at hand.
  while (head.has(offset, 8)) {
    const type = head.u32be(offset);
    const length = head.u32be(offset + 4);
    if (type === dataFileExtension) return head.name(BigInt(offset + 8), length);
    if (type === 0) break;
    offset += 8 + Math.ceil(length / 8) * 8;
  }
  return '';
}

function qcow2References(head: Head): readonly Reference[] {
  const references: Reference[] = [];
  const version = head.u32be(4);
  const backing = head.u64be(8);
  if (backing !== 0n) references.push({ kind: 'backing file', name: head.name(backing, head.u32be(16)) });
  if (version >= 3 && (head.u64be(72) & externalDataFile) !== 0n)
    references.push({ kind: 'data file', name: dataFileName(head, version) });
  return references;
}

function qedReferences(head: Head): readonly Reference[] {
  const hasBacking = (head.u64le(16) & 1n) !== 0n;
  return hasBacking
    ? [{ kind: 'backing file', name: head.name(BigInt(head.u32le(56)), head.u32le(60)) }]
    : [];
}

/** Sectors of a VMDK, and where an embedded descriptor ends that QEMU reads (block/vmdk.c, DESC_SIZE). */
const vmdkSector = 512;
const vmdkDescriptorBytes = 20 * vmdkSector;

/**
 * A VMDK is a text that names its extents, or one sparse extent with such a text in it, which QEMU then reads for a parent
 * only; with a capacity of 0 it reads it for extents as well.
 */
function vmdkReferences(head: Head): readonly Reference[] {
  if (!head.starts('KDMV')) return vmdkTextReferences(head, 0, true);
  const offset = head.u64le(28) * BigInt(vmdkSector);
  if (offset === 0n) return [];
  const namesExtents = head.u64le(12) === 0n;
  if (offset > BigInt(head.bytes.length)) return namesExtents ? [{ kind: 'extent', name: '' }] : [];
  return vmdkTextReferences(head, Number(offset), namesExtents);
}

function vmdkTextReferences(head: Head, offset: number, namesExtents: boolean): readonly Reference[] {
  const text = head.bytes.toString('latin1', offset, offset + vmdkDescriptorBytes);
  const references: Reference[] = [];
  const add = (kind: Reference['kind'], name: string): void => {
    references.push({ kind, name: head.nameOf(Buffer.from(name, 'latin1')) });
  };
  // QEMU looks for the word anywhere (vmdk_parent_open).
  const parent = /parentFileNameHint[ \t]{0,64}=[ \t]{0,64}"([^"\r\n]*)/.exec(text);
  if (parent !== null) add('backing file', parent[1] ?? '');
  if (!namesExtents) return references;
  // A descriptor without an extent has no data: one that lies beyond the bytes at hand is not seen, and counts too.
  const extents = [...text.matchAll(/^[ \t]*(?:RW|RDONLY|NOACCESS)\s+\d+\s+\w+(?:\s+"([^"\r\n]*))?/gm)];
  for (const extent of extents.slice(0, maxReferences)) add('extent', extent[1] ?? '');
  if (extents.length === 0) add('extent', '');
  return references;
}

/** A file may name thousands. */
const maxReferences = 16;

/** Image type 4 is a differencing image (VirtualBox, VDI.h); QEMU refuses those with another's UUID. */
function vdiReferences(head: Head): readonly Reference[] {
  return head.u32le(0x4c) === 4 ? [{ kind: 'backing file', name: '' }] : [];
}

/** Disk type 4 is a differencing image (Virtual Hard Disk specification, "Hard Disk Footer Format"). */
function vpcReferences(head: Head): readonly Reference[] {
  return head.u32be(60) === 4 ? [{ kind: 'backing file', name: '' }] : [];
}

interface Signature {
  readonly format: Format;
  readonly matches: (head: Head) => boolean;
  /** Size that the guest sees; null: the file's. */
  readonly size: (head: Head) => bigint | null;
  readonly references?: (head: Head) => readonly Reference[];
  readonly snapshots?: (head: Head) => number;
}

const vdiMagic = 0xbeda107f;

/** As QEMU looks for it (vmdk_probe): comments and empty lines, then a version. */
function isVmdkText(head: Head): boolean {
  const text = head.bytes.toString('latin1', 0, 1024);
  return (
    text.startsWith('# Disk DescriptorFile') || /^(?:(?:#[^\n]*| *\r?)\n)*version=[123]\r?(?:\n|$)/.test(text)
  );
}

const signatures: readonly Signature[] = [
  {
    format: 'qcow2',
    matches: (head) => head.starts('QFI\u00fb'),
    size: (head) => head.u64be(24),
    references: qcow2References,
    snapshots: (head) => head.u32be(60),
  },
  {
    format: 'qed',
    matches: (head) => head.starts('QED\0'),
    size: (head) => head.u64le(48),
    references: qedReferences,
  },
  {
    format: 'vmdk',
    matches: (head) => head.starts('KDMV'),
    size: (head) => head.u64le(12) * BigInt(vmdkSector),
    references: vmdkReferences,
  },
  {
    format: 'vmdk',
    matches: (head) => head.starts('COWD'),
    size: (head) => BigInt(head.u32le(12)) * BigInt(vmdkSector),
  },
  { format: 'vmdk', matches: isVmdkText, size: () => null, references: vmdkReferences },
  {
    format: 'vdi',
    matches: (head) => head.u32le(0x40) === vdiMagic,
    size: (head) => head.u64le(0x170),
    references: vdiReferences,
  },
  { format: 'vhdx', matches: (head) => head.starts('vhdxfile'), size: () => null },
  {
    format: 'vpc',
    matches: (head) => head.starts('conectix'),
    size: (head) => head.u64be(48),
    references: vpcReferences,
  },
  { format: 'luks', matches: (head) => head.starts('LUKS\u00ba\u00be'), size: () => null },
  // Beyond the first kilobyte: seen only where the caller has read that far.
  { format: 'iso', matches: (head) => head.starts('CD001', 0x8001), size: () => null },
];

/** What the first bytes of a file say that it is; `raw` where they say nothing. Never throws. */
export function parseImageHeader(bytes: Buffer, fileSize: number): ImageHeader {
  const head = new Head(bytes);
  const signature = signatures.find((candidate) => candidate.matches(head));
  if (signature === undefined) return { format: 'raw', virtualSize: fileSize, references: [], snapshots: 0 };
  const size = signature.size(head);
  return {
    format: signature.format,
    virtualSize: size === null ? fileSize : safeSize(size),
    references: signature.references?.(head) ?? [],
    snapshots: signature.snapshots?.(head) ?? 0,
  };
}
