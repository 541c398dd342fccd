/** Debian's smallest Python for the demo guest, behind its initial RAM disk: what the runner of throwaway machines needs, as cloud images have it. */
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';
import { file } from './cpio.ts';
import { addToInitrd, librariesOf } from './guest-initrd.ts';
import { downloadPackage, run } from './debian-package.ts';
import { defaultCache, type DemoGuest } from './demo-guest.ts';

/** Where the host has much else to do, a kernel under TCG takes the late ticks of its timer for a fault of the board, and panics. */
const switches = 'no_timer_check qward.runner';

/** Unpacks it below the cache, once, with its modules compiled as an installation leaves them. */
function pythonTree(): string {
  const place = join(defaultCache, 'python');
  if (existsSync(place)) return place;
  mkdirSync(defaultCache, { recursive: true });
  const work = mkdtempSync(join(defaultCache, '.python-'));
  try {
    const depends = run('apt-cache', ['depends', '--important', 'python3-minimal'], work);
    const name = /Depends: (python3\.\d+-minimal)\s/.exec(depends)?.[1] ?? '';
    for (const wanted of [name, `lib${name}`]) {
      mkdirSync(join(work, wanted));
      const deb = downloadPackage(wanted, join(work, wanted));
      run('dpkg-deb', ['--extract', join(work, wanted, deb), 'tree'], work);
    }
    const version = name.replace('-minimal', '');
    const python = join(work, 'tree/usr/bin', version);
    run(python, ['-I', '-S', '-m', 'compileall', '-q', join(work, 'tree/usr/lib', version)], work);
    cpSync(python, join(work, 'tree/usr/bin/python3'));
    renameSync(join(work, 'tree'), place);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return place;
}

/** What `import os, select, signal, struct, sys, time` reads. */
const modules =
  /^(?:encodings\/(?:__init__|aliases|utf_8|ascii|latin_1)|collections\/(?:__init__|abc)|(?:codecs|io|abc|os|stat|posixpath|genericpath|_collections_abc|signal|enum|types|functools|operator|keyword|reprlib|struct|site|_sitebuiltins|warnings|linecache|tokenize|token|re\/.*))\.py$/;

/** Writes the guest's initial RAM disk with Python in it. The switch `qward.runner` follows the seed. */
export function addGuestRunner(guest: DemoGuest, target: string): DemoGuest {
  const tree = pythonTree();
  const binary = join(tree, 'usr/bin/python3');
  const [version = ''] = readdirSync(join(tree, 'usr/lib')).filter((name) => /^python3\.\d+$/.test(name));
  const library = join(tree, 'usr/lib', version);
  const compiled = readdirSync(library, { recursive: true, encoding: 'utf8' }).filter((path) => {
    const [, above = '', name = ''] = /^(.*?)__pycache__\/(.*)\.cpython-\d+\.pyc$/.exec(path) ?? [];
    return modules.test(`${above}${name}.py`) || modules.test(path);
  });
  const files = [
    file('usr/bin/python3', readFileSync(binary), 0o755),
    ...compiled.map((path) => file(`usr/lib/${version}/${path}`, readFileSync(join(library, path)))),
    ...librariesOf(binary),
  ];
  addToInitrd(guest, target, files);
  return { ...guest, initrd: target, cmdline: `${guest.cmdline} ${switches}` };
}

/** In Python's place: what says anything on the runner's port, as the switch `qward.hostile` has it. */
const hostile = `#!/bin/sh
export PATH=/bin
for port in /sys/class/virtio-ports/*; do
  [ "$(cat "$port/name")" = org.qward.runner.0 ] && exec 3<>"/dev/\${port##*/}"
done
hello() { printf 'H\\0\\0\\0\\0\\0\\0\\0\\016qward-runner 1' >&3; }
case $(sed -n 's/.*qward.hostile=\\([a-z]*\\).*/\\1/p' /proc/cmdline) in
  garbage) echo '{"return": {}}' >&3 ;;
  flood) hello; cat /dev/zero >&3 ;;
  stranger) hello; printf 'O\\0\\0\\0\\011\\0\\0\\0\\001x' >&3 ;;
  beyond) hello; printf 'B\\200\\0\\0\\0\\0\\0\\0\\0017' >&3 ;;
  word) hello; printf 'B\\200\\0\\0\\0\\0\\0\\0\\014127.0.0.1:80' >&3 ;;
  alias) hello; printf 'B\\0\\0\\0\\001\\0\\0\\0\\0010' >&3 ;;
  twice) hello; printf 'B\\200\\0\\0\\0\\0\\0\\0\\0010B\\200\\0\\0\\0\\0\\0\\0\\0010' >&3 ;;
  much) hello; printf 'B\\200\\0\\0\\0\\0\\0\\0\\0010' >&3
    while :; do printf 'O\\200\\0\\0\\0\\0\\0\\200\\0'; head -c 32768 /dev/zero; done >&3 ;;
esac
sleep 1000
`;

export function addHostileRunner(guest: DemoGuest, target: string): DemoGuest {
  addToInitrd(guest, target, [file('usr/bin/python3', Buffer.from(hostile), 0o755)]);
  return { ...guest, initrd: target, cmdline: `${guest.cmdline} ${switches}` };
}
