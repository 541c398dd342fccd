/** Debian's cloud kernel, downloaded once and unpacked, not installed. */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { downloadPackage, run } from './debian-package.ts';

export interface KernelPackage {
  /** `6.1.0-56-cloud-amd64`, as `uname -r` says it. */
  readonly release: string;
  readonly vmlinuz: string;
  /** Directory of the modules that were asked for, at their paths below lib/modules/RELEASE. */
  readonly modules: string;
}

const metaPackage = 'linux-image-cloud-amd64';
function packageOf(cwd: string): string | undefined {
  const depends = run('apt-cache', ['depends', '--important', metaPackage], cwd);
  return /Depends: (linux-image-[0-9][\w.+-]*-cloud-amd64)\s/.exec(depends)?.[1];
}

/** Name of the package that the meta package stands for; reads Debian's lists anew where there are none. */
function findPackage(cwd: string, progress: (line: string) => void): string {
  const listed = packageOf(cwd);
  if (listed !== undefined) return listed;
  progress("reading Debian's package lists");
  run('apt-get', ['update', '--quiet'], cwd);
  const found = packageOf(cwd);
  if (found === undefined)
    throw new Error(`no package ${metaPackage}; is Debian's archive in /etc/apt/sources.list?`);
  return found;
}

function unpack(deb: string, into: string, wanted: RegExp): void {
  const listing = run('dpkg-deb', ['--contents', deb], into);
  const members = listing
    .split('\n')
    .map((line) => line.split(/\s+/)[5] ?? '')
    .filter((member) => wanted.test(member));
  writeFileSync(join(into, 'members'), members.join('\n'));
  run('sh', ['-c', 'dpkg-deb --fsys-tarfile "$1" | tar -x --no-same-owner -T members', 'sh', deb], into);
  for (const member of members.filter((name) => name.endsWith('.ko.xz')))
    run('xz', ['--decompress', member], into);
}

/**
 * Unpacks kernel and modules below `cache`, once; a later call finds them there and asks nobody.
 * Throws with apt's words where the package cannot be had.
 */
export function fetchKernel(
  cache: string,
  moduleNames: readonly string[],
  progress: (line: string) => void,
): KernelPackage {
  // What was unpacked for other modules lacks some of these.
  const wanted = createHash('sha256').update(moduleNames.join()).digest('hex').slice(0, 12);
  const kernels = join(cache, 'kernel', wanted);
  mkdirSync(kernels, { recursive: true });
  const locate = (release: string): KernelPackage => ({
    release,
    vmlinuz: join(kernels, release, `boot/vmlinuz-${release}`),
    modules: join(kernels, release, `lib/modules/${release}`),
  });
  const known = readdirSync(kernels)
    .filter((name) => !name.startsWith('.') && existsSync(locate(name).vmlinuz))
    .sort()
    .at(-1);
  if (known !== undefined) return locate(known);

  const work = join(kernels, `.unpack-${process.pid}`);
  mkdirSync(work);
  try {
    const name = findPackage(work, progress);
    progress(`downloading ${name} (27 MB)`);
    const deb = downloadPackage(name, work);
    progress('unpacking the kernel');
    unpack(deb, work, new RegExp(String.raw`/vmlinuz-|/(${moduleNames.join('|')})\.ko(\.xz)?$`));
    rmSync(join(work, deb));
    const release = name.replace('linux-image-', '');
    if (!existsSync(locate(release).vmlinuz)) renameSync(work, join(kernels, release));
    return locate(release);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
