/** What the suites bring into the lab's host: the package, the demo guest, and whatever a suite adds. */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makePackage } from '../scripts/package.ts';
import { buildDemoGuest } from '../test/support/demo-guest.ts';
import type { LabHost } from './host.ts';

/** A host that runs scripts. */
type Demands = Pick<LabHost, 'demand'>;

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

/** Beside others on the machine that runs the lab's host the test guest may take longer than its limit: the verdict counts for the boot. */
export const kvmProvedScript = `for i in 1 2 3 4 5; do
  qward doctor | grep -q 'KVM .*a test guest ran' && break
  systemctl stop qward-manager.service && find /run/qward -name kvm.json -delete
done`;

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
  host: Demands,
): Promise<{ readonly ends: string; readonly signalled: readonly string[]; readonly seconds: number }> {
  const units = '_PID=1 + _SYSTEMD_UNIT=qward-machines.service';
  const journal = await host.demand(`journalctl -b -1 -o short-unix --no-pager ${units}`);
  const lines = journal.split('\n');
  const begun = lines.findIndex((line) => line.includes('Stopping qward-machines.service'));
  const end = lines.findIndex((line, at) => at > begun && /Stopped qward-machines\.service/.test(line));
  if (begun < 0 || end < 0)
    throw new Error(`qward-machines.service was not stopped:\n${journal.slice(-6000)}`);
  return {
    // Without time, host and program.
    ends: lines.map((line) => line.replace(/^\S+ \S+ [^:]+: /, '')).join('\n'),
    signalled: lines.filter((line) =>
      /qward-\S+\.scope: (Killing|Stopping timed|Sent signal)|Stopping qward-\S+\.scope/.test(line),
    ),
    seconds: Number.parseFloat(lines[end] ?? '') - Number.parseFloat(lines[begun] ?? ''),
  };
}

/**
 * Of guests with `qward.counter` or `qward.synced` that do not run, in their order: the last count that each told on its console, and
 * the one on its disk, which must be a sound image.
 */
export async function countersOf(
  host: Demands,
  ...names: readonly string[]
): Promise<readonly { readonly said: number; readonly written: number }[]> {
  const output = await host.demand(`set -e
for name in ${names.join(' ')}; do
  disk=/var/lib/qward/images/$name.qcow2
  qemu-img check -q $disk
  qemu-img dd -f qcow2 -O raw bs=512 count=1 if=$disk of=/run/sector
  said=$(cat /var/lib/qward/manager/console/$name/* | grep -aoE 'qward-demo: (counter|synced) [0-9]+' | tail -n 1)
  echo "\${said##* } $(tr -cd 0-9 </run/sector)"
  rm /run/sector
done`);
  return output
    .trimEnd()
    .split('\n')
    .map((line) => {
      const [said = '', written = ''] = line.split(' ');
      return { said: Number(said), written: Number(written) };
    });
}
