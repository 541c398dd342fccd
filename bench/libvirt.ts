/**
 * A libvirt daemon of the bench's own, started by hand as root with libvirt's defaults. Runs only where the bench has a
 * mount namespace to itself (bench/run): libvirt's directories are fixed at build time, and are covered here.
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readlinkSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { showLibvirtAccount } from '../test/support/libvirt-account.ts';
import { command } from './measure.ts';
import { machineName, type BenchGuest } from './guest.ts';

const directories = [
  '/etc/libvirt',
  '/var/lib/libvirt',
  '/run/libvirt',
  '/var/log/libvirt',
  '/var/cache/libvirt',
];

export const libvirtInstalled = (): boolean =>
  ['/usr/sbin/libvirtd', '/usr/sbin/virtlogd', '/usr/bin/virsh'].every((path) => existsSync(path));

/** The same machine that qward's definition in guest.ts describes. */
function domainXml(name: string, guest: BenchGuest, disk: string): string {
  return `<domain type='qemu'>
  <name>${name}</name>
  <memory unit='MiB'>${guest.memoryMib}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${guest.kernel}</kernel>
    <initrd>${guest.initrd}</initrd>
    <cmdline>${guest.cmdline}</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='maximum'/>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' discard='unmap'/>
      <source file='${disk}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <controller type='usb' model='none'/>
    <serial type='pty'/>
    <console type='pty'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='virtio'/>
    <video><model type='none'/></video>
  </devices>
</domain>
`;
}

export interface Libvirt extends AsyncDisposable {
  /** Defines domains that start with the daemon, one for each disk of the guest. */
  readonly defineAutostarted: (guest: BenchGuest, nameOf: (index: number) => string) => Promise<void>;
  /** Ends the daemon and starts it as after a boot of the host; resolves when so many domains run. */
  readonly boot: (running: number) => Promise<void>;
  readonly version: string;
  /** Arguments of a virsh call. */
  readonly virsh: (...args: readonly string[]) => readonly string[];
}

async function answering(virsh: (...args: readonly string[]) => readonly string[]): Promise<string> {
  const deadline = performance.now() + 30_000;
  for (;;) {
    try {
      return await command(['timeout', '5', ...virsh('version')]);
    } catch (error) {
      if (performance.now() > deadline) throw error;
    }
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 5_000);
  await ended;
  clearTimeout(timer);
}

async function define(virsh: Libvirt['virsh'], guest: BenchGuest, names: readonly string[]): Promise<void> {
  const commands = names.map((name, index) => {
    const path = `/var/lib/libvirt/${name}.xml`;
    writeFileSync(path, domainXml(name, guest, guest.disks[index] ?? guest.disks[0] ?? ''));
    return `define ${path}`;
  });
  await command(virsh(commands.join('; ')));
}

const runningIn = async (virsh: Libvirt['virsh']): Promise<number> => {
  const names = await command(virsh('list', '--name', '--state-running')).catch(() => '');
  return names.split('\n').filter(Boolean).length;
};

/** Starts the daemon with one domain for each disk, and as many more as make `defined` in all. */
export async function startLibvirt(guest: BenchGuest, defined: number): Promise<Libvirt> {
  if (readlinkSync('/proc/self/ns/mnt') === guest.hostMountNamespace)
    throw new Error('the bench must have a mount namespace of its own; start it by bench/run');
  for (const directory of directories) {
    mkdirSync(directory, { recursive: true });
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'mode=0755', 'qward-bench', directory]);
  }
  const cgroups = ['/sys/fs/cgroup', ...guest.cgroupMounts].map((mount) => `${mount}/machine`);
  const before = new Set(cgroups.filter((path) => existsSync(path)));
  showLibvirtAccount('/var/lib/libvirt');
  const virtlogd = spawn('/usr/sbin/virtlogd', [], { stdio: 'ignore' });
  const startDaemon = (): ChildProcess => spawn('/usr/sbin/libvirtd', [], { stdio: 'ignore' });
  let libvirtd = startDaemon();
  const virsh = (...args: readonly string[]): readonly string[] => [
    'virsh',
    '-q',
    '-c',
    'qemu:///system',
    ...args,
  ];
  const dispose = async (): Promise<void> => {
    const running = await command(virsh('list', '--name')).catch(() => '');
    for (const name of running.split('\n').filter(Boolean))
      await command(virsh('destroy', name)).catch(() => '');
    await end(libvirtd);
    await end(virtlogd);
    for (const path of cgroups.filter((path) => existsSync(path) && !before.has(path))) {
      try {
        rmdirSync(path);
      } catch {
        // Not empty: not only ours.
      }
    }
  };
  try {
    const said = await answering(virsh);
    const names = Array.from({ length: defined }, (_, index) => machineName(index));
    await define(virsh, guest, names);
    const version = /libvirt (\d+\.\d+\.\d+)/.exec(said)?.[1] ?? 'unknown';
    return {
      version,
      virsh,
      defineAutostarted: async (autostarted, nameOf) => {
        const own = autostarted.disks.map((_, index) => nameOf(index));
        await define(virsh, autostarted, own);
        await command(virsh(own.map((name) => `autostart ${name}`).join('; ')));
      },
      boot: async (running) => {
        await end(libvirtd);
        // virDriverShouldAutostart: what tells the daemon that the host's boot is over.
        rmSync('/run/libvirt/qemu/autostarted', { force: true });
        libvirtd = startDaemon();
        while ((await runningIn(virsh)) < running) await delay(20);
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}
