/** What is on the machine that qward, its tools or its tests could have left there. */
import { readdirSync, readFileSync } from 'node:fs';
import { findCgroupMounts } from '../../src/jail/cgroups.ts';
import { startTimeOf } from '../../src/linux/process.ts';

/** One line for each thing, `kind: name`. */
export type Inventory = ReadonlySet<string>;

const ours = /qemu-system|qemu-img|qward|\brunc\b|\bcrun\b|libvirtd|virtlogd|virtqemud/;

function processes(): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry) && Number(entry) !== process.pid && Number(entry) !== process.ppid)
    .flatMap((pid) => {
      if (startTimeOf(Number(pid)) === undefined) return [];
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
        return ours.test(words.join(' ')) ? [`process: ${pid} ${words.join(' ').slice(0, 120)}`] : [];
      } catch {
        return [];
      }
    });
}

function mounts(): string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
    .filter((path) => path.includes('qward'))
    .map((path) => `mount: ${path}`);
}

function cgroups(): string[] {
  return findCgroupMounts().mounts.flatMap(({ path }) =>
    readdirSync(path, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && /qward|^machine/.test(entry.name))
      .map((entry) => `cgroup: ${path}/${entry.name}`),
  );
}

const files = (): string[] =>
  ['/run', '/tmp', '/var/tmp', '/etc', '/var/lib', '/var/log'].flatMap((directory) =>
    readdirSync(directory)
      .filter((name) => name.includes('qward'))
      .map((name) => `file: ${directory}/${name}`),
  );

const links = (): string[] => readdirSync('/sys/class/net').map((name) => `network link: ${name}`);

const accounts = (): string[] =>
  ['/etc/passwd', '/etc/group', '/etc/subuid', '/etc/subgid'].flatMap((path) => {
    try {
      return readFileSync(path, 'utf8')
        .split('\n')
        .filter(Boolean)
        .map((line) => `${path}: ${line}`);
    } catch {
      return [];
    }
  });

export function takeInventory(): Inventory {
  return new Set([...processes(), ...mounts(), ...cgroups(), ...files(), ...links(), ...accounts()]);
}

/** What is there now and was not there before. */
export function leftovers(before: Inventory, now: Inventory = takeInventory()): string[] {
  return [...now].filter((line) => !before.has(line));
}
