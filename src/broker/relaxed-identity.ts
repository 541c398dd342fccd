/** Who and under which label a machine's process is, where relaxations say otherwise than uid of its own and qward's profile. */
import { writeFileSync } from 'node:fs';
import { labelFor, profilesOf, selinuxLabel } from '../jail/apparmor.ts';
import { unlessMissing } from '../linux/errno.ts';
import { accountNamed } from '../linux/accounts.ts';
import type { Policy } from '../policy/policy.ts';
import type { Refusal } from '../protocol/broker.ts';
import { relaxations, type LaunchRequest } from '../protocol/launch.ts';
import { refuse } from './context.ts';
import type { JailIds } from './means.ts';

export interface Identity {
  readonly ids: JailIds;
  /** Undefined: this host labels no processes. */
  readonly label: string | undefined;
}

/** `own`: what the machine is without a relaxation. */
export function identityFor(
  launch: LaunchRequest,
  own: JailIds,
  { allowRoot, uidRange }: Policy,
): ({ readonly ok: true } & Identity) | { readonly ok: false; readonly refusals: readonly Refusal[] } {
  const [user] = relaxations(launch, 'user');
  const label = labelOf(launch);
  if (typeof label === 'object') return { ok: false, refusals: [label] };
  if (user === undefined) return { ok: true, ids: own, label };
  const account = accountNamed(user);
  if (account === undefined)
    return refuse(
      'wall-missing',
      `there is no account "${user}" to run "${launch.machine}" as`,
      'make it, or name another',
    );
  // SECURITY: promise 6. Root by whatever name it has, and no account of another machine's uid.
  if (account.uid === 0 && !allowRoot)
    return refuse('policy-refused', `account "${user}" is root`, 'set allowRoot in the policy', 'allowRoot');
  if (account.uid >= uidRange.base && account.uid < uidRange.base + uidRange.count)
    return refuse('policy-refused', `account "${user}" is one of machines`, 'name another', 'uidRange');
  return { ok: true, ids: { uid: account.uid, gid: account.gid }, label };
}

/** The kernel takes a label that is written there where the loaded policy knows it. */
function tried(label: string): string {
  writeFileSync('/sys/fs/selinux/context', label);
  return label;
}

function labelOf(launch: LaunchRequest): string | undefined | Refusal {
  const selinux = selinuxLabel(launch);
  const missing = (what: string): Refusal => ({
    code: 'wall-missing',
    message: `machine "${launch.machine}" asks for ${what}`,
    hint: 'load it, or take it out of the definition',
  });
  if (selinux !== undefined)
    return (
      unlessMissing(() => tried(selinux), ['ENOENT', 'EINVAL', 'EROFS']) ??
      missing(`the SELinux label ${selinux}, which no policy that this host has loaded knows`)
    );
  const [profile] = relaxations(launch, 'apparmor');
  const label = labelFor(launch.program, undefined, profilesOf(launch));
  if (profile === undefined || profile === 'unconfined' || (label !== undefined && label !== ''))
    return label;
  return missing(`the AppArmor profile ${profile}, which this host has not loaded`);
}
