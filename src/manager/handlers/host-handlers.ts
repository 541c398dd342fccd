/** Calls about the host as a whole, and those that look behind a machine: its plan, its walls. */
import { version as kernelBuild } from 'node:os';
import { auditForeign } from '../../audit/audit-process.ts';
import { filesOfExposure, type ExposureOptions } from '../../audit/exposure.ts';
import type { NetworkDefinition } from '../../protocol/networks.ts';
import { version } from '../../protocol/version.ts';
import type { StartServices } from '../lifecycle/start-run.ts';
import type { ProcessFacts } from '../../protocol/broker.ts';
import type { BrokerPort } from '../broker-port.ts';
import { fileVersions } from '../facts/file-versions.ts';
import { examineHost, stateFilesCheck, type Check, type DoctorServices } from '../doctor.ts';
import type { Machines } from '../machines.ts';
import { mayUseNetwork } from '../networks/network-rights.ts';
import { failure, success } from '../outcome.ts';
import type { LookUpOwner } from '../owners.ts';
import type { Planner } from '../planner.ts';
import type { Quota } from '../../policy/policy.ts';
import type { Use } from '../quota.ts';
import type { OwnQuota, Quotas } from '../quotas.ts';
import { roleName, seesAll } from '../roles.ts';
import type { Handlers } from '../server/call.ts';
import { isThrowawayName } from '../throwaway/throwaway-name.ts';

type HostCalls = 'info' | 'list' | 'explain' | 'audit' | 'auditPid' | 'doctor';

export interface HostHandlerServices extends DoctorServices {
  readonly instance: 'system' | 'session';
  readonly machines: Machines;
  readonly broker: BrokerPort;
  readonly planner: Planner;
  readonly quotas: Pick<Quotas, 'of'>;
  readonly audit: StartServices['audit'];
  readonly owner: LookUpOwner;
  readonly now: () => Date;
}

export function createHostHandlers(services: HostHandlerServices): Pick<Handlers, HostCalls> {
  const { machines, broker, planner, policy, quotas, audit, now, instance } = services;
  return {
    info: async ({ identity }) => {
      // While the policy cannot be read nobody has a quota that could be shown.
      const quota = await quotas.of(identity.uid);
      const visible = machines.visibleTo(identity);
      const owns = visible.some((machine) => machines.ownerOf(machine) === identity.uid);
      return success({
        version,
        instance,
        user: identity.user,
        uid: identity.uid,
        role: roleName(identity, owns),
        machines: visible.length,
        running: visible.filter(({ run }) => run !== undefined).length,
        quota: quota.ok && quota.value !== undefined ? shownQuota(quota.value) : null,
      });
    },
    list: ({ identity }) => success(machines.list(identity)),
    explain: async ({ machine }) => {
      if (machine.record === null)
        return failure(
          'machine-unknown',
          `machine "${machine.name}" is not defined`,
          'it runs, and can be audited',
        );
      if (isThrowawayName(machine.name))
        return failure(
          'request-invalid',
          `machine "${machine.name}" is a throwaway machine: its files have no names any more, and it is not started again`,
          `\`qward audit ${machine.name}\` shows what it has`,
        );
      const planned = await planner.plan(machine.record.definition, {
        owner: machine.record.metadata.owner,
        makeFiles: false,
      });
      if (planned.ok) return success({ ok: true as const, plan: planned.value.plan });
      return success({ ok: false as const, faults: planned.faults.map(policy.placed) });
    },
    audit: async ({ machine }) => {
      const { run } = machine;
      if (run === undefined)
        return failure(
          'machine-not-running',
          `machine "${machine.name}" does not run: there is nothing to look at`,
          `\`qward explain ${machine.name}\` shows the walls that it will have`,
        );
      const facts = await broker.call('inspect', { machine: machine.name });
      if (!facts.ok) return facts;
      const own = audit(run, facts.value, now(), await knownOfHost(facts.value));
      const helpers = await run.networks?.audits();
      if (helpers?.ok === false) return helpers;
      const servers = await run.beside?.audits();
      if (servers?.ok === false) return servers;
      const beside = [...(helpers?.value ?? []), ...(servers?.value ?? [])];
      const ok = own.ok && beside.every((helper) => helper.ok);
      machine.life.audit = { ok, at: own.at };
      return success(beside.length === 0 ? own : { ...own, ok, helpers: beside });
    },
    auditPid: async ({ params }) => {
      const facts = await broker.call('inspect-pid', { pid: params.pid });
      if (!facts.ok) return facts;
      const own = machines.all().find(({ run }) => run?.launched.pid === params.pid)?.run;
      const known = await knownOfHost(facts.value);
      if (own !== undefined) return success(audit(own, facts.value, now(), known));
      return success(auditForeign({ ...known, facts: facts.value, at: now().toISOString() }));
    },
    doctor: async ({ identity }) => {
      const whole = seesAll(identity);
      const user = services.owner(identity.uid);
      const view = {
        definitions: machines.visibleTo(identity).flatMap(({ record }) => record?.definition ?? []),
        seesNetwork: (network: Pick<NetworkDefinition, 'who'>) =>
          whole || (user.ok && mayUseNetwork(network, user.value)),
      };
      const examined = await examineHost(services, view);
      const checks = whole ? examined : examined.map(withoutMachines);
      return success({ ok: checks.every(({ state }) => state !== 'missing'), checks: [...checks] });
    },
  };
}

const knownOfHost = async (facts: ProcessFacts): Promise<ExposureOptions> => ({
  files: await fileVersions(filesOfExposure(facts)),
  kernelBuild: kernelBuild(),
});

/** Files of state bear names of machines: who does not see them all is told that something is wrong, and no name. */
function withoutMachines(check: Check): Check {
  if (check.check !== stateFilesCheck || check.state === 'ok') return check;
  return { ...check, found: 'not well; administrators see what it is', cure: 'tell an administrator' };
}

function shownQuota({ rule, used, quota }: OwnQuota): {
  readonly rule: string;
  readonly used: Use;
  readonly most: Omit<Quota, 'who'>;
} {
  const { who: _who, ...most } = quota;
  return { rule, used, most };
}
