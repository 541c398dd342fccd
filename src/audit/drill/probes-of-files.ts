/** What must not be seen or changed: files of the host, devices, and what a machine's own descriptors do not give. */
import { call, here } from './calls.ts';
import type { Probe, Surroundings } from './probe.ts';
import { room, text, type Step } from './script.ts';

const readOnly = 0;
const writeOnly = 1;
const readWrite = 2;
const directory = 0o200000;
const create = 0o100;
const characterDevice = 0o20666;

const open = (path: string, flags = readOnly): Step[] => [call('openat', here, text(path), flags)];
const look = (path: string): Step[] => [call('stat', text(path), room(144))];
const tunnel = '/dev/net/tun';
const shadow = '/etc/shadow';
const memory = '/dev/mem';
const memorySetting = '/sys/kernel/mm/transparent_hugepage/enabled';
const kernelSetting = '/proc/sys/kernel/core_pattern';

export const fileProbes: readonly Probe[] = [
  {
    name: 'read-shadow',
    wall: 'root',
    attempt: `open ${shadow}`,
    control: 'there',
    steps: () => open(shadow),
    controlSteps: () => look(shadow),
  },
  same('read-passwd', 'root', 'open /etc/passwd', () => open('/etc/passwd')),
  same('list-home', 'root', 'open /home', () => open('/home', directory)),
  same('read-through-proc', 'root', 'open /proc/self/root/etc/passwd', () =>
    open('/proc/self/root/etc/passwd'),
  ),
  {
    name: 'image-by-path',
    wall: 'root',
    attempt: 'open the image of a machine by its path',
    control: 'there',
    on: ({ image }) => image !== null,
    steps: ({ image }) => open(image ?? ''),
    controlSteps: ({ image }) => look(image ?? ''),
    absent: ['EACCES'],
  },
  same('file-of-a-process', 'pid-namespace', 'open a descriptor of another process in /proc', ({ pid }) =>
    open(`/proc/${pid}/fd/0`),
  ),
  same('read-kernel-symbols', 'root', 'open /proc/kallsyms', () => open('/proc/kallsyms')),
  {
    name: 'write-proc-sys',
    wall: 'root',
    attempt: `open ${kernelSetting} for writing`,
    control: 'there',
    steps: () => open(kernelSetting, writeOnly),
    controlSteps: () => look(kernelSetting),
  },
  {
    name: 'write-sysfs',
    wall: 'root',
    attempt: `open ${memorySetting} for writing`,
    control: 'there',
    absent: ['ENOENT'],
    steps: () => open(memorySetting, writeOnly),
    controlSteps: () => look(memorySetting),
  },
  same('create-file', 'root', 'make a file', () => open('qward-drill', writeOnly | create)),
  same('make-node', 'dev', 'make a device node', () => [
    call('mknodat', here, text('dev/qward-drill'), characterDevice, 0),
  ]),
  {
    ...same('open-tunnel', 'dev', `open ${tunnel}`, () => open(tunnel, readWrite)),
    absent: ['ENOENT', 'EACCES', 'ENODEV'],
  },
  {
    name: 'open-memory',
    wall: 'dev',
    attempt: `open ${memory}`,
    control: 'there',
    absent: ['ENOENT'],
    steps: () => open(memory),
    controlSteps: () => look(memory),
  },
  {
    name: 'open-host-disk',
    wall: 'dev',
    attempt: 'open a disk of the host',
    control: 'there',
    on: ({ disk }) => disk !== null,
    steps: ({ disk }) => open(disk ?? ''),
    controlSteps: ({ disk }) => look(disk ?? ''),
  },
  {
    name: 'open-usb-device',
    wall: 'dev',
    attempt: 'open a USB device of the host by its node',
    control: 'there',
    on: ({ usb }) => usb !== null,
    steps: ({ usb }) => open(usb ?? '', readWrite),
    controlSteps: ({ usb }) => look(usb ?? ''),
  },
];

/** All of them leave the file as it is where they succeed. */
export const descriptorProbes: readonly Probe[] = [
  {
    ...same('write-read-only', 'descriptors', 'write to a descriptor for reading', ({ readOnly: fd }) => [
      call('pwrite64', fd ?? -1, text(''), 0, 0),
    ]),
    controlSteps: ({ writable }) => [call('pwrite64', writable ?? -1, text(''), 0, 0)],
    on: ({ readOnly: fd }) => fd !== null,
  },
  {
    ...same('reopen-for-writing', 'descriptors', 'open a descriptor for reading again for writing', (place) =>
      open(`/proc/self/fd/${place.readOnly ?? -1}`, readWrite),
    ),
    on: ({ readOnly: fd }) => fd !== null,
  },
  onFile('change-mode', "change an image's mode", (fd) => {
    const stat = room(144);
    return [call('fstat', fd, stat), call('fchmod', fd, { wordOf: stat, offset: 24 })];
  }),
  onFile('change-owner', "change an image's owner", (fd) => {
    const stat = room(144);
    return [call('fstat', fd, stat), call('fchown', fd, { wordOf: stat, offset: 28 }, -1)];
  }),
  onFile('change-times', "change an image's times", (fd) => {
    const stat = room(144);
    return [call('fstat', fd, stat), call('utimensat', fd, 0, { in: stat, offset: 72 }, 0)];
  }),
  {
    // XATTR_REPLACE of one that is not there.
    ...onFile('change-attribute', 'set an extended attribute on an image', (fd) => [
      { ...call('fsetxattr', fd, text('user.qward-drill'), text(''), 0, 2), reached: ['ENODATA'] },
    ]),
    absent: ['EOPNOTSUPP'],
  },
  {
    name: 'open-by-handle',
    wall: 'seccomp',
    attempt: 'open a file by its handle',
    control: 'root',
    steps: () => [
      {
        ...call('open_by_handle_at', here, { words: [(1n << 32n) | 8n, 0] }, readOnly),
        reached: ['ESTALE', 'EINVAL', 'EOPNOTSUPP'],
      },
    ],
  },
];

function same(
  name: string,
  wall: Probe['wall'],
  attempt: string,
  steps: (place: Surroundings) => readonly Step[],
): Probe {
  return { name, wall, attempt, control: 'same', steps };
}

function onFile(name: string, attempt: string, steps: (fd: number) => readonly Step[]): Probe {
  const fdOf = ({ writable, readOnly: fd }: Surroundings): number | null => writable ?? fd;
  return {
    ...same(name, 'seccomp', attempt, (place) => steps(fdOf(place) ?? -1)),
    on: (place) => fdOf(place) !== null,
  };
}
