/**
 * The account that Debian's libvirt runs its QEMUs as comes with libvirt-daemon-system, which also brings services. Where it is not
 * there, it is shown to this mount namespace alone: whoever calls has one of its own.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const account = {
  passwd: 'libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin',
  group: 'libvirt-qemu:x:64055:',
};

/** `directory` is covered by a file system of the caller's. */
export function showLibvirtAccount(directory: string): void {
  for (const [file, line] of Object.entries(account)) {
    const text = readFileSync(`/etc/${file}`, 'utf8');
    if (/^libvirt-qemu:/m.test(text)) continue;
    writeFileSync(`${directory}/${file}`, `${text}${line}\n`);
    execFileSync('mount', ['--bind', `${directory}/${file}`, `/etc/${file}`]);
  }
}
