/** What must not be gained: other identities, capabilities, namespaces, mounts, other programs. */
import { call, here } from './calls.ts';
import { throughMark, type Probe, type Surroundings } from './probe.ts';
import { room, text, type Step, type Words } from './script.ts';

const childSignal = 17;
const newUserNamespace = 0x1000_0000;
const newMountNamespace = 0x2_0000;
const newNetworkNamespace = 0x4000_0000;
const makePrivate = 0x4_0000;
/** OPEN_TREE_CLONE and AT_RECURSIVE: a mount without those on it may not leave a user's namespace. */
const cloneTree = 0x8001;
const emptyPath = 0x1000;
/** F_DUPFD_CLOEXEC: the filter lets QEMU have it. */
const duplicate = 1030;
const sysAdmin = 1 << 21;
/** struct __user_cap_header_struct: version 3, this process. */
const capabilityHeader: Words = { words: [0x2008_0522n] };

const attempts: readonly [
  name: string,
  wall: Probe['wall'],
  attempt: string,
  control: Probe['control'],
  steps: () => Step[],
][] = [
  ['set-uid', 'capabilities', 'become uid 0', 'namespaces', () => [call('setuid', 0)]],
  ['set-gid', 'capabilities', 'become gid 0', 'root', () => [call('setgid', 0)]],
  ['set-groups', 'capabilities', 'join group 0', 'root', () => [call('setgroups', 1, room(4))]],
  [
    'take-capability',
    'capabilities',
    'take CAP_SYS_ADMIN',
    'namespaces',
    () => [call('capset', capabilityHeader, { words: [(BigInt(sysAdmin) << 32n) | BigInt(sysAdmin), 0, 0] })],
  ],
  ['io-ports', 'capabilities', 'take the I/O ports', 'root', () => [call('iopl', 3)]],
  ['unshare-user', 'seccomp', 'make a user namespace', 'same', () => [call('unshare', newUserNamespace)]],
  [
    'unshare-mount',
    'seccomp',
    'make a mount namespace',
    'namespaces',
    () => [call('unshare', newMountNamespace)],
  ],
  [
    'unshare-network',
    'seccomp',
    'make a network namespace',
    'namespaces',
    () => [call('unshare', newNetworkNamespace)],
  ],
  [
    'clone-user',
    'seccomp',
    'make a process in a user namespace, clone',
    'same',
    () => [forking('clone', newUserNamespace | childSignal)],
  ],
  [
    'clone3-user',
    'seccomp',
    'make a process in a user namespace, clone3',
    'same',
    () => [forking('clone3', { words: [newUserNamespace, 0, 0, 0, childSignal, 0, 0, 0] }, 64)],
  ],
  [
    'enter-namespace',
    'seccomp',
    'enter a namespace',
    'namespaces',
    () => [call('openat', here, text('/proc/self/ns/net'), 0), call('setns', { resultOf: 0 }, 0)],
  ],
  ['change-root', 'seccomp', 'change the root directory', 'namespaces', () => [call('chroot', text('.'))]],
  // Of its own mount namespace, where it changes nothing.
  [
    'mount',
    'seccomp',
    'change a mount',
    'namespaces',
    () => [call('mount', 0, text('/'), 0, makePrivate, 0)],
  ],
  [
    'make-file-system',
    'seccomp',
    'make a file system',
    'namespaces',
    () => [call('fsopen', text('tmpfs'), 0)],
  ],
  [
    'clone-tree',
    'seccomp',
    'copy a tree of mounts',
    'namespaces',
    () => [call('open_tree', here, text('/'), cloneTree)],
  ],
  ['fork', 'seccomp', 'make a process', 'same', () => [forking('fork')]],
];

export const rightProbes: readonly Probe[] = [
  ...attempts.map(([name, wall, attempt, control, steps]): Probe => {
    const more = name.endsWith('-user')
      ? { absent: ['EPERM', 'ENOSPC', 'EUSERS'], alone: true as const }
      : {};
    return { name, wall, attempt, control, steps, ...more };
  }),
  {
    name: 'run-shell',
    wall: 'seccomp',
    attempt: 'run /bin/sh',
    control: 'same',
    steps: () => [
      call('execve', text('/bin/sh'), argumentsOf(['sh', '-c', `printf ${throughMark}`]), { words: [0] }),
    ],
  },
  {
    name: 'run-from-memory',
    wall: 'seccomp',
    attempt: 'run a program in memory by its path in /proc',
    control: 'same',
    steps: (place) => [
      ...programInMemory(place),
      // A number that is known before.
      call('fcntl', { resultOf: 0 }, duplicate, place.freeDescriptor),
      call(
        'execve',
        text(`/proc/self/fd/${place.freeDescriptor}`),
        argumentsOf(['', ...place.program.argv]),
        {
          words: [0],
        },
      ),
    ],
  },
  {
    name: 'run-descriptor',
    wall: 'seccomp',
    attempt: 'run a program in memory by its descriptor',
    control: 'same',
    steps: (place) => [
      ...programInMemory(place),
      call(
        'execveat',
        { resultOf: 0 },
        text(''),
        argumentsOf(['', ...place.program.argv]),
        { words: [0] },
        emptyPath,
      ),
    ],
  },
];

function forking(...[name, ...values]: Parameters<typeof call>): Step {
  return { ...call(name, ...values, ...Array.from({ length: 6 - values.length }, () => 0)), forks: true };
}

function argumentsOf(argv: readonly string[]): Words {
  return { words: [...argv.map(text), 0] };
}

function programInMemory({ program }: Surroundings): Step[] {
  return [
    call('memfd_create', text('drill'), 0),
    call('write', { resultOf: 0 }, { bytes: program.elf }, program.elf.length),
  ];
}
