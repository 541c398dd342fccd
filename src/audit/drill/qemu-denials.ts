/**
 * QEMU's own four denials (`-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny`) as QEMU 7.2
 * loads them (softmmu/qemu-seccomp.c), compiled to a filter that the prober loads before it tries anything. A test holds
 * the filter against the one that is read out of a live QEMU.
 */
import type { Step } from './script.ts';

/** What becomes of a call: the process or the thread is killed, or the call fails. */
export type Denial = 'kill process' | 'kill thread' | 'EPERM' | 'ENOSYS';

/** Numbers of x86-64. */
export const qemuDenials: readonly {
  readonly denial: Denial;
  readonly calls: Readonly<Record<string, number>>;
}[] = [
  {
    // Always, and obsolete=deny.
    denial: 'kill process',
    calls: {
      reboot: 169,
      swapon: 167,
      swapoff: 168,
      syslog: 103,
      mount: 165,
      kexec_load: 246,
      afs_syscall: 183,
      getpmsg: 181,
      putpmsg: 182,
      security: 185,
      tuxcall: 184,
      vserver: 236,
      _sysctl: 156,
      create_module: 174,
      get_kernel_syms: 177,
      query_module: 178,
      sysfs: 139,
      uselib: 134,
      ustat: 136,
    },
  },
  {
    // elevateprivileges=deny.
    denial: 'kill process',
    calls: {
      setuid: 105,
      setgid: 106,
      setpgid: 109,
      setsid: 112,
      setreuid: 113,
      setregid: 114,
      setresuid: 117,
      setresgid: 119,
      setfsuid: 122,
      setfsgid: 123,
    },
  },
  { denial: 'kill process', calls: { fork: 57, vfork: 58, execve: 59 } },
  // spawn=deny, which gives these another action.
  { denial: 'kill thread', calls: { unshare: 272, setns: 308, execveat: 322 } },
  { denial: 'ENOSYS', calls: { clone3: 435 } },
  // resourcecontrol=deny.
  { denial: 'EPERM', calls: { setpriority: 141, sched_setparam: 142, sched_setaffinity: 203 } },
];

/** spawn=deny: of clone(2), only what makes a thread of the usual kind. */
const clone = { number: 56, required: 0x3d_0f00, forbidden: 0xfe82_f000 };
/** resourcecontrol=deny: of sched_setscheduler(2), only SCHED_IDLE. */
const scheduler = { number: 144, idle: 5 };

const actions: Readonly<Record<Denial, number>> = {
  'kill process': 0x8000_0000,
  'kill thread': 0,
  EPERM: 0x0005_0001,
  ENOSYS: 0x0005_0026,
};
const allow = 0x7fff_0000;

/** What QEMU's denials do to a call with these arguments; undefined: nothing. */
export function denialOf({ call, arguments: [first, second] }: Step): Denial | undefined {
  const plain = qemuDenials.find(({ calls }) => Object.values(calls).includes(call));
  if (plain !== undefined) return plain.denial;
  if (call === clone.number && !isThread(Number(first))) return 'kill process';
  return call === scheduler.number && second !== scheduler.idle ? 'EPERM' : undefined;
}

function isThread(flags: number): boolean {
  return (flags & clone.required) === clone.required && (flags & clone.forbidden) === 0;
}

/** One instruction: struct sock_filter of linux/filter.h. */
type Instruction = readonly [code: number, jumpTrue: number, jumpFalse: number, k: number];

const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const ifEqual = (k: number, jumpTrue: number, jumpFalse: number): Instruction => [
  0x15,
  jumpTrue,
  jumpFalse,
  k,
];
const and = (k: number): Instruction => [0x54, 0, 0, k];
const end = (action: number): Instruction => [0x06, 0, 0, action];
/** Offsets in struct seccomp_data: number, architecture, and the halves of the arguments. */
const data = {
  number: 0,
  architecture: 4,
  low: (index: number) => 16 + index * 8,
  high: (index: number) => 20 + index * 8,
};
const architecture = 0xc000_003e;
/** From here on the calls of x32. */
const firstX32 = 0x4000_0000;

/** The filter as the kernel takes it (seccomp(2)). */
export function compileQemuDenials(): Buffer {
  const program: Instruction[] = [
    load(data.architecture),
    ifEqual(architecture, 1, 0),
    end(actions['kill thread']),
    load(data.number),
    [0x35, 0, 1, firstX32],
    end(actions['kill thread']),
    ...qemuDenials.flatMap(({ denial, calls }) =>
      Object.values(calls).flatMap((number) => [ifEqual(number, 0, 1), end(actions[denial])]),
    ),
    ifEqual(clone.number, 0, 7),
    load(data.low(0)),
    and(clone.required),
    ifEqual(clone.required, 0, 3),
    load(data.low(0)),
    and(clone.forbidden),
    ifEqual(0, 7, 0),
    end(actions['kill process']),
    ifEqual(scheduler.number, 0, 5),
    load(data.low(1)),
    ifEqual(scheduler.idle, 0, 2),
    load(data.high(1)),
    ifEqual(0, 1, 0),
    end(actions.EPERM),
    end(allow),
  ];
  const bytes = Buffer.alloc(program.length * 8);
  for (const [index, [code, jumpTrue, jumpFalse, k]] of program.entries()) {
    bytes.writeUInt16LE(code, index * 8);
    bytes.writeUInt8(jumpTrue, index * 8 + 2);
    bytes.writeUInt8(jumpFalse, index * 8 + 3);
    bytes.writeUInt32LE(k, index * 8 + 4);
  }
  return bytes;
}
