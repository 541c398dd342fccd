/** What the suites bring into the lab's host: the package, the demo guest, and whatever a suite adds. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makePackage } from '../scripts/package.ts';
import { buildDemoGuest } from '../test/support/demo-guest.ts';
import type { LabHost } from './host.ts';

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
cp /lab/vmlinuz /lab/initrd.cpio /var/lib/qward/images/
# The translator's SVM brings the host's kernel down where two CPUs run guests at the same time.
systemctl set-property qward.slice AllowedCPUs=1`;

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

/** The same under KVM, with switches of the demo guest on its command line and further keys of the definition. */
export function guestScript(name: string, switches: string, more = ''): string {
  return defineScript(name, 'kvm').replace(
    'cmdline: console=ttyS0}\n',
    `cmdline: console=ttyS0 quiet panic=-1 ${switches}}\n${more === '' ? '' : `${more}\n`}`,
  );
}

/** Answers to the package's questions, for an installation that asks nobody. */
export const preseed = (answers: Readonly<Record<string, string>>): string =>
  Object.entries(answers)
    .map(([question, answer]) => `echo 'qward qward/${question} ${answer}' | debconf-set-selections`)
    .join('\n');

/** How the boot before this one ended, by its journal, which must be kept on disk. */
export async function lastShutdown(
  host: LabHost,
): Promise<{ readonly ends: string; readonly signalled: readonly string[]; readonly seconds: number }> {
  const ends = await host.demand('journalctl -b -1 -o cat --no-pager --unit=qward-machines.service');
  const all = await host.demand('journalctl -b -1 -o short-unix --no-pager');
  const lines = all.split('\n');
  const begun = lines.findIndex((line) => line.includes('Stopping qward-machines.service'));
  const end = lines.findIndex((line, at) => at > begun && /Stopped qward-machines\.service/.test(line));
  if (begun < 0 || end < 0) throw new Error(`qward-machines.service was not stopped:\n${all.slice(-6000)}`);
  const signalled = lines.filter((line) =>
    /qward-\S+\.scope: (Killing|Stopping timed|Sent signal)|Stopping qward-\S+\.scope/.test(line),
  );
  return {
    ends,
    signalled,
    seconds: Number.parseFloat(lines[end] ?? '') - Number.parseFloat(lines[begun] ?? ''),
  };
}

/** Of a guest with `qward.counter` or `qward.synced` that does not run: the last count that it told on its console, and the one on its disk. */
export async function counterOf(
  host: LabHost,
  name: string,
): Promise<{ readonly said: number; readonly written: number }> {
  const console = await host.demand(`cat /var/lib/qward/manager/console/${name}/*`);
  const told = [...console.matchAll(/qward-demo: (?:counter|synced) (\d+)/g)].map(([, count]) =>
    Number(count),
  );
  const disk = `/var/lib/qward/images/${name}.qcow2`;
  const sector = await host.demand(
    `qemu-img dd -f qcow2 -O raw bs=512 count=1 if=${disk} of=/run/sector && cat /run/sector; rm -f /run/sector`,
  );
  return { said: told.at(-1) ?? 0, written: Number.parseInt(sector, 10) };
}
