/** Whether a machine of another host comes up here as it is there: its words for QEMU, QEMU itself, the CPU, its files. Pure. */
import type { MoveMessage } from '../../api/migration-contract.ts';
import type { Fault } from '../../definition/fault.ts';
import type { FileIdentity, FileProbe } from '../../protocol/broker.ts';
import type { FileMark, FileMarks } from '../planner.ts';
import { argumentsDiffer } from '../saved/same-machine.ts';
import { withoutIncoming } from '../saved/what-runs.ts';

export type Offer = Extract<MoveMessage, { readonly kind: 'offer' }>;
export type OfferedFiles = Offer['files'];

export interface Here {
  readonly argv: readonly string[];
  readonly marks: FileMarks;
  readonly qemu: Offer['qemu'] | null;
  readonly cpu: string;
}

const fault = (message: string, hint: string): Fault => ({ code: 'migration-failed', message, hint });

/** Every reason at once. */
export function whatDoesNotFit(offer: Offer, here: Here): readonly Fault[] {
  const differs = argumentsDiffer(offer.argv, withoutIncoming(here.argv));
  const { qemu } = here;
  const series = qemu !== null && (qemu.major !== offer.qemu.major || qemu.minor !== offer.qemu.minor);
  return [
    ...(differs === undefined
      ? []
      : [
          fault(
            `the other host would give it another machine: ${differs}`,
            'both hosts need the same accelerator and defaults',
          ),
        ]),
    ...(series
      ? [
          fault(
            `it runs in QEMU ${offer.qemu.major}.${offer.qemu.minor}, and the other host has ${qemu.major}.${qemu.minor}`,
            'install the same QEMU on both',
          ),
        ]
      : []),
    ...(offer.cpu === null || offer.cpu === here.cpu
      ? []
      : [
          fault(
            'its guest sees the CPU of this host, and the other host has another',
            'give it a model that both have: `cpu.model`',
          ),
        ]),
    ...unnamedDevices(here.marks),
    ...otherFiles(offer.files, here.marks),
  ];
}

/** SECURITY: promise 7. Of a device no time is known: only a name that is its own tells it from another one of its size. */
function unnamedDevices(here: FileMarks): readonly Fault[] {
  return Object.entries(here).flatMap(([path, { modifiedMs }]) =>
    modifiedMs !== null || ownName.test(path)
      ? []
      : [
          fault(
            `${path} is a block device, and may be another one on each host`,
            'name it by its id: /dev/disk/by-id/, in the definition and in `blockDevices` of both policies',
          ),
        ],
  );
}

/** Names of the device mapper are a host's own; ids are in the device, or in what is on it. */
const ownName = /^\/dev\/disk\/by-id\/(?!dm-name-)[^/]+$/;

/** Of what its guest writes only the end tells; the rest must be the same now. */
function otherFiles(offered: OfferedFiles, here: FileMarks): readonly Fault[] {
  return Object.entries(offered).flatMap(([path, { written, ...mark }]) => {
    const found = here[path];
    if (found !== undefined && (written || sameMark(mark, found))) return [];
    return [
      fault(
        found === undefined
          ? `${path} is no file of the machine on the other host`
          : `${path} is another file on the other host: it has another size or time`,
        'the files of a machine that moves must be the same on both hosts, by the same paths',
      ),
    ];
  });
}

/**
 * SECURITY: promise 7. Marks are of what is found by a path; the guest writes to what its QEMU has open. A sentence for each file that the
 * other side does not name, though this one writes to it, or that is not the open one any more.
 */
export function notTheDisks({
  written,
  there,
  here,
  opened,
}: {
  /** Paths that this launch may write to. */
  readonly written: readonly string[];
  readonly there: FileMarks;
  readonly here: readonly FileProbe[];
  /** What QEMU was given by each path. */
  readonly opened: Readonly<Record<string, FileIdentity>>;
}): readonly string[] {
  const unnamed = written.filter((path) => !Object.hasOwn(there, path));
  const others = here.flatMap((file) => {
    const known = Object.hasOwn(opened, file.path) ? opened[file.path] : undefined;
    const same = file.ok && known?.device === file.device && known.inode === file.inode;
    return same ? [] : [file.path];
  });
  return [
    ...unnamed.map((path) => `${path} is written to, and on this one it is not`),
    ...others.map((path) => `${path} is another file by now than the one that QEMU has open`),
  ];
}

const sameMark = (one: FileMark, other: FileMark): boolean =>
  one.size === other.size && one.modifiedMs === other.modifiedMs;

/** Whether the guest sees what the CPU of the host has. */
export function seesHostCpu(argv: readonly string[]): boolean {
  const cpu = argv[argv.indexOf('-cpu') + 1] ?? '';
  const accelerated = argv.some((word, index) => argv[index - 1] === '-accel' && word.startsWith('kvm'));
  return accelerated && /^(?:host|max)\b/.test(cpu);
}

/** What of /proc/cpuinfo a guest sees: the first CPU's family, model, stepping, microcode aside, and its flags. */
export function cpuOf(cpuinfo: string): string {
  const wanted = ['vendor_id', 'cpu family', 'model', 'model name', 'stepping', 'flags'];
  const [first = ''] = cpuinfo.split('\n\n');
  return first
    .split('\n')
    .flatMap((line) => {
      const [key = '', value = ''] = line.split(':').map((part) => part.trim());
      return wanted.includes(key) ? [`${key}=${value}`] : [];
    })
    .join(';')
    .slice(0, 8192);
}
