/** The image of the lab's host: made once by debootstrap, kept in .cache/lab, made anew when the recipe changes. */
import { execFileSync, spawn } from 'node:child_process';
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { diskMib, guestFiles, initramfsModules, packages, recipeKey, suite } from './recipe.ts';

export interface LabImage {
  /** A raw ext4 file system; booted with an overlay above it, never written. */
  readonly disk: string;
  readonly kernel: string;
  readonly initrd: string;
}

export const labCache = resolve(import.meta.dirname, '../.cache/lab');

/** The image of this recipe. Takes some two minutes where it has to be made; `say` tells each step. Needs root. */
export async function labImage(say: (line: string) => void): Promise<LabImage> {
  const directory = join(labCache, recipeKey());
  const image = imageIn(directory);
  if (existsSync(image.disk)) return image;
  const building = join(labCache, 'building');
  rmSync(building, { recursive: true, force: true });
  mkdirSync(join(labCache, 'packages'), { recursive: true });
  rmSync(join(labCache, 'build.log'), { force: true });
  mkdirSync(building);
  const root = join(building, 'root');
  try {
    say(`making the host's file system with debootstrap (${packages.length} packages, one to three minutes)`);
    await debootstrap(root, packages);
    say('setting it up');
    await configure(root);
    await underSystemd(root);
    await inside(root, 'update-initramfs', '-u', '-k', 'all');
    say('making its disk');
    finish(building, root);
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
  removeOthers();
  renameSync(building, directory);
  return image;
}

function imageIn(directory: string): LabImage {
  const [disk, kernel, initrd] = ['disk.img', 'vmlinuz', 'initrd.img'].map((name) => join(directory, name));
  return { disk: disk ?? '', kernel: kernel ?? '', initrd: initrd ?? '' };
}

/** A file system with these packages. */
export const debootstrap = (root: string, wanted: readonly string[]): Promise<void> =>
  enclosed('debootstrap', [
    '--variant=minbase',
    `--include=${wanted.join(',')}`,
    `--cache-dir=${join(labCache, 'packages')}`,
    suite,
    root,
    mirror(),
  ]);

/** Where this host has its packages from. */
function mirror(): string {
  const targets = execFileSync(
    'apt-get',
    ['indextargets', '--format', '$(SITE) $(RELEASE) $(COMPONENT)', 'Created-By: Packages'],
    { encoding: 'utf8' },
  );
  const site = targets
    .split('\n')
    .map((line) => line.split(' '))
    .find(([, release, component]) => release === suite && component === 'main')?.[0];
  if (site === undefined)
    throw new Error(
      `apt has no package lists of Debian ${suite} main: run \`apt-get update\` on a Debian 12 host`,
    );
  return site;
}

/** In a mount namespace of its own: what it mounts in the new root goes with it. */
function enclosed(program: string, args: readonly string[]): Promise<void> {
  return run('unshare', ['--mount', '--propagation', 'private', program, ...args]);
}

/** Its output goes to a log; the error names it and shows its end. */
async function run(program: string, args: readonly string[]): Promise<void> {
  const log = join(labCache, 'build.log');
  appendFileSync(log, `\n${program} ${args.join(' ')}\n`);
  const child = spawn(program, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C', DEBIAN_FRONTEND: 'noninteractive' },
  });
  let end = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (piece: Buffer) => {
      appendFileSync(log, piece);
      end = (end + piece.toString('utf8')).slice(-2000);
    });
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  if (status !== 0)
    throw new Error(`${program} ended with status ${status}; all of its output is in ${log}\n${end}`);
}

async function configure(root: string): Promise<void> {
  const write = (path: string, text: string): void => writeFileSync(join(root, path), text);
  write('etc/hostname', 'lab\n');
  write('etc/hosts', '127.0.0.1 localhost lab\n');
  write('etc/fstab', '/dev/vda / ext4 defaults 0 1\n');
  // A machine id that is there keeps systemd from taking this for the first boot, with its presets.
  write('etc/machine-id', `${'1ab'.repeat(10)}00\n`);
  write('etc/initramfs-tools/modules', `${initramfsModules.join('\n')}\n`);
  write('etc/initramfs-tools/conf.d/lab', 'MODULES=list\nCOMPRESS=zstd\nRESUME=none\n');
  copyFileSync(join(guestFiles, 'lab-agent'), join(root, 'usr/local/sbin/lab-agent'));
  await inside(root, 'chmod', '0755', '/usr/local/sbin/lab-agent');
}

export const inside = (root: string, ...words: string[]): Promise<void> =>
  enclosed('chroot', [root, ...words]);

/** Nobody logs in, nothing is fetched, and what only costs time at boot is left out: a suite unmasks what it needs. */
async function underSystemd(root: string): Promise<void> {
  copyFileSync(join(guestFiles, 'lab-agent.service'), join(root, 'etc/systemd/system/lab-agent.service'));
  await inside(root, 'systemctl', 'enable', 'lab-agent.service');
  const idle = [
    'getty@tty1.service',
    'serial-getty@ttyS0.service',
    'apt-daily.timer',
    'apt-daily-upgrade.timer',
  ];
  await inside(
    root,
    'systemctl',
    'mask',
    ...idle,
    'e2scrub_reap.service',
    'man-db.timer',
    'fstrim.timer',
    'ssh.service',
  );
}

function finish(building: string, root: string): void {
  for (const [name, target] of [
    ['vmlinuz', 'vmlinuz'],
    ['initrd.img', 'initrd.img'],
  ] as const) {
    const found = readdirSync(join(root, 'boot')).find((file) => file.startsWith(`${name}-`));
    if (found === undefined) throw new Error(`the kernel package left no /boot/${name}-*`);
    copyFileSync(join(root, 'boot', found), join(building, target));
  }
  for (const waste of ['var/cache/apt/archives', 'var/lib/apt/lists', 'usr/share/doc', 'usr/share/locale'])
    rmSync(join(root, waste), { recursive: true, force: true });
  const disk = join(building, 'disk.img');
  const options = ['-q', '-t', 'ext4', '-m', '0', '-d', root];
  execFileSync('mke2fs', [...options, disk, `${diskMib}M`], { stdio: 'pipe' });
}

/** Images of recipes that are no more. */
function removeOthers(): void {
  const kept = recipeKey();
  for (const name of readdirSync(labCache))
    if (/^[0-9a-f]{16}/.test(name) && !name.startsWith(kept))
      rmSync(join(labCache, name), { recursive: true, force: true });
}
