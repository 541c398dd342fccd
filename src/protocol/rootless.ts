/** What a session's jail has in place of a limit that only a cgroup gives. */

/**
 * Whether RLIMIT_NPROC bounds the threads of a process in a user namespace of its own: where no cgroup does, the kernel counts within the
 * namespace (Linux 5.14), and the runtime sets the limit within it as well. crun sets it before, where all processes of the user count.
 */
export function hasThreadLimit(
  { runtime, cgroup }: { readonly runtime?: string | undefined; readonly cgroup: string },
  kernel: string,
): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map(Number);
  return cgroup === '' && runtime === 'runc' && (major > 5 || (major === 5 && minor >= 14));
}
