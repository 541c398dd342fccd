/** Calls that define machines and change their definitions. */
import { formatFull } from '../../definition/format-full.ts';
import type { Definitions } from '../definitions/definitions.ts';
import { renameMachine, type RenameServices } from '../definitions/rename-machine.ts';
import { setVariables, type SetVariablesServices } from '../definitions/set-variables.ts';
import { failure, success } from '../outcome.ts';
import { Restore } from '../saved/restore.ts';
import type { SavedStates } from '../saved/saved-states.ts';
import type { Answer, Call, Handlers } from '../server/call.ts';
import { revisionOf } from '../store/definition-store.ts';
import { isThrowawayName } from '../throwaway/throwaway-name.ts';

type DefinitionCalls =
  | 'define'
  | 'definition'
  | 'edit'
  | 'set'
  | 'remove'
  | 'setVariables'
  | 'rename'
  | 'clone';

export function createDefinitionHandlers(
  definitions: Definitions,
  services: RenameServices & SetVariablesServices & { readonly states: SavedStates },
): Pick<Handlers, DefinitionCalls> {
  return {
    define: async ({ identity, body }) => {
      const outcome = await definitions.define(identity, body);
      return outcome.ok ? success({ ...outcome.value, notes: [...outcome.value.notes] }) : outcome;
    },
    definition: async ({ machine, query }) => {
      const { record } = machine;
      // Of a throwaway machine nothing is kept but what runs.
      if (record !== null && isThrowawayName(machine.name))
        return success({
          name: machine.name,
          source: formatFull(record.definition),
          revision: record.revision,
        });
      if (query.saved) {
        const saved = Restore.of(machine.name, { states: services.states, onProgress: () => undefined });
        if (!saved.ok) return saved;
        const text = formatFull(saved.value.definition);
        return success({
          name: machine.name,
          source: text,
          revision: saved.value.revision ?? revisionOf(text),
        });
      }
      const source = await services.store.source(machine.name);
      if (record === null || source === undefined)
        return failure(
          'machine-unknown',
          `machine "${machine.name}" is not defined`,
          'it runs, and can be stopped',
        );
      const text = query.full ? formatFull(record.definition) : source;
      return success({ name: machine.name, source: text, revision: record.revision });
    },
    edit: async ({ identity, machine, body }) => {
      const outcome = await definitions.replace(identity, machine, {
        source: body.source,
        revision: body.revision,
      });
      return outcome.ok ? success({ ...outcome.value, notes: [...outcome.value.notes] }) : outcome;
    },
    set: async ({ identity, machine, body }) => {
      const outcome = await definitions.set(identity, machine, body.changes);
      if (!outcome.ok) return outcome;
      const { applied, atNextStart } = outcome.value;
      return success({ name: machine.name, applied: [...applied], atNextStart: [...atNextStart] });
    },
    remove: (call) => removeMachine(definitions, call),
    setVariables: async ({ identity, machine, body }) => {
      const outcome = await setVariables(services, machine, body.variables);
      if (outcome.ok) machine.life.note(`${identity.user} ${outcome.value} its UEFI variables`);
      return outcome.ok ? success({ name: machine.name, outcome: outcome.value }) : outcome;
    },
    rename: async ({ identity, machine, body }) => {
      const outcome = await renameMachine(services, identity, { machine, to: body.to });
      if (!outcome.ok) return outcome;
      const { name, state } = outcome.value;
      return success({ name, state, outcome: `renamed from ${machine.name}` });
    },
    clone: async ({ identity, machine, body }) => {
      const outcome = await definitions.clone(identity, machine, body);
      if (!outcome.ok) return outcome;
      return success({ name: body.to, state: 'stopped', outcome: `cloned from ${machine.name}` });
    },
  };
}

async function removeMachine(definitions: Definitions, call: Call<'remove'>): Promise<Answer<'remove'>> {
  const { identity, machine, query } = call;
  if (query.force && machine.run !== undefined) {
    const killed = await machine.kill(identity.user);
    if (!killed.ok) return killed;
  }
  if (query.force && machine.saved !== undefined) {
    const discarded = await machine.discardState(identity.user);
    if (!discarded.ok) return discarded;
  }
  const outcome = await definitions.remove(identity, machine, { disks: query.disks });
  if (!outcome.ok) return outcome;
  const { removedDisks, keptDisks } = outcome.value;
  return success({
    name: machine.name,
    outcome: 'removed',
    removedDisks: [...removedDisks],
    keptDisks: [...keptDisks],
  });
}
