/** Other processes, and doors into the kernel that QEMU has no need of. */
import { call, here } from './calls.ts';
import type { Probe, Surroundings } from './probe.ts';
import { room, text, type Step, type Words } from './script.ts';

const seize = 0x4206;
const currentProcess = 0;
/** Code of the prober, which every prober has at the same place. */
const readable = 0x40_0000;
const processKeyring = -2;
const getKeyringId = 0;
const disableRandomAddresses = 0x4_0000;
const createMap = 0;
const userModeOnly = 1;
const terminal = { insert: 0x5412, take: 0x540e, unlock: 0x4004_5431, openPeer: 0x5441 } as const;
const readWrite = 2;
const niceness = 19;
const batch = 3;
/** struct perf_event_attr of its first version: the CPU clock, in user mode alone. */
const perfEvent: Words = {
  words: [(64n << 32n) | 1n, 0, 0, 0, 0, (1n << 0n) | (1n << 5n) | (1n << 6n), 0, 0],
};

const others: readonly Probe[] = [
  onProcess('see-process', 'pid-namespace', 'see another process', (pid) => [
    call('sched_getaffinity', pid, 128, room(128)),
  ]),
  onProcess('signal-thread', 'pid-namespace', 'signal a thread of another process', (pid) => [
    call('tgkill', pid, pid, 0),
  ]),
  onProcess('signal-process', 'seccomp', 'signal another process', (pid) => [call('kill', pid, 0)]),
  onProcess('signal-all', 'seccomp', 'signal every process', () => [call('kill', -1, 0)]),
  {
    ...onProcess('trace', 'seccomp', 'trace another process', (pid) => [call('ptrace', seize, pid, 0, 0)]),
    absent: ['EPERM'],
  },
  {
    ...onProcess('read-memory-of-process', 'seccomp', "read another process's memory", (pid) => [
      call('process_vm_readv', pid, { words: [room(8), 8] }, 1, { words: [readable, 8] }, 1, 0),
    ]),
    absent: ['EPERM'],
  },
  onProcess('hold-process', 'seccomp', 'open another process', (pid) => [call('pidfd_open', pid, 0)]),
];

type Attempt = readonly [name: string, attempt: string, step: () => Step, absent?: readonly string[]];

const unprivileged: readonly Attempt[] = [
  [
    'add-key',
    'add a key',
    () => call('add_key', text('user'), text('qward-drill'), text('x'), 1, processKeyring),
  ],
  ['use-keyring', 'make a keyring', () => call('keyctl', getKeyringId, processKeyring, 1)],
  [
    'perf-event',
    'open a performance counter',
    () => call('perf_event_open', perfEvent, currentProcess, -1, -1, 0),
    ['EPERM', 'EACCES', 'ENOENT'],
  ],
  ['fault-handler', 'handle its own page faults', () => call('userfaultfd', userModeOnly), ['EPERM']],
  ['io-uring', 'make an io_uring', () => call('io_uring_setup', 1, room(128)), ['EPERM']],
  ['personality', 'switch off random addresses', () => call('personality', disableRandomAddresses)],
  ['lock-memory', 'lock memory', () => call('mlock', readable, 4096), ['ENOMEM']],
  ['lower-priority', 'change its priority', () => call('setpriority', 0, currentProcess, niceness)],
  [
    'change-scheduler',
    'change its scheduler',
    () => call('sched_setscheduler', currentProcess, batch, room(8)),
  ],
];

/** Each would fail, for root as well, and change nothing: it got through where the kernel looked at its arguments. */
const privileged: readonly Attempt[] = [
  [
    'load-bpf',
    'make a BPF map',
    () => call('bpf', createMap, { words: [(4n << 32n) | 2n, (1n << 32n) | 4n, 0, 0, 0, 0, 0, 0] }, 64),
  ],
  ['reboot', 'reboot', () => reached(call('reboot', 0, 0, 0, 0), 'EINVAL')],
  ['swap', 'add swap space', () => reached(call('swapon', text('/nonexistent/swap'), 0), 'ENOENT')],
  ['load-kernel', 'load another kernel', () => reached(call('kexec_load', 0, 0, 0, 0xfff0), 'EINVAL')],
  ['load-module', 'load a module', () => reached(call('finit_module', -1, text(''), 0), 'EBADF', 'EINVAL')],
  ['kernel-log', 'read the size of the kernel log', () => call('syslog', 10, 0, 0)],
];

export const kernelProbes: readonly Probe[] = [
  ...others,
  ...unprivileged.map((attempt) => kernelProbe(attempt, 'same')),
  ...privileged.map((attempt) => kernelProbe(attempt, 'root')),
  {
    name: 'insert-input',
    wall: 'dev',
    attempt: 'type on a terminal',
    control: 'same',
    absent: ['EIO', 'ENOENT'],
    steps: () => [
      call('openat', here, text('/dev/ptmx'), readWrite),
      call('ioctl', { resultOf: 0 }, terminal.unlock, room(4)),
      call('ioctl', { resultOf: 0 }, terminal.openPeer, readWrite),
      // Whoever leads a session already may go on.
      { ...call('setsid'), reached: ['EPERM'] },
      call('ioctl', { resultOf: 2 }, terminal.take, 0),
      call('ioctl', { resultOf: 2 }, terminal.insert, text('x')),
    ],
  },
];

function onProcess(
  name: string,
  wall: Probe['wall'],
  attempt: string,
  steps: (pid: number) => Step[],
): Probe {
  return { name, wall, attempt, control: 'same', steps: ({ pid }: Surroundings) => steps(pid) };
}

function kernelProbe([name, attempt, step, absent]: Attempt, control: Probe['control']): Probe {
  return {
    name,
    wall: 'seccomp',
    attempt,
    control,
    steps: () => [step()],
    ...(absent === undefined ? {} : { absent }),
  };
}

function reached(step: Step, ...errnos: string[]): Step {
  return { ...step, reached: errnos };
}
