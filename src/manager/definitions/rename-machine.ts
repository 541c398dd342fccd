/** Giving a stopped machine another name: its definition, its uid slot, and what qward keeps for it. */
import { link, readdir, rename, unlink } from 'node:fs/promises';
import { parseDefinition } from '../../definition/parse.ts';
import { renameInDefinition } from '../../definition/clone.ts';
import { variableStores } from '../../plan/boot.ts';
import { tpmStatePath } from '../../plan/tpm.ts';
import { isReservedName } from './reserved-names.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { consoleDirectory } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Identity } from '../roles.ts';
import { errorCode } from '../../linux/errno.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';
import { nameTaken, stillSaved, unknownMachine, type DefinitionServices } from './definitions.ts';
import type { NameLocks } from './name-locks.ts';

export interface RenameServices extends DefinitionServices {
  readonly locks: NameLocks;
}

/** The machine under its new name. */
export async function renameMachine(
  services: RenameServices,
  identity: Identity,
  { machine, to }: { readonly machine: Machine; readonly to: string },
): Promise<Outcome<Machine>> {
  const { name } = machine;
  let next: Machine = machine;
  const refusal = (): Outcome<never> | undefined => {
    const { machines, store } = services;
    if (machine.record === null) return unknownMachine(name);
    if (machines.get(to) !== undefined || store.isBroken(to) || isReservedName(to)) return nameTaken(to);
    return machine.saved === undefined ? undefined : stillSaved(name, 'renamed');
  };
  const renameNow = async (): Promise<Outcome<string>> => {
    const refused = refusal();
    if (refused !== undefined) return refused;
    const renamed = await renamedRecord(services, machine, to);
    if (!renamed.ok) return renamed;
    const noted = await services.moves.runsHere(name);
    if (!noted.ok) return noted;
    const done = await move(services, machine, renamed.value);
    if (!done.ok) return done;
    await services.moves.forget(name);
    services.machines.remove(name);
    next = services.machines.add(to, renamed.value.record);
    const note = await services.notes.read(to);
    if (note !== undefined) next.life.recall(note);
    next.life.note(`renamed from "${name}" by ${identity.user}`);
    services.events.emit('machine.renamed', to, identity.user, { from: name });
    return done;
  };
  // What is refused anyway cancels no restart.
  const refused = refusal();
  if (refused !== undefined) return refused;
  // As with `rm`: the operation takes the names.
  const renamed = await machine.change(() => services.locks.hold([name, to], renameNow));
  return renamed.ok ? success(next) : renamed;
}

interface Renamed {
  readonly source: string;
  record: DefinitionRecord;
}

async function renamedRecord(
  { store }: RenameServices,
  { name, record }: Machine,
  to: string,
): Promise<Outcome<Renamed>> {
  const source = await store.source(name);
  if (source === undefined || record === null) return unknownMachine(name);
  const changed = renameInDefinition(source, to);
  if (!changed.ok) return changed;
  const parsed = parseDefinition(changed.source);
  if (!parsed.ok) return parsed;
  return success({ source: changed.source, record: { ...record, name: to, definition: parsed.definition } });
}

/** Each step before the old definition goes can be taken back. */
async function move(services: RenameServices, machine: Machine, renamed: Renamed): Promise<Outcome<string>> {
  const { broker, store, notes, paths } = services;
  const [from, to] = [machine.name, renamed.record.name];
  if ((await readdir(`${paths.managerState}/snapshots/${from}`).catch(() => [])).length > 0)
    return failure(
      'machine-saved',
      `machine "${from}" was not renamed: it has snapshots, which are of that name`,
      `remove them: \`qward snapshot list ${from}\` shows which there are`,
    );
  const slot = await broker.call('rename', { machine: from, to });
  if (!slot.ok) return slot;
  const back = async (fault: Outcome<never>): Promise<Outcome<never>> => {
    for (const store of variableStores(paths.vars, to)) await unlink(store).catch(() => undefined);
    await rename(tpmStatePath(paths.vars, to), tpmStatePath(paths.vars, from)).catch(() => undefined);
    await broker.call('rename', { machine: to, to: from });
    return fault;
  };
  for (const [index, store] of variableStores(paths.vars, from).entries()) {
    const linked = await whereThere(link, store, variableStores(paths.vars, to)[index] ?? '');
    if (!linked.ok) return await back(linked);
  }
  const [tpmFrom, tpmTo] = [tpmStatePath(paths.vars, from), tpmStatePath(paths.vars, to)];
  const moved = await whereThere(rename, tpmFrom, tpmTo);
  if (!moved.ok) return await back(moved);
  const { definition, metadata } = renamed.record;
  const written = await store.put(definition, renamed.source, metadata);
  if (!written.ok) return await back(written);
  renamed.record = written.value;
  const removed = await store.remove(from);
  if (!removed.ok) {
    await store.remove(to);
    return await back(removed);
  }
  machine.record = null;
  for (const store of variableStores(paths.vars, from)) await unlink(store).catch(() => undefined);
  await rename(consoleDirectory(paths.managerState, from), consoleDirectory(paths.managerState, to)).catch(
    () => undefined,
  );
  for (const kept of ['backups', 'pulls'])
    await rename(
      `${paths.managerState}/${kept}/${from}.json`,
      `${paths.managerState}/${kept}/${to}.json`,
    ).catch(() => undefined);
  await machine.life.flush();
  await machine.log.rename(to);
  await notes.rename(from, to);
  return success('renamed');
}

/** A machine without it, or one that never ran, has none. */
async function whereThere(
  act: typeof link | typeof rename,
  from: string,
  to: string,
): Promise<Outcome<void>> {
  try {
    await act(from, to);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT')
      return failure(
        'state-unwritable',
        `${to} could not be made: ${String(error)}`,
        `look at what is at ${to}`,
      );
  }
  return success(undefined);
}
