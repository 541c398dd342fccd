import { defaultPolicy, type Policy } from './policy.ts';

/**
 * What holds in a session instance: the user's own rights are the bound, and no file says more. `images` needs no claim, as
 * in the system instance.
 */
export function sessionPolicy(uid: number, images: string, runtimeDirectory?: string): Policy {
  const runtime = [...new Set([runtimeDirectory ?? `/run/user/${uid}`, `/run/user/${uid}`])];
  return {
    ...defaultPolicy,
    session: uid,
    groups: { operators: '', administrators: '' },
    allowAuditWarning: true,
    storageRoots: [{ path: images, access: 'rw', who: null }],
    devices: ['/dev/kvm'],
    // The user's own server of sound, which lets nobody in who is another user.
    sockets: runtime.map((directory) => ({ path: `${directory}/pulse/native`, who: null })),
  };
}
