/** Calls about the policy: what is in force, and what of a machine it admits. */
import { claimableFiles } from '../../definition/named-files.ts';
import type { Fault } from '../../definition/fault.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { HostFacts, QemuFacts } from '../../plan/launch-plan.ts';
import { networksNamedBy, noManagedNetworks } from '../../plan/network-server.ts';
import { noUserNetwork, userNicsOf } from '../../plan/user-network.ts';
import { explainAdmission, type AdmissionRow } from '../../policy/explain-admission.ts';
import type { Policy } from '../../policy/policy.ts';
import { findLines } from '../../policy/policy-lines.ts';
import { policyRows } from '../../policy/policy-rows.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';
import { askedLaunch } from '../asked-launch.ts';
import { claimantsOf } from '../claimant.ts';
import type { HostBasics } from '../facts/host.ts';
import { networkServer } from '../facts/network-server.ts';
import { shareServer, tpmServer } from '../facts/side-servers.ts';
import { unlisted, type ToolKind } from '../facts/tool.ts';
import { networkHelper } from '../facts/user-network.ts';
import { hookEvents, hookFaults } from '../hooks/named-hooks.ts';
import { forwardRows } from '../networks/network-grounds.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { LookUpOwner, Owner } from '../owners.ts';
import type { Planner } from '../planner.ts';
import { groundsOf, warningFaults, type OwnStorage } from '../policy-grounds.ts';
import type { PolicySource } from '../policy-source.ts';
import type { Handlers } from '../server/call.ts';

export interface PolicyHandlerServices {
  readonly policy: PolicySource;
  readonly storage: OwnStorage;
  readonly planner: Planner;
  readonly owner: LookUpOwner;
  readonly host: () => Promise<HostBasics>;
  readonly qemu: () => Promise<Outcome<QemuFacts>>;
  readonly kvm: () => Promise<HostFacts['kvm']>;
  readonly networkRows: (definition: MachineDefinition, owner: Owner) => Promise<readonly AdmissionRow[]>;
}

export function createPolicyHandlers(
  services: PolicyHandlerServices,
): Pick<Handlers, 'policy' | 'policyExplain'> {
  const { policy, storage } = services;
  const told = (fault: Fault): ToldFault => tell(policy.placed(fault));
  return {
    policy: () => {
      const current = policy.current();
      const shared = { path: policy.path, ok: current.ok };
      if (!current.ok) return success({ ...shared, faults: current.faults.map(told), rows: [] });
      const rows = policyRows(current.value, findLines(policy.text() ?? ''));
      return success({ ...shared, faults: [], rows: [...rows] });
    },
    policyExplain: async ({ machine: { name, record } }) => {
      if (record === null)
        return failure('machine-unknown', `machine "${name}" is not defined`, 'it runs, and can be stopped');
      const current = policy.current();
      if (!current.ok) return current;
      const { definition, metadata } = record;
      const planned = await services.planner.plan(definition, { owner: metadata.owner, makeFiles: false });
      const launch = planned.ok
        ? planned.value.plan.launch
        : await launchWithoutPlan(services, definition, {
            owner: metadata.owner,
            binaries: current.value.qemuBinaries,
          });
      const owner = services.owner(metadata.owner);
      const rows = [
        ...explainAdmission(launch, groundsOf(current.value, storage)),
        ...warningRows(definition, current.value),
        ...hookRows(definition, current.value),
        ...helperRows(definition, current.value),
        ...(owner.ok ? forwardRows(definition, current.value, owner.value) : []),
        ...(owner.ok ? await services.networkRows(definition, owner.value) : []),
      ];
      const grants = rows.map(({ what, resource, rule, refusal }) => {
        const { ruleAt, message, hint } = told({
          ...(refusal ?? nothing),
          ...(rule === null ? {} : { rule }),
        });
        return { what, resource, admitted: refusal === null, rule, ruleAt, message, hint };
      });
      // A plan says of a disk what a row says of its file.
      const said = grants.flatMap(({ message }) => (message === '' ? [] : [message]));
      const others = (planned.ok ? [] : planned.faults)
        .filter(({ message }) => !said.some((known) => message.endsWith(known)))
        .map(told);
      const admitted = grants.every((grant) => grant.admitted) && others.every(({ rule }) => rule === null);
      return success({ name, admitted, grants, others });
    },
  };
}

interface ToldFault {
  readonly message: string;
  readonly hint: string;
  readonly rule: string | null;
  readonly ruleAt: string | null;
}

function tell({ message, hint, rule, ruleAt }: Fault): ToldFault {
  return { message, hint, rule: rule ?? null, ruleAt: ruleAt ?? null };
}

const nothing: Fault = { code: '', message: '', hint: '' };

/** Programs that run beside a QEMU, each in a jail of its own. */
const helpers: readonly {
  readonly kind: ToolKind;
  readonly needs: (machine: MachineDefinition) => boolean;
}[] = [
  { kind: networkHelper, needs: (machine) => userNicsOf(machine).length > 0 },
  { kind: networkServer, needs: (machine) => networksNamedBy(machine).length > 0 },
  { kind: tpmServer, needs: ({ tpm }) => tpm },
  { kind: shareServer, needs: ({ shares }) => shares.length > 0 },
];

const helperRows = (definition: MachineDefinition, policy: Policy): readonly GroundRow[] =>
  helpers
    .filter(({ needs }) => needs(definition))
    .map(({ kind }) => ({
      what: kind.what,
      resource: policy[kind.key].join(', '),
      rule: kind.key,
      refusal: policy[kind.key].length === 0 ? unlisted(kind) : null,
    }));

type GroundRow = Omit<AdmissionRow, 'refusal'> & { readonly refusal: Fault | null };

function hookRows(definition: MachineDefinition, policy: Policy): readonly GroundRow[] {
  const faults = hookFaults(definition, policy);
  return hookEvents.flatMap((event) => {
    const hook = definition.hooks[event];
    if (hook === undefined) return [];
    const index = policy.hooks.findIndex(({ name }) => name === hook);
    const refusal = faults.find(({ path }) => path?.[1] === event) ?? null;
    return [
      {
        what: `hook (${event})`,
        resource: policy.hooks[index]?.path ?? hook,
        rule: index < 0 ? 'hooks' : `hooks[${index}]`,
        refusal,
      },
    ];
  });
}

function warningRows(definition: MachineDefinition, policy: Policy): readonly GroundRow[] {
  if (definition.onAuditFailure === 'stop') return [];
  const [refusal = null] = warningFaults(definition, policy);
  return [{ what: 'onAuditFailure', resource: 'warn', rule: 'allowAuditWarning', refusal }];
}

async function launchWithoutPlan(
  { host, qemu, kvm, owner, storage }: PolicyHandlerServices,
  definition: MachineDefinition,
  { owner: uid, binaries }: { readonly owner: number; readonly binaries: readonly string[] },
): Promise<LaunchRequest> {
  const [basics, facts, ownership] = [await host(), await qemu(), owner(uid)];
  const paths = claimableFiles(definition).map(({ path }) => path);
  return askedLaunch(
    definition,
    {
      ...basics,
      qemu: facts.ok ? facts.value : null,
      kvm: definition.accel === 'tcg' ? { works: false, reason: 'not asked for' } : await kvm(),
      files: {},
      userNetwork: noUserNetwork,
      networks: noManagedNetworks,
      swtpm: null,
      virtiofsd: null,
      claimants: ownership.ok ? claimantsOf(paths, ownership.value) : {},
      varsDirectory: storage.path,
    },
    binaries[0] ?? 'none',
  );
}
