/** Calls about the host as a whole, and those that look behind a machine: its plan, its walls. */
import { auditForeign } from '../../audit/audit-process.ts';
import { version } from '../../protocol/version.ts';
import type { StartServices } from '../lifecycle/start-run.ts';
import type { BrokerPort } from '../broker-port.ts';
import { examineHost, type DoctorServices } from '../doctor.ts';
import type { Machines } from '../machines.ts';
import { failure, success } from '../outcome.ts';
import type { Planner } from '../planner.ts';
import { mayOnMachine, type Identity } from '../roles.ts';
import type { Handlers } from '../server/call.ts';

type HostCalls = 'info' | 'list' | 'explain' | 'audit' | 'auditPid' | 'doctor';

export interface HostHandlerServices extends DoctorServices {
  readonly machines: Machines;
  readonly broker: BrokerPort;
  readonly planner: Planner;
  readonly audit: StartServices['audit'];
  readonly now: () => Date;
}

export function createHostHandlers(services: HostHandlerServices): Pick<Handlers, HostCalls> {
  const { machines, broker, planner, audit, now } = services;
  return {
    info: ({ identity }) => {
      const visible = machines
        .all()
        .filter((machine) => mayOnMachine(identity, 'see', machines.ownerOf(machine)));
      return success({
        version,
        instance: 'system' as const,
        user: identity.user,
        uid: identity.uid,
        role: roleName(identity),
        machines: visible.length,
        running: visible.filter(({ run }) => run !== undefined).length,
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
      const planned = await planner.plan(machine.record.definition, { makeFiles: false });
      return success(planned.ok ? { ok: true as const, plan: planned.value.plan } : planned);
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
      const report = audit(run, facts.value, now());
      machine.life.audit = { ok: report.ok, at: report.at };
      return success(report);
    },
    auditPid: async ({ params }) => {
      const facts = await broker.call('inspect-pid', { pid: params.pid });
      if (!facts.ok) return facts;
      const own = machines.all().find(({ run }) => run?.launched.pid === params.pid)?.run;
      if (own !== undefined) return success(audit(own, facts.value, now()));
      return success(auditForeign({ facts: facts.value, at: now().toISOString() }));
    },
    doctor: async () => {
      const checks = await examineHost(services);
      return success({ ok: checks.every(({ state }) => state !== 'missing'), checks: [...checks] });
    },
  };
}

function roleName(identity: Identity): string {
  if (identity.administrator) return 'administrator';
  return identity.operator ? 'operator' : 'owner';
}
