import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseImageHeader } from './image-header.ts';

interface Qcow2 {
  readonly version?: number;
  readonly size?: bigint;
  readonly backing?: { readonly offset: bigint; readonly length: number; readonly name?: string };
  readonly features?: bigint;
  readonly snapshots?: number;
  readonly extensions?: readonly { readonly type: number; readonly data: string }[];
}

function qcow2({
  version = 3,
  size = 1024n,
  backing,
  features = 0n,
  snapshots = 0,
  extensions = [],
}: Qcow2): Buffer {
  const head = Buffer.alloc(1024);
  head.write('QFI\u00fb', 'latin1');
  head.writeUInt32BE(version, 4);
  head.writeBigUInt64BE(size, 24);
  if (backing !== undefined) {
    head.writeBigUInt64BE(backing.offset, 8);
    head.writeUInt32BE(backing.length, 16);
    if (backing.name !== undefined) head.write(backing.name, Number(backing.offset));
  }
  head.writeUInt32BE(snapshots, 60);
  if (version >= 3) {
    head.writeBigUInt64BE(features, 72);
    head.writeUInt32BE(104, 100);
  }
  let offset = version >= 3 ? 104 : 72;
  for (const { type, data } of extensions) {
    head.writeUInt32BE(type, offset);
    head.writeUInt32BE(data.length, offset + 4);
    head.write(data, offset + 8);
    offset += 8 + Math.ceil(data.length / 8) * 8;
  }
  return head;
}

test('qcow2 gives its virtual size, in version 2 and 3', () => {
  for (const version of [2, 3])
    assert.deepEqual(parseImageHeader(qcow2({ version, size: 10n * 1024n ** 3n }), 196_608), {
      format: 'qcow2',
      virtualSize: 10 * 1024 ** 3,
      references: [],
      snapshots: 0,
    });
});

test('qcow2 tells how many snapshots are within it, as far as the bytes go', () => {
  for (const version of [2, 3])
    for (const snapshots of [0, 1, 0xffff_ffff])
      assert.equal(parseImageHeader(qcow2({ version, snapshots }), 1).snapshots, snapshots);
  assert.equal(parseImageHeader(qcow2({ snapshots: 7 }).subarray(0, 63), 1).snapshots, 0);
});

test('a backing file is found with its name', () => {
  const head = qcow2({ backing: { offset: 512n, length: 9, name: 'base.img!ignored' } });
  assert.deepEqual(parseImageHeader(head, 1).references, [{ kind: 'backing file', name: 'base.img!' }]);
});

test('a backing file whose name lies beyond the bytes at hand is found without it', () => {
  for (const offset of [1020n, 1024n, 60_000n, 2n ** 64n - 1n]) {
    const { references } = parseImageHeader(qcow2({ backing: { offset, length: 4_294_967_295 } }), 1);
    assert.equal(references[0]?.kind, 'backing file', String(offset));
  }
});

test('an external data file is found, with its name from the extension behind others', () => {
  const extensions = [
    { type: 0xe2792aca, data: 'qcow2' },
    { type: 0x44415441, data: '/etc/shadow' },
  ];
  const head = qcow2({ features: 4n, extensions });
  assert.deepEqual(parseImageHeader(head, 1).references, [{ kind: 'data file', name: '/etc/shadow' }]);
  assert.deepEqual(parseImageHeader(qcow2({ features: 4n }), 1).references, [
    { kind: 'data file', name: '' },
  ]);
});

test('characters that steer a terminal become question marks in a name', () => {
  const head = qcow2({ backing: { offset: 512n, length: 9, name: 'a\u001b[2Jb\u202e' } });
  assert.equal(parseImageHeader(head, 1).references[0]?.name, 'a?[2Jb?');
});

test('other formats are told apart by their signature', () => {
  const of = (bytes: string, offset = 0): string => {
    const head = Buffer.alloc(1024);
    head.write(bytes, offset, 'latin1');
    return parseImageHeader(head, 4096).format;
  };
  assert.deepEqual(
    [of('KDMV'), of('COWD'), of('# Disk DescriptorFile'), of('vhdxfile'), of('conectix'), of('QED\0')],
    ['vmdk', 'vmdk', 'vmdk', 'vhdx', 'vpc', 'qed'],
  );
  assert.deepEqual([of('LUKS\u00ba\u00be'), of('\u007f\u0010\u00da\u00be', 0x40)], ['luks', 'vdi']);
  const disc = Buffer.alloc(0x8010);
  disc.write('CD001', 0x8001);
  assert.equal(parseImageHeader(disc, disc.length).format, 'iso');
});

