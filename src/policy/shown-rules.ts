/** Which files and sockets of the host a jail may show at their own paths, and with whose rights. Pure. */
import type { Refusal } from '../protocol/broker.ts';
import type { LaunchRequest, Shown } from '../protocol/launch.ts';
import { grantOf, type Claimant, type FileGrounds, type FilePlace } from './file-rules.ts';
import { isWithin } from './policy.ts';
import { forCertainUsers, policyRefusal, unlisted } from './refusals.ts';
import { isOneOf } from './who.ts';

/** `claimant` null: with root's rights. */
export type ShownGrant =
  | { readonly ok: true; readonly claimant: Claimant | null; readonly place?: FilePlace | null }
  | { readonly ok: false; readonly refusal: Refusal };

/** Where the jail's own root stands; /usr is shown as the system's. */
const taken = ['/usr', '/lib', '/lib64', '/bin', '/sbin', '/proc', '/dev', '/sys'];

export function admitShown(launch: LaunchRequest, grounds: FileGrounds): Refusal[] {
  const { shown = [], program, machine } = launch;
  if (shown.length > 0 && !['qemu', 'drill', 'swtpm', 'virtiofsd'].includes(program))
    return [policyRefusal(`"${machine}" is no machine's QEMU, and is shown no file`, 'ask for none')];
  return shown.flatMap((one, index) => {
    const { path } = one;
    // SECURITY: promise 1. No mount point is ever looked up in what is shown: a link of a user's would lead anywhere.
    const around = shown.find((other, place) => place !== index && isWithin(path, other.path));
    const place = around?.path ?? taken.find((directory) => isWithin(path, directory));
    if (place !== undefined)
      return [
        policyRefusal(`"${path}" lies in "${place}", which the jail has already`, 'name the outer one alone'),
      ];
    const grant = shownGrant(one, grounds);
    return grant.ok ? [] : [grant.refusal];
  });
}

export function shownGrant(one: Shown, grounds: FileGrounds): ShownGrant {
  if (one.kind === 'socket') return socketGrant(one, grounds);
  const grant = grantOf(one, grounds);
  if (!grant.ok) return grant;
  const { place } = grant;
  // SECURITY: promise 1. The manager's own directory holds what it makes itself, by descriptor alone.
  if (place?.kind !== 'device' && (place?.ownedBy === undefined) === (one.kind === 'file')) return grant;
  return {
    ok: false,
    refusal: policyRefusal(`"${one.path}" is no file to be shown`, 'use a disk of the definition'),
  };
}

function socketGrant({ path, claimant: uid }: Shown, { policy, claimantOf }: FileGrounds): ShownGrant {
  const index = policy.sockets.findIndex((socket) => socket.path === path);
  const line = policy.sockets[index];
  const refused = (refusal: Refusal): ShownGrant => ({ ok: false, refusal });
  if (line === undefined) return refused(unlisted(`"${path}" is not a socket`, 'sockets'));
  const rule = `sockets[${index}]`;
  if (uid === null)
    return line.who === null
      ? { ok: true, claimant: null }
      : refused(forCertainUsers(path, 'a user of "who" defines it', rule));
  const claimant = claimantOf(uid);
  if ('code' in claimant) return refused(claimant);
  // SECURITY: promise 1. As of files: the claim came over the user's own connection.
  if (!claimant.claimed(path, 'rw'))
    return refused(
      policyRefusal(
        `user ${claimant.name} did not claim "${path}"`,
        `qward claim ${claimant.machine} "${path}" --rw`,
        'user-claims',
      ),
    );
  if (line.who === null) return { ok: true, claimant };
  return isOneOf(line.who, claimant)
    ? { ok: true, claimant: null }
    : refused(forCertainUsers(path, 'add the user to "who"', rule));
}
