/** The call that ends the machines with the host. */
import { success } from '../outcome.ts';
import type { Handlers } from '../server/call.ts';
import type { HostShutdown } from '../shutdown/host-shutdown.ts';

export function createShutdownHandlers(services: {
  readonly shutdown: HostShutdown;
}): Pick<Handlers, 'hostShutdown'> {
  return {
    hostShutdown: async ({ identity }) => {
      const report = await services.shutdown.run(identity.user);
      return report.ok ? success({ ok: report.value.ok, machines: [...report.value.machines] }) : report;
    },
  };
}
