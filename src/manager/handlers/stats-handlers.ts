/** Calls on what machines use. */
import type { Machines } from '../machines.ts';
import { success } from '../outcome.ts';
import type { Identity } from '../roles.ts';
import type { Handlers } from '../server/call.ts';
import type { MachineStats, StatsReader } from '../stats/machine-stats.ts';
import { prometheusText } from '../stats/prometheus.ts';

interface StatsServices {
  readonly machines: Machines;
  readonly stats: StatsReader;
}

export function createStatsHandlers(services: StatsServices): Pick<Handlers, 'stats' | 'allStats'> {
  return {
    stats: async ({ machine }) => success(await services.stats.read(machine)),
    allStats: async ({ identity }) => success(await readAll(services, identity)),
  };
}

/** For `GET /metrics`. */
export const createMetrics =
  (services: StatsServices) =>
  async (identity: Identity): Promise<string> =>
    prometheusText(await readAll(services, identity));

/** SECURITY: promise 4. Of machines that the user may not see there is no figure, and no name. */
async function readAll({ machines, stats }: StatsServices, identity: Identity): Promise<MachineStats[]> {
  const seen = machines.visibleTo(identity).toSorted((left, right) => (left.name < right.name ? -1 : 1));
  return await Promise.all(seen.map((machine) => stats.read(machine)));
}
