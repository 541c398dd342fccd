/** /proc/PID/mountinfo (proc(5)): what a process sees mounted, and what of the host that is. */

export interface Mount {
  /** `major:minor` of the file system. */
  readonly device: string;
  /** The directory of the file system that is mounted. */
  readonly root: string;
  readonly target: string;
  readonly readOnly: boolean;
  /** Neither set-user-ID, nor a device, nor a program counts on it. */
  readonly plain: boolean;
  /** Peer group to which mounts made beneath it go, null: none. */
  readonly sharedWith: string | null;
  readonly type: string;
}

const unescaped = (text: string): string =>
  text.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(Number.parseInt(code, 8)));

export function parseMounts(mountinfo: string): readonly Mount[] {
  return mountinfo.split('\n').flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , device, root, target, options = '', ...optional] = left.split(' ');
    if (device === undefined || root === undefined || target === undefined) return [];
    const flags = options.split(',');
    const shared = optional.find((field) => field.startsWith('shared:'));
    return [
      {
        device,
        root: unescaped(root),
        target: unescaped(target),
        readOnly: flags.includes('ro'),
        plain: ['nosuid', 'nodev', 'noexec'].every((flag) => flags.includes(flag)),
        sharedWith: shared?.slice('shared:'.length) ?? null,
        type: right.split(' ')[0] ?? '',
      },
    ];
  });
}

/** Paths of the host at which the mounted directory stands; none: the host has no such file system mounted. */
export function hostPaths(mount: Mount, hostMounts: readonly Mount[]): readonly string[] {
  const root = mount.root.replace(/\/\/deleted$/, '');
  return hostMounts.flatMap((host) => {
    if (host.device !== mount.device) return [];
    const top = host.root === '/' ? '' : host.root;
    if (root !== top && !root.startsWith(`${top}/`)) return [];
    const path = `${host.target === '/' ? '' : host.target}${root.slice(top.length)}`;
    return [path === '' ? '/' : path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path];
  });
}
