/** Calls on the images of running machines. */
import { chainOf } from '../blocks/chain.ts';
import { mirrorDisk } from '../blocks/mirror-disk.ts';
import type { BlockServices } from '../blocks/block-services.ts';
import type { EventHistory } from '../events.ts';
import { success } from '../outcome.ts';
import type { Handlers } from '../server/call.ts';

export interface BlockHandlerServices extends BlockServices {
  readonly events: Pick<EventHistory, 'emit'>;
}

export function createBlockHandlers(services: BlockHandlerServices): Pick<Handlers, 'chain' | 'mirror'> {
  return {
    chain: ({ machine }) => chainOf(machine),
    mirror: async ({ machine, identity, body, closed }) => {
      const { disk, path } = body;
      const mirrored = await mirrorDisk(services, machine, body, { identity, signal: closed() });
      if (!mirrored.ok) return mirrored;
      services.events.emit('disk.mirrored', machine.name, identity.user, { disk });
      machine.life.note(`${identity.user} moved disk "${disk}" from ${mirrored.value} to ${path}`);
      return success({ name: machine.name, disk, path, before: mirrored.value });
    },
  };
}
