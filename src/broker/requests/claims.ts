/** claim, claim-like, unclaim, claims: what users let machines open. Consent alone: no file is touched here. */
import { decideClaim, refuseClaimant } from '../../policy/claim-rules.ts';
import {
  maxAutostart,
  maxClaimsOfMachine,
  maxClaimsOfUser,
  type ClaimedFile,
  type ClaimRequest,
  type ClaimResults,
} from '../../protocol/claims.ts';
import { refuse, storageRoots, type BrokerContext, type HandlerOutcome } from '../context.ts';
import { errorCode } from '../../linux/errno.ts';
import { refuseOthers } from '../administrators.ts';
import { personOf } from '../person.ts';
import { createNetwork, removeNetwork } from './networks.ts';

/** `uid` is the kernel's word for who is connected. */
export function handleClaimRequest(
  context: BrokerContext,
  request: ClaimRequest,
  uid: number,
): HandlerOutcome {
  const { claims } = context;
  // Root sees and takes back everybody's.
  const whose = uid === 0 ? null : uid;
  return withRegister(() => {
    switch (request.call) {
      case 'claim':
        return claim(context, request, uid);
      case 'claim-like': {
        const like = claims
          .list({ machine: request.like, uid })
          .map(({ path, access }) => ({ path, access }));
        const outcome = claim(context, { machine: request.machine, files: like }, uid);
        return outcome.ok ? { ok: true, result: like } : outcome;
      }
      case 'unclaim': {
        const gone = claims.remove({ machine: request.machine, uid: whose }, request.paths);
        return { ok: true, result: gone.map(({ path, access }) => ({ path, access })) };
      }
      case 'autostart-on':
        return enableAutostart(context, request.machine, uid);
      case 'network-create':
        return createNetwork(context, request.network, uid);
      case 'network-remove':
        return removeNetwork(context, request.name, uid);
      case 'claims':
        return { ok: true, result: claims.list({ machine: request.machine, uid: whose }) };
    }
  });
}

/** SECURITY: promise 4. What starts with the host is the administrators' to say, each over a connection of their own. */
function enableAutostart(context: BrokerContext, machine: string, uid: number): HandlerOutcome {
  const barred = refuseOthers(context, uid, 'enable the start of a machine with the host');
  if (barred !== undefined) return barred;
  // SECURITY: promise 4. Administrators are not root: they cannot grow root's file, and each status with it, without end.
  if (context.autostart.list().length >= maxAutostart)
    return refuse(
      'resources-short',
      `${maxAutostart} machines start with the host already`,
      'take some back: qward autostart off',
    );
  const outcome = context.autostart.enable(machine, uid) ? 'enabled' : 'known';
  return { ok: true, result: { outcome } };
}

interface Wish {
  readonly machine: string;
  readonly files: readonly ClaimedFile[];
}

function claim(context: BrokerContext, { machine, files }: Wish, uid: number): HandlerOutcome {
  const read = context.readPolicy();
  if (!read.ok) return read;
  const { policy } = read;
  const user = personOf(uid);
  const barred = refuseClaimant(uid, user, { ...policy, managerUid: context.managerUid });
  if (barred !== undefined) return { ok: false, refusals: [barred] };
  const grounds = { policy, roots: storageRoots(policy, context), own: context.paths.own };
  const decided = files.map((file) => ({ file, decision: decideClaim(file, user, grounds) }));
  const refusals = decided.flatMap(({ decision }) => (typeof decision === 'string' ? [] : [decision]));
  if (refusals.length > 0) return { ok: false, refusals };
  const needed = decided.flatMap(({ file, decision }) => (decision === 'claim' ? [file] : []));
  const fresh = context.claims.add(machine, uid, needed);
  if (fresh === 'full')
    return refuse(
      'resources-short',
      `more than ${maxClaimsOfMachine} claims for machine "${machine}", or ${maxClaimsOfUser} of yours in all, or too long paths`,
      'take back what no machine needs: qward claims, qward unclaim',
    );
  const recorded = fresh.values();
  const result: ClaimResults['claim'] = decided.map(({ file: { path }, decision }) => {
    if (decision === 'by-policy') return { path, outcome: decision };
    return { path, outcome: recorded.next().value === true ? 'claimed' : 'known' };
  });
  return { ok: true, result };
}

/** A full disk, told with its cure. */
export function withRegister(work: () => HandlerOutcome): HandlerOutcome {
  try {
    return work();
  } catch (error) {
    if (!['ENOSPC', 'EDQUOT', 'EROFS'].includes(errorCode(error))) throw error;
    return refuse(
      'state-unwritable',
      `the register cannot be written (${errorCode(error)}); nothing was changed`,
      'make room on the file system of /var/lib/qward (df -h)',
    );
  }
}
