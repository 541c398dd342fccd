/** What the manager keeps of a machine beside its definition: firmware variables, scroll-back, log, note, and what was backed up. */
import { rm } from 'node:fs/promises';
import { variableStores } from '../../plan/boot.ts';
import { tpmStatePath } from '../../plan/tpm.ts';
import type { Paths } from '../../protocol/paths.ts';
import { MachineLog } from '../lifecycle/machine-log.ts';
import { consoleDirectory } from '../lifecycle/run.ts';
import type { RunNotes } from '../store/run-notes.ts';

/** Saved states and snapshots. */
export async function removeMemory({ managerState }: Paths, machine: string): Promise<void> {
  for (const kept of ['saved', 'snapshots'])
    await rm(`${managerState}/${kept}/${machine}`, { recursive: true, force: true });
}

export async function removeKept(
  { paths, notes }: { readonly paths: Paths; readonly notes: RunNotes },
  machine: string,
): Promise<void> {
  for (const store of variableStores(paths.vars, machine)) await rm(store, { force: true });
  await rm(tpmStatePath(paths.vars, machine), { recursive: true, force: true });
  await rm(consoleDirectory(paths.managerState, machine), { recursive: true, force: true });
  await new MachineLog(paths.managerState, machine).remove();
  for (const kept of ['backups', 'pulls'])
    await rm(`${paths.managerState}/${kept}/${machine}.json`, { force: true });
  await notes.remove(machine);
}
