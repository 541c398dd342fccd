/** Images made to do harm, as QEMU's own tools or a hostile hand would write them (the CVE classes of image formats). */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  copyFileSync,
  ftruncateSync,
  openSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';

export type AttackFormat = 'raw' | 'qcow2' | 'vmdk' | 'vdi' | 'vhdx' | 'vpc' | 'qed';

export interface AttackImage {
  readonly name: string;
  readonly path: string;
  /** As which a user would give it. */
  readonly format: AttackFormat;
  /** Refused whatever is to be done with it; else it may also turn out harmless. */
  readonly refused: boolean;
}

const qemuImg = (...args: string[]): void =>
  void execFileSync('qemu-img', args, { stdio: ['ignore', 'ignore', 'inherit'] });

function patch(path: string, offset: number, bytes: Buffer): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, bytes, 0, bytes.length, offset);
  closeSync(fd);
}
const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const u64 = (value: bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(value);
  return bytes;
};

/** Makes all of them in `directory`; `secret` is a file that none of them may give away. */
export function makeAttackImages(directory: string, secret: string): readonly AttackImage[] {
  const made: AttackImage[] = [];
  const image = (
    name: string,
    format: AttackFormat,
    refused: boolean,
    make: (path: string) => void,
  ): void => {
    const path = `${directory}/${name}.${format === 'raw' ? 'raw' : format === 'vpc' ? 'vhd' : format}`;
    make(path);
    made.push({ name, path, format, refused });
  };
  const plain = (path: string, size = '8M'): void => qemuImg('create', '-q', '-f', 'qcow2', path, size);
  const above = (path: string, name: string, format = 'raw'): void =>
    qemuImg('create', '-q', '-u', '-f', 'qcow2', '-b', name, '-F', format, path, '8M');

  image('backing', 'qcow2', true, (path) => above(path, secret));
  image('backing-shadow', 'qcow2', true, (path) => above(path, '/etc/shadow'));
  image('backing-json', 'qcow2', true, (path) =>
    above(path, `json:{"driver":"raw","file":{"driver":"file","filename":"${secret}"}}`),
  );
  for (const [name, url] of [
    ['nbd', 'nbd://127.0.0.1:10809/x'],
    ['nbd-unix', 'nbd+unix:///x?socket=/run/qward/broker.sock'],
    ['http', 'http://127.0.0.1/x'],
    ['ssh', 'ssh://root@127.0.0.1/etc/shadow'],
    ['fd', '/proc/self/fd/0'],
    ['mem', '/proc/self/mem'],
  ] as const)
    image(`backing-${name}`, 'qcow2', true, (path) => above(path, url));
  image('backing-hidden', 'qcow2', true, (path) => {
    above(path, secret);
    // The name far beyond what is looked at.
    copyFileSync(path, `${path}.tmp`);
    const name = Buffer.from(secret);
    patch(path, 8, u64(60_000n));
    patch(path, 60_000, name);
  });
  image('data-file', 'qcow2', true, (path) => {
    qemuImg(
      'create',
      '-q',
      '-f',
      'qcow2',
      '-o',
      `data_file=${directory}/data.bin,data_file_raw=on`,
      path,
      '8M',
    );
    const bytes = readFileSync(path);
    const at = bytes.indexOf(`${directory}/data.bin`);
    // The length of the name stands in the four bytes before it.
    patch(path, at - 4, u32(Math.min(secret.length, `${directory}/data.bin`.length)));
    patch(path, at, Buffer.from(secret));
  });
  const descriptor = (extents: string): string =>
    `# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType="monolithicFlat"\n\n${extents}\n\nddb.adapterType = "ide"\n`;
  image('extent-flat', 'vmdk', true, (path) => writeFileSync(path, descriptor(`RW 1 FLAT "${secret}" 0`)));
  image('extent-shadow', 'vmdk', true, (path) =>
    writeFileSync(path, descriptor('RW 1 FLAT "/etc/shadow" 0')),
  );
  image('extent-json', 'vmdk', true, (path) =>
    writeFileSync(
      path,
      descriptor(`RW 1 FLAT "json:{\\"driver\\":\\"file\\",\\"filename\\":\\"${secret}\\"}" 0`),
    ),
  );
  image('extent-far', 'vmdk', true, (path) =>
    writeFileSync(path, descriptor(`${'# padding\n'.repeat(3000)}RW 1 FLAT "${secret}" 0`)),
  );
  image('extent-inside', 'vmdk', true, (path) => {
    qemuImg('create', '-q', '-f', 'vmdk', path, '8M');
    // A capacity of 0 makes QEMU take the embedded text for a list of extents.
    const capacity = Buffer.alloc(8);
    patch(path, 12, capacity);
    patch(path, 512, Buffer.from(descriptor(`RW 1 FLAT "${secret}" 0`)));
  });
  image('vmdk-parent', 'vmdk', true, (path) => {
    qemuImg('create', '-q', '-f', 'vmdk', path, '8M');
    const text =
      readFileSync(path)
        .toString('latin1', 512, 512 + 600)
        .split('\0')[0] ?? '';
    const parented = text.replace('parentCID=ffffffff', `parentCID=12345678\nparentFileNameHint="${secret}"`);
    patch(path, 512, Buffer.from(parented, 'latin1'));
  });
  image('guest-made-qcow2', 'raw', true, (path) => above(path, secret));
  image('raw-as-qcow2', 'qcow2', true, (path) => writeFileSync(path, Buffer.alloc(65_536)));
  image('giant', 'qcow2', true, (path) => {
    plain(path);
    patch(path, 24, u64(1n << 62n));
  });
  image('giant-l1', 'qcow2', false, (path) => {
    plain(path);
    patch(path, 36, u32(0x7fff_ffff));
  });
  image('giant-refcounts', 'qcow2', false, (path) => {
    plain(path);
    patch(path, 56, u32(0x7fff_ffff));
  });
  image('l1-on-header', 'qcow2', false, (path) => {
    plain(path);
    patch(path, 40, u64(0n));
  });
  image('tables-beyond', 'qcow2', false, (path) => {
    plain(path);
    patch(path, 40, u64((1n << 55n) + 65_536n));
    patch(path, 48, u64((1n << 55n) + 65_536n));
  });
  image('snapshot-bomb', 'qcow2', true, (path) => {
    plain(path);
    patch(path, 60, u32(0xffff_ffff));
    patch(path, 64, u64(65_536n));
  });
  image('many-snapshots', 'qcow2', true, (path) => {
    plain(path);
    // Entries of zeros in a hole; QEMU takes 65,536 at most, and some 10 s for so many.
    patch(path, 60, u32(16_384));
    patch(path, 64, u64(1n << 24n));
    truncateSync(path, (1 << 24) + 16_384 * 64);
  });
  image('cluster-bits', 'qcow2', false, (path) => {
    plain(path);
    patch(path, 20, u32(63));
  });
  image('truncated', 'qcow2', false, (path) => {
    plain(path);
    truncateSync(path, 70_000);
  });
  image('header-only', 'qcow2', false, (path) => {
    plain(path);
    truncateSync(path, 104);
  });
  image('empty', 'qcow2', true, (path) => writeFileSync(path, ''));
  image('one-byte', 'qcow2', true, (path) => writeFileSync(path, 'Q'));
  image('sparse', 'qcow2', false, (path) => {
    plain(path);
    const fd = openSync(path, 'r+');
    ftruncateSync(fd, 1024 ** 4);
    closeSync(fd);
  });
  for (const format of ['vmdk', 'vdi', 'vhdx', 'vpc', 'qed'] as const)
    image(`cut-${format}`, format, false, (path) => {
      qemuImg('create', '-q', '-f', format, path, '8M');
      truncateSync(path, 1000);
    });
  image('vdi-giant', 'vdi', true, (path) => {
    qemuImg('create', '-q', '-f', 'vdi', path, '8M');
    const size = Buffer.alloc(8);
    size.writeBigUInt64LE(1n << 60n);
    patch(path, 0x170, size);
  });
  image('vdi-blocks', 'vdi', false, (path) => {
    qemuImg('create', '-q', '-f', 'vdi', path, '8M');
    const blocks = Buffer.alloc(4, 0xff);
    patch(path, 0x180, blocks);
  });
  image('qed-backing', 'qed', true, (path) =>
    qemuImg('create', '-q', '-u', '-f', 'qed', '-b', secret, '-F', 'raw', path, '8M'),
  );
  return made;
}
