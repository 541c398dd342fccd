/** Which of QEMU's four denials forbids a system call (QEMU 7.2, softmmu/qemu-seccomp.c). */

export type SandboxCategory = 'obsolete' | 'elevateprivileges' | 'spawn' | 'resourcecontrol';

const callsOf: Readonly<Record<SandboxCategory, string>> = {
  obsolete: '_sysctl create_module get_kernel_syms query_module sysfs uselib ustat',
  elevateprivileges: 'setuid setgid setpgid setsid setreuid setregid setresuid setresgid setfsuid setfsgid',
  spawn: 'fork vfork execve execveat clone clone3 unshare setns',
  resourcecontrol: 'setpriority sched_setparam sched_setscheduler sched_setaffinity',
};

export const sandboxCategories: readonly SandboxCategory[] = [
  'obsolete',
  'elevateprivileges',
  'spawn',
  'resourcecontrol',
];

/** Calls that QEMU's filter kills for whatever is asked of it. */
export const alwaysDenied: ReadonlySet<string> = new Set(
  'reboot swapon swapoff syslog mount kexec_load afs_syscall getpmsg putpmsg security tuxcall vserver'.split(
    ' ',
  ),
);

/** Undefined: QEMU itself does not mind the call. */
export function categoryOf(call: string): SandboxCategory | undefined {
  return sandboxCategories.find((category) => callsOf[category].split(' ').includes(call));
}
