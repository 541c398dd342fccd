/** What the suites bring into the lab's host: the package, the demo guest, and whatever a suite adds. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makePackage } from '../scripts/package.ts';
import { buildDemoGuest } from '../test/support/demo-guest.ts';

export interface Payload extends Disposable {
  readonly directory: string;
}

/** A directory with qward.deb, vmlinuz and initrd.cpio, which are in /lab of the host. */
export async function makePayload(): Promise<Payload> {
  const directory = mkdtempSync(join(tmpdir(), 'qward-payload-'));
  const made = await makePackage(join(directory, 'made'), { plain: true });
  copyFileSync(made, join(directory, 'qward.deb'));
  rmSync(join(directory, 'made'), { recursive: true });
  const guest = buildDemoGuest();
  copyFileSync(guest.kernel, join(directory, 'vmlinuz'));
  copyFileSync(guest.initrd, join(directory, 'initrd.cpio'));
  return { directory, [Symbol.dispose]: () => rmSync(directory, { recursive: true, force: true }) };
}

/** Installs the package and puts the demo guest and a disk `NAME.qcow2` for each machine into the storage root. */
export const installScript = `set -e
dpkg -i /lab/qward.deb
modprobe kvm_amd
cp /lab/vmlinuz /lab/initrd.cpio /var/lib/qward/images/`;

/** Defines a machine with the demo guest and a disk of its own. */
export function defineScript(name: string, accel: 'kvm' | 'tcg'): string {
  const images = '/var/lib/qward/images';
  return `set -e
qemu-img create -q -f qcow2 ${images}/${name}.qcow2 64M
qward define - <<'END'
name: ${name}
accel: ${accel}
memory: 128MiB
disks: [{id: root, path: ${images}/${name}.qcow2, format: qcow2}]
boot: {kernel: ${images}/vmlinuz, initrd: ${images}/initrd.cpio, cmdline: console=ttyS0}
END`;
}
