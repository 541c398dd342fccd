/** The drill, as a call. */
import type { Drill } from '../drill/drill-machine.ts';
import type { Handlers } from '../server/call.ts';

export function createDrillHandlers(drill: Drill): Pick<Handlers, 'drill'> {
  return { drill: ({ machine }) => drill(machine) };
}
