/** What a guest can attack inside QEMU, beside the walls around it: told, not judged. */
import { parseArguments, parseKeys, type Argument } from './arguments.ts';
import { firmwareFiles } from './firmware.ts';
import type { ProcessFacts } from '../protocol/broker.ts';
import type { ProcessState } from './process-state.ts';
import type { ExposureRow } from './report.ts';
import { shown, shownList } from './shown.ts';
import { faultsOfNesting } from './wall-guest-devices.ts';

/** Options that put something before the guest or behind it, and the key that names it. */
const deviceOptions: Readonly<Record<string, string>> = {
  device: 'driver',
  vga: 'type',
  watchdog: 'model',
  soundhw: 'model',
};
const backEndOptions: Readonly<Record<string, string>> = {
  blockdev: 'driver',
  drive: 'driver',
  netdev: 'type',
  nic: 'type',
  net: 'type',
  chardev: 'backend',
  serial: 'backend',
  parallel: 'backend',
  monitor: 'backend',
  qmp: 'backend',
  display: 'type',
  vnc: 'vnc',
  spice: 'spice',
  audiodev: 'driver',
  audio: 'driver',
  fsdev: 'fsdriver',
  virtfs: 'fsdriver',
  tpmdev: 'type',
};

/** Libraries that parse what a guest or a network peer sends, by the start of their file name. */
const riskyLibraries: Readonly<Record<string, string>> = {
  libslirp: 'user network stack; loaded with the binary, used only with a user network',
  'libspice-server': 'display server that parses its clients',
  libvirglrenderer: "renders the guest's 3D commands on the host",
  librutabaga: "renders the guest's 3D commands on the host",
  libusbredir: 'USB over the network',
  libcacard: 'smart cards of the guest',
  libiscsi: 'iSCSI client inside QEMU',
  librbd: 'Ceph client inside QEMU',
  libnfs: 'NFS client inside QEMU',
  libcurl: 'HTTP client inside QEMU',
  libssh: 'SSH client inside QEMU',
  libgfapi: 'Gluster client inside QEMU',
  libvdeplug: 'virtual switch client inside QEMU',
};

/** Machine types for which QEMU's developers treat a break-out as a security fault (docs/system/security.rst). */
const coveredMachines =
  /^(?:pc|q35|microvm|virt|pseries|s390-ccw-virtio|xenfv|xenpv|xenpvh)$|^(?:pc-q35|pc-i440fx|virt|pseries|s390-ccw-virtio)-\d/;

/** What the host knows of a file of its system. */
export interface FileVersion {
  /** The package that has it and its version; undefined: none is known. */
  readonly version?: string;
  /** When it was made: packages keep that as the time of the file's last change. */
  readonly made: Date;
}

/** What a look at the host has found, for the files of `filesOfExposure`. */
export interface ExposureOptions {
  readonly files?: ReadonlyMap<string, FileVersion> | undefined;
  /** What the kernel says of its build (uname(2), `version`). */
  readonly kernelBuild?: string | undefined;
}

/** Paths of the programs and firmware whose versions are told, as far as they are there. */
export function filesOfExposure({ exe, cmdline }: Pick<ProcessFacts, 'exe' | 'cmdline'>): readonly string[] {
  return [exe, ...firmwareFiles(parseArguments(cmdline.slice(1)))];
}

/** `at`: when it was looked, RFC 3339: ages are counted up to then. */
export function listExposure(
  state: ProcessState,
  at: string,
  { files = new Map(), kernelBuild = '' }: ExposureOptions = {},
): readonly ExposureRow[] {
  const { facts } = state;
  const args = parseArguments(facts.cmdline.slice(1));
  return [
    machineRow(args),
    acceleratorRow(args),
    nestedRow(args),
    { subject: 'devices', found: inventory(args, deviceOptions), note: 'what the guest drives directly' },
    {
      subject: 'back-ends',
      found: inventory(args, backEndOptions),
      note: 'what carries the data of the devices',
    },
    ...libraryRows(facts.mappedFiles),
    { subject: 'QEMU', found: shown(dated(facts.exe, files.get(facts.exe), at)), note: 'keep it current' },
    firmwareRow(args, files, at),
    {
      subject: 'kernel',
      found: shown(`${facts.kernel}${ageOf(buildDate(kernelBuild), at)}`),
      note: 'shared by every guest; keep it current',
    },
  ];
}

