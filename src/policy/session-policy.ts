import { defaultPolicy, type Policy } from './policy.ts';

/**
 * What holds in a session instance: the user's own rights are the bound, and no file says more. `images` needs no claim, as
 * in the system instance.
 */
export function sessionPolicy(uid: number, images: string): Policy {
  return {
    ...defaultPolicy,
    session: uid,
    groups: { operators: '', administrators: '' },
    allowAuditWarning: true,
    storageRoots: [{ path: images, access: 'rw', who: null }],
    devices: ['/dev/kvm'],
  };
}
