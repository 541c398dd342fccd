/** The call about a move between hosts whose end was not heard. */
import { success } from '../outcome.ts';
import type { Handlers } from '../server/call.ts';

export function createMigrationHandlers(): Pick<Handlers, 'settleMove'> {
  return {
    settleMove: async ({ machine, identity, body }) => {
      const settled = await machine.settleMove(body.token, body.verdict, identity.user);
      return settled.ok ? success({ name: machine.name, ...settled.value }) : settled;
    },
  };
}
