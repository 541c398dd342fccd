/** What the manager itself can say of the policy's word on a launch: as the broker decides it, but for claims. */
import { accountOf, groupIdOf } from '../linux/accounts.ts';
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { settleCards } from '../plan/default-cards.ts';
import { admit } from '../policy/admit.ts';
import { rootsOf, type Claimant, type FileGrounds } from '../policy/file-rules.ts';
import type { Policy } from '../policy/policy.ts';
import { hookFaults } from './hooks/named-hooks.ts';
import type { Run } from './lifecycle/run.ts';
import { bridgeFaults, forwardFaults } from './networks/network-grounds.ts';
import type { Owner } from './owners.ts';
import type { PolicySource } from './policy-source.ts';

/** The manager's store of UEFI variables, which is a storage root that no policy names. */
export interface OwnStorage {
  readonly path: string;
  readonly ownedBy: number;
}

/** Claims are taken as made: what is asked is whether the policy lets the user claim. */
export function groundsOf(policy: Policy, store: OwnStorage): FileGrounds {
  return { policy, roots: rootsOf(policy, store), claimantOf };
}

function claimantOf(uid: number): Claimant {
  const account = accountOf(uid);
  const groups = account?.groups ?? [];
  return {
    name: account?.name,
    uid,
    gid: account?.gid ?? uid,
    groups,
    isIn: (group) => groups.includes(groupIdOf(group) ?? -1),
    machine: '',
    claimed: () => true,
  };
}

type JudgedRun = Pick<Run, 'definition'> & { readonly now: Pick<Run['now'], 'launch'> };

/** A machine that runs, as far as the policy may have something against it. */
export interface Judged {
  readonly run: JudgedRun;
  /** Undefined: not known, it is not defined. */
  readonly owner: Owner | undefined;
}

/** What the policy of now has against a run, as a start of it would hear. Looked into once for each run and policy. */
export function createRunJudge(
  source: PolicySource,
  storage: OwnStorage,
): (judged: Judged) => readonly Fault[] {
  const judged = new WeakMap<JudgedRun, { readonly policy: Policy; readonly refusals: readonly Fault[] }>();
  return ({ run, owner }) => {
    const policy = source.current();
    if (!policy.ok) return policy.faults;
    const known = judged.get(run);
    if (known?.policy === policy.value) return known.refusals;
    const { definition } = run;
    const refusals = [
      ...admit(run.now.launch, groundsOf(policy.value, storage)),
      ...(definition === undefined ? [] : definitionFaults(definition, policy.value, owner)),
    ];
    judged.set(run, { policy: policy.value, refusals });
    return refusals;
  };
}

/** What no launch shows; whose machine it is, only the manager knows. */
function definitionFaults(
  definition: MachineDefinition,
  policy: Policy,
  owner: Owner | undefined,
): readonly Fault[] {
  const ofAll = [...warningFaults(definition, policy), ...hookFaults(definition, policy)];
  if (owner === undefined) return ofAll;
  return [
    ...ofAll,
    ...forwardFaults(definition, policy, owner),
    ...bridgeFaults(settleCards(definition, policy.defaultBridge), policy, owner),
  ];
}

/** SECURITY: promise 5. That a guest runs behind walls that differ is the administrator's word as well as the definition's. */
export function warningFaults({ name, onAuditFailure }: MachineDefinition, policy: Policy): readonly Fault[] {
  if (onAuditFailure === 'stop' || policy.allowAuditWarning) return [];
  return [
    {
      code: 'policy-refused',
      message: `machine "${name}": its definition says onAuditFailure: warn, which the policy does not allow`,
      hint: 'take it out of the definition, or set allowAuditWarning: true in the policy',
      path: ['onAuditFailure'],
      rule: 'allowAuditWarning',
    },
  ];
}