function firmwareRow(
  args: readonly Argument[],
  files: ReadonlyMap<string, FileVersion>,
  at: string,
): ExposureRow {
  const candidates = firmwareFiles(args);
  const path = candidates.find((one) => files.has(one)) ?? candidates[0] ?? '';
  return {
    subject: 'firmware',
    found: shown(dated(path, files.get(path), at)),
    note: 'what the guest runs first; keep it current',
  };
}

function dated(path: string, file: FileVersion | undefined, at: string): string {
  if (file === undefined) return path;
  return `${path}${file.version === undefined ? '' : `, ${file.version}`}${ageOf(file.made, at)}`;
}

const dayMs = 86_400_000;

/** `, of 2026-05-25, 6 months old`; empty where nothing is known. */
function ageOf(made: Date | undefined, at: string): string {
  if (made === undefined) return '';
  const days = Math.max(0, Math.floor((Date.parse(at) - made.getTime()) / dayMs));
  const [count, unit] =
    days < 60
      ? [days, 'day']
      : days < 730
        ? [Math.floor(days / 30.44), 'month']
        : [Math.floor(days / 365.25), 'year'];
  return `, of ${made.toISOString().slice(0, 10)}, ${count} ${unit}${count === 1 ? '' : 's'} old`;
}

/** Debian's kernels name their day; others the time of their build, as date(1) has it. */
function buildDate(text: string): Date | undefined {
  const day = /\((\d{4}-\d{2}-\d{2})\)/.exec(text)?.[1];
  const [, month, date, time, year] =
    /\b([A-Z][a-z]{2}) +(\d{1,2}) (\d{2}:\d{2}:\d{2}) (?:[A-Z]{3,4} )?(\d{4})\b/.exec(text) ?? [];
  const parsed = new Date(day ?? `${date} ${month} ${year} ${time} UTC`);
  return Number.isNaN(parsed.getTime()) ? undefined : parsed;
}

function machineRow(args: readonly Argument[]): ExposureRow {
  const machine = args.findLast(({ name }) => name === 'machine' || name === 'M');
  const type = parseKeys(machine?.value ?? '', 'type').get('type') || 'default';
  const note = coveredMachines.test(type)
    ? "inside QEMU's security policy (with KVM)"
    : "outside QEMU's security policy, or not named";
  return { subject: 'machine type', found: shown(type), note };
}

function acceleratorRow(args: readonly Argument[]): ExposureRow {
  const machine = args.findLast(({ name }) => name === 'machine' || name === 'M');
  const ofMachine = parseKeys(machine?.value ?? '', 'type').get('accel');
  const accel = args.find(({ name }) => name === 'accel');
  const ofOption = parseKeys(accel?.value ?? '', 'accel').get('accel');
  const found = args.some(({ name }) => name === 'enable-kvm') ? 'kvm' : ofOption || ofMachine || 'tcg';
  const note =
    found === 'kvm'
      ? 'guest code runs on the CPU'
      : 'QEMU promises no security under TCG: the walls are all there is';
  return { subject: 'accelerator', found: shown(found), note };
}

function nestedRow(args: readonly Argument[]): ExposureRow {
  const open = faultsOfNesting(args).length > 0;
  return {
    subject: 'nested virtualisation',
    found: open ? 'not switched off' : 'off',
    note: open ? 'the guest reaches the widest part of KVM' : 'the guest sees neither VMX nor SVM',
  };
}

/** Each thing with how often it is there. */
function inventory(args: readonly Argument[], options: Readonly<Record<string, string>>): string {
  const counts = new Map<string, number>();
  for (const { name, value } of args) {
    const key = Object.hasOwn(options, name) ? options[name] : undefined;
    if (key === undefined) continue;
    const kind = parseKeys(value, key).get(key) ?? '';
    const label = name === 'device' ? kind : `${name} ${kind}`.trim();
    counts.set(label, (counts.get(label) ?? 0) + 1);
  }
  if (counts.size === 0) return 'none';
  return shownList([...counts].map(([label, count]) => (count === 1 ? label : `${label} (${count})`)));
}

function libraryRows(mappedFiles: readonly string[]): ExposureRow[] {
  const names = mappedFiles.map((path) => path.slice(path.lastIndexOf('/') + 1));
  return Object.entries(riskyLibraries).flatMap(([start, note]) => {
    const file = names.find((name) => new RegExp(`^${start}[-.]`).test(name));
    return file === undefined ? [] : [{ subject: 'library', found: shown(file), note }];
  });
}
