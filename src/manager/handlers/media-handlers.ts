/** Calls on the discs in the drives of machines that run. */
import { changeMedium, type MediaServices } from '../media/change-medium.ts';
import { listMedia } from '../media/list-media.ts';
import { success } from '../outcome.ts';
import type { Handlers } from '../server/call.ts';

export function createMediaHandlers(services: MediaServices): Pick<Handlers, 'media' | 'setMedium'> {
  return {
    media: ({ machine }) => listMedia(machine),
    setMedium: async ({ machine, identity, body }) => {
      const { drive, path } = body;
      const changed = await changeMedium(services, machine, body);
      if (!changed.ok) return changed;
      machine.life.note(
        path === null
          ? `${identity.user} took the disc out of drive "${drive}"`
          : `${identity.user} put ${path} into drive "${drive}"`,
      );
      return success({ name: machine.name, drive, outcome: path === null ? 'ejected' : 'inserted' });
    },
  };
}
