/** The control files of the package: control, scripts of the maintainer, changelog, md5sums, conffiles. */
import { createHash } from 'node:crypto';
import { globSync, lstatSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { enabledUnits, writeFile } from './files.ts';

export const maintainer = 'The qward authors <qward@localhost>';

/** What qward runs, of Debian 12's archive. The versions of the C libraries are those that the runtime was linked against. */
const depends = [
  'qemu-system-x86 (>= 1:7.2)',
  'crun | runc',
  'libc6 (>= 2.28)',
  'libstdc++6 (>= 5)',
  'libgcc-s1 (>= 4.2)',
  'libatomic1 (>= 4.8)',
  'passwd',
  'debconf (>= 0.5) | debconf-2.0',
];
/** dbus-user-session: for limits of the machines of users, which their own systemd sets. openssh-client: `qward ssh`, and `qward -H`. */
const recommends = [
  'qemu-utils',
  'ovmf',
  'apparmor',
  'passt',
  'nftables',
  'dnsmasq-base',
  'swtpm',
  'qemu-system-common',
  'iproute2',
  'openssh-client',
  'dbus-user-session',
];

/** For the sound of a session's machine: QEMU's part that speaks to a server of sound. */
const suggests = ['qemu-system-gui'];

export function controlFile(version: string, installedKib: number): string {
  return `Package: qward
Version: ${version}
Architecture: amd64
Maintainer: ${maintainer}
Installed-Size: ${installedKib}
Depends: ${depends.join(', ')}
Recommends: ${recommends.join(', ')}
Suggests: ${suggests.join(', ')}
Section: admin
Priority: optional
Description: virtual machine manager for QEMU that jails every machine
 Each QEMU gets a uid of its own, no capability, a filter of system calls, six
 namespaces, an empty root and the descriptors of its own disks. Each of these
 walls is read back from the live process before the guest runs. At rest nothing
 of it runs as root.
`;
}

export function debianChangelog(version: string, at: Date): string {
  // RFC 5322 has what JavaScript calls UTC, but for the zone.
  const date = at.toUTCString().replace('GMT', '+0000');
  return `qward (${version}) unstable; urgency=medium

  * What is new is in /usr/share/doc/qward/changelog.gz.

 -- ${maintainer}  ${date}
`;
}

/** The scripts, with their common parts and the names of the units in them. */
export function writeScripts(root: string, tree: string): void {
  const from = join(root, 'packaging/debian');
  const part = (name: string): string => readFileSync(join(from, `${name}.sh`), 'utf8').trimEnd();
  const units = enabledUnits(root).join(' ');
  const userUnits = enabledUnits(root, 'systemd-user').join(' ');
  for (const script of ['config', 'postinst', 'prerm', 'postrm']) {
    const text = readFileSync(join(from, script), 'utf8')
      .replace('#NAMES#', () => part('names'))
      .replace('#SESSIONS#', () => part('sessions'))
      .replaceAll('#UNITS#', units)
      .replaceAll('#USER_UNITS#', userUnits);
    writeFile(join(tree, 'DEBIAN', script), text, 0o755);
  }
  writeFile(join(tree, 'DEBIAN/templates'), readFileSync(join(from, 'templates')));
}

/** Regular files below /etc are the administrator's from then on; all have their sums. */
export function writeLists(tree: string): void {
  const files = globSync('**', { cwd: tree, exclude: (name) => name === 'DEBIAN' })
    .filter((path) => lstatSync(join(tree, path)).isFile())
    .sort();
  const conffiles = files.filter((path) => path.startsWith('etc/'));
  const sumOf = (path: string): string =>
    createHash('md5')
      .update(readFileSync(join(tree, path)))
      .digest('hex');
  const sums = files.filter((path) => !path.startsWith('etc/')).map((path) => `${sumOf(path)}  ${path}\n`);
  writeFile(join(tree, 'DEBIAN/conffiles'), conffiles.map((path) => `/${path}\n`).join(''));
  writeFile(join(tree, 'DEBIAN/md5sums'), sums.join(''));
}