test('everything else is raw, with the size of the file', () => {
  const raw = { format: 'raw', virtualSize: 77, references: [], snapshots: 0 };
  for (const head of [Buffer.alloc(0), Buffer.from('QFI'), Buffer.alloc(1024, 0xff)])
    assert.deepEqual(parseImageHeader(head, 77), raw);
});

test('hostile bytes never throw and give bounded answers', () => {
  const signatures = ['', 'QFI\u00fb\0\0\0\u0002', 'QFI\u00fb\0\0\0\u0003', 'QED\0', 'KDMV', 'conectix'];
  fc.assert(
    fc.property(
      fc.constantFrom(...signatures),
      fc.uint8Array({ maxLength: 1024 }),
      fc.nat(),
      (signature, tail, fileSize) => {
        const head = Buffer.concat([Buffer.from(signature, 'latin1'), tail]);
        const { virtualSize, references } = parseImageHeader(head, fileSize);
        assert.ok(Number.isSafeInteger(virtualSize) && virtualSize >= 0);
        assert.ok(references.length <= 2);
        for (const { name } of references) assert.ok(name.length <= 1023 && !/[\u0000-\u001f]/.test(name));
      },
    ),
    { numRuns: 2000 },
  );
});

const descriptor = (lines: string): string =>
  `# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\n${lines}\n`;
const referencesOf = (bytes: Buffer): readonly string[] =>
  parseImageHeader(bytes, 1 << 20).references.map(({ kind, name }) => `${kind}: ${name}`);

/** A sparse VMDK of this capacity in sectors, with a descriptor at the second sector. */
function sparseVmdk(capacity: bigint, text: string): Buffer {
  const bytes = Buffer.alloc(4096);
  bytes.write('KDMV');
  bytes.writeBigUInt64LE(capacity, 12);
  bytes.writeBigUInt64LE(1n, 28);
  bytes.write(text, 512);
  return bytes;
}

test('extents and parents of a VMDK are found, in a text and within a sparse one', () => {
  const flat = descriptor('RW 1 FLAT "/etc/shadow" 0');
  assert.deepEqual(referencesOf(Buffer.from(flat)), ['extent: /etc/shadow']);
  assert.deepEqual(referencesOf(Buffer.from(descriptor('parentFileNameHint="/p"'))), [
    'backing file: /p',
    'extent: ',
  ]);
  assert.deepEqual(referencesOf(Buffer.from('\n# note\nversion=2\nRW 9 FLAT "/x" 0\n')), ['extent: /x']);
  assert.deepEqual(referencesOf(sparseVmdk(16_384n, descriptor('RW 16384 SPARSE "disk.vmdk"'))), []);
  assert.deepEqual(referencesOf(sparseVmdk(0n, flat)), ['extent: /etc/shadow']);
  assert.deepEqual(referencesOf(sparseVmdk(16_384n, 'parentFileNameHint="/p"\n')), ['backing file: /p']);
  assert.deepEqual(referencesOf(sparseVmdk(0n, '').subarray(0, 512)), ['extent: ']);
  const many = Array.from({ length: 5000 }, (_, index) => `RW 1 FLAT "${index}" 0`).join('\n');
  assert.ok(referencesOf(Buffer.from(descriptor(many))).length <= 17);
});

test('differencing images of VDI and VHD refer to a parent', () => {
  const vdi = Buffer.alloc(1024);
  vdi.writeUInt32LE(0xbeda107f, 0x40);
  vdi.writeUInt32LE(4, 0x4c);
  assert.deepEqual(referencesOf(vdi), ['backing file: ']);
  const vhd = Buffer.alloc(1024);
  vhd.write('conectix');
  vhd.writeUInt32BE(4, 60);
  assert.deepEqual(referencesOf(vhd), ['backing file: ']);
});
