/**
 * Debian's sshd for the demo guest, behind its own initial RAM disk, with a script that does what cloud-init would do with the seed:
 * it mounts it, and takes host key, user and keys from it.
 */
import { readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { directory, file, writeCpio } from './cpio.ts';
import { run } from './debian-package.ts';
import type { DemoGuest } from './demo-guest.ts';

const program = '/usr/sbin/sshd';

/** In place of cloud-init; user-data is JSON, a value a line. */
const start = `#!/bin/sh
export PATH=/bin
while read -r module; do insmod "/lib/modules/$module"; done </lib/modules/scsi.list 2>/dev/null
mkdir -p /seed /run/sshd /dev/pts /home
mount -t devpts devpts /dev/pts
mount -t iso9660 -o ro /dev/vdb /seed || echo "qward-demo: no seed" >/dev/console
value() { sed -n "s/^ *\\"$1\\": \\"\\(.*\\)\\",\\{0,1\\}$/\\1/p" /seed/user-data; }
user=$(value name)
mkdir -p "/home/$user"
printf '%b' "$(value ed25519_private)" >/etc/ssh/host-key
chmod 600 /etc/ssh/host-key
sed -n '/ssh_authorized_keys/,/]/s/^ *"\\(ssh-.*\\)",\\{0,1\\}$/\\1/p' /seed/user-data >/etc/ssh/keys
echo "$user:x:1000:1000::/home/$user:/bin/sh" >>/etc/passwd
hostname "$(value hostname)"
echo "qward-demo: sshd starts" >/dev/console
exec /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config 2>/tmp/sshd.log
`;

const config = `HostKey /etc/ssh/host-key
AuthorizedKeysFile /etc/ssh/keys
PermitRootLogin no
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
`;

/** Writes the guest's initial RAM disk with sshd in it. The switch `qward.sshd` starts it. */
export function addGuestSshd(guest: DemoGuest, target: string): DemoGuest {
  const libraries = [...run('ldd', [program], '/').matchAll(/(\/\S+) \(0x/g)].map(([, path = '']) => path);
  const files = [
    file('usr/sbin/sshd', readFileSync(program), 0o755),
    file('sbin/seeded-sshd', Buffer.from(start), 0o755),
    file('etc/ssh/sshd_config', Buffer.from(config)),
    file('etc/passwd', Buffer.from('root:x:0:0::/:/bin/sh\nsshd:x:100:100::/run/sshd:/bin/false\n')),
    file('etc/group', Buffer.from('root:x:0:\n')),
    ...libraries.map((path) => file(path.slice(1), readFileSync(realpathSync(path)), 0o755)),
  ];
  const directories = new Set<string>();
  for (const { path } of files)
    for (let above = dirname(path); above !== '.'; above = dirname(above)) directories.add(above);
  const archive = writeCpio([...[...directories].sort().map(directory), ...files]);
  // The kernel unpacks one archive after the other.
  writeFileSync(target, Buffer.concat([readFileSync(guest.initrd), archive]), { mode: 0o644 });
  return { ...guest, initrd: target };
}
