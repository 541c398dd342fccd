/** Calls about what starts with the host. Enabling is none of them: that is between administrators and the broker. */
import type { AutostartEntry } from '../../api/contract.ts';
import type { Autostart } from '../../protocol/broker.ts';
import { describeRow, type Boot } from '../autostart/boot.ts';
import type { BrokerPort } from '../broker-port.ts';
import type { Machines } from '../machines.ts';
import { success } from '../outcome.ts';
import { seesAll, type Identity } from '../roles.ts';
import type { Handlers } from '../server/call.ts';

export interface AutostartHandlerServices {
  readonly machines: Machines;
  readonly broker: BrokerPort;
  readonly boot: Boot;
  readonly userName: (uid: number) => string;
}

export function createAutostartHandlers(
  services: AutostartHandlerServices,
): Pick<Handlers, 'autostart' | 'autostartOff' | 'hostBoot'> {
  const { machines, broker, boot } = services;
  // What is enabled, or comes before something, and is not defined is for those to see who see everything.
  const eyesOf = (identity: Identity) => (name: string) => {
    const machine = machines.get(name);
    return machine === undefined ? seesAll(identity) : machines.may(identity, 'see', machine);
  };
  return {
    autostart: async ({ identity }) => {
      const status = boot.register === undefined ? await broker.call('status', {}) : undefined;
      if (status?.ok === false) return status;
      const register = status?.value.autostart ?? boot.register ?? [];
      const maySee = eyesOf(identity);
      const visible = register.filter(({ machine }) => maySee(machine));
      return success({
        booting: boot.underWay,
        machines: visible.map((entry) => describeEntry(services, entry, maySee)),
      });
    },
    autostartOff: async ({ machine }) => {
      const answer = await broker.call('autostart-off', { machine: machine.name });
      if (!answer.ok) return answer;
      const outcome = answer.value.disabled ? ('disabled' as const) : ('was not enabled' as const);
      return success({ name: machine.name, outcome });
    },
    hostBoot: async ({ identity }) => {
      const outcome = await boot.run(identity.user);
      if (!outcome.ok) return outcome;
      const maySee = eyesOf(identity);
      return success({ machines: boot.names.map((name) => describeRow(name, boot.rowOf(name), maySee)) });
    },
  };
}

function describeEntry(
  { machines, boot, userName }: AutostartHandlerServices,
  { machine: name, by, at }: Autostart,
  maySee: (machine: string) => boolean,
): AutostartEntry {
  const autostart = machines.get(name)?.record?.definition.autostart;
  return {
    name,
    enabledBy: userName(by),
    enabledAt: at,
    after: [...(autostart?.after ?? [])],
    ready: autostart?.ready ?? 'qmp',
    boot: describeRow(name, boot.rowOf(name), maySee),
  };
}
