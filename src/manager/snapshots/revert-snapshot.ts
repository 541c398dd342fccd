/**
 * Back to a snapshot: each disk of the stopped machine goes back to what it was, and the memory becomes the machine's saved
 * state; the next start goes on there. Cut short anywhere, it is repeated as a whole: the machine does not start before.
 */
import { randomUUID } from 'node:crypto';
import { link, rename } from 'node:fs/promises';
import { definitionText } from '../../definition/format-full.ts';
import { parseDefinition } from '../../definition/parse.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { variableStorePath } from '../../plan/boot.ts';
import { planDiskStep, type JobFile, type JobTool } from '../../plan/disk-job.ts';
import { judgeStep } from '../disks/job-output.ts';
import { defaultStepLimits, runStep } from '../disks/run-step.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Planned } from '../planner.ts';
import { copyDurably } from '../store/atomic-file.ts';
import { argumentsDiffer } from '../saved/same-machine.ts';
import type { StateNote } from '../saved/state-note.ts';
import { withoutIncoming } from '../saved/what-runs.ts';
import { writtenDisks, type SnapshotServices } from './create-snapshot.ts';
import { tagOf } from './snapshot-store.ts';

export interface OfflineServices extends SnapshotServices {
  readonly tool: () => Promise<Outcome<JobTool>>;
}

export interface Which {
  readonly machine: string;
  /** Uid of its owner. */
  readonly owner: number;
  readonly snapshot: string;
  readonly signal: AbortSignal;
}

/** The machine must not run, nor be started, meanwhile. */
export async function revertToSnapshot(services: OfflineServices, which: Which): Promise<Outcome<undefined>> {
  const { machine, owner, snapshot } = which;
  const { snapshots, states, planner } = services;
  const found = await snapshots.get(machine, snapshot);
  if (!found.ok) return found;
  const parsed = parseDefinition(found.value.definition);
  if (!parsed.ok) return parsed;
  // The memory is used again: what the guest draws its random numbers from must know.
  const { generationId, ...rest } = parsed.definition;
  const definition: MachineDefinition =
    generationId === undefined ? parsed.definition : { ...rest, generationId: randomUUID() };
  const fits = await planner.plan(parsed.definition, { owner, makeFiles: false, incoming: true });
  if (!fits.ok) return fits;
  const differs = argumentsDiffer(found.value.argv, withoutIncoming(fits.value.plan.launch.argv));
  if (differs !== undefined)
    return failure(
      'state-unusable',
      `snapshot "${snapshot}" of machine "${machine}" cannot be reverted to: this host would give it another machine: ${differs}`,
      'set right what differs',
    );
  // SECURITY: promise 7. A snapshot without its memory costs no disk anything.
  const whole = await snapshots.verify(snapshot, found.value);
  if (!whole.ok) return whole;
  // SECURITY: promise 7. From here on the machine starts only when all of it is done: half of a snapshot is none.
  const begun = await states.beginRevert(machine, snapshot);
  if (!begun.ok) return begun;
  const applied = await onEachDisk(services, which, { definition, planned: fits.value, action: 'revert' });
  if (!applied.ok) return applied;
  const variables = await bringBackVariables(services, which, definition);
  if (!variables.ok) return variables;
  const planned = await planner.plan(definition, { owner, makeFiles: false, incoming: true });
  if (!planned.ok) return planned;
  return await install(services, found.value, { definition, planned: planned.value });
}

/** Removes it from the disks of a machine that does not run, and then what is kept of it. */
export async function removeSnapshot(services: OfflineServices, which: Which): Promise<Outcome<undefined>> {
  const { machine, owner, snapshot } = which;
  const found = await services.snapshots.get(machine, snapshot);
  const parsed = found.ok ? parseDefinition(found.value.definition) : undefined;
  if (parsed?.ok === true) {
    const { definition } = parsed;
    const planned = await services.planner.plan(definition, { owner, makeFiles: false });
    if (!planned.ok) return planned;
    const dropped = await onEachDisk(services, which, { definition, planned: planned.value, action: 'rm' });
    if (!dropped.ok) return dropped;
  } else if (!found.ok && found.faults[0]?.code !== 'state-unusable') return found;
  const removed = await services.snapshots.remove(machine, snapshot);
  return removed.ok ? success(undefined) : removed;
}

interface Machine {
  readonly definition: MachineDefinition;
  readonly planned: Planned;
}

/** What qemu-img says of a tag that is not there (any more), 7.2 to 10. */
const absent = /Could not delete snapshot.*(?:not found|No such)|snapshot not found|does not exist/i;

/** qemu-img in a jail, under the machine's own name: with its claims, and its uid. */
async function onEachDisk(
  services: OfflineServices,
  { machine, snapshot, signal }: Which,
  { definition, planned, action }: Machine & { readonly action: 'revert' | 'rm' },
): Promise<Outcome<undefined>> {
  const disks = writtenDisks(definition);
  if (!disks.ok) return disks;
  const tool = await services.tool();
  if (!tool.ok) return tool;
  const { broker, now } = services;
  const { descriptors } = planned.plan.launch;
  for (const { path } of disks.value) {
    const file = descriptors.find((one) => one.kind === 'file' && one.path === path && one.access === 'rw');
    const image: JobFile = { path, format: 'qcow2', claimant: file?.kind === 'file' ? file.claimant : null };
    const step = { do: 'snapshot', image, action, snapshot: tagOf(snapshot) } as const;
    const virtualSize = 2 * (planned.marks[path]?.size ?? 0);
    const launch = planDiskStep(step, { machine, tool: tool.value, virtualSize });
    const ended = await runStep({ broker, now, limits: defaultStepLimits }, launch, {
      signal,
      onProgress: () => undefined,
    });
    const judged = ended.ok ? judgeStep(step, ended.value, launch) : ended;
    if (judged.ok) continue;
    if (action === 'rm' && judged.faults.some(({ message }) => absent.test(message))) continue;
    return judged;
  }
  return success(undefined);
}

async function bringBackVariables(
  { snapshots, varsDirectory }: SnapshotServices,
  { machine, snapshot }: Which,
  definition: MachineDefinition,
): Promise<Outcome<undefined>> {
  if (definition.firmware !== 'uefi') return success(undefined);
  const path = variableStorePath(varsDirectory, definition);
  try {
    await copyDurably(snapshots.variablesPath(machine, snapshot), `${path}.reverted`);
    await rename(`${path}.reverted`, path);
    return success(undefined);
  } catch (error) {
    return failure(
      'state-unwritable',
      `${path}: ${error instanceof Error ? error.message : 'failed'}`,
      'make room, and revert again',
    );
  }
}

/** The same memory as a file of the saved state's own; the snapshot keeps its. */
async function install(
  { snapshots, states }: OfflineServices,
  note: StateNote,
  { definition, planned }: Machine,
): Promise<Outcome<undefined>> {
  const target = `${states.directory(note.machine)}/${note.memory.file}`;
  try {
    await link(snapshots.memoryPath(note), target).catch((error: unknown) => {
      if (Reflect.get(Object(error), 'code') !== 'EEXIST') throw error;
    });
  } catch (error) {
    return failure(
      'state-unwritable',
      `${target}: ${error instanceof Error ? error.message : 'failed'}`,
      'look at the directory, and revert again',
    );
  }
  const kept = await states.commit({
    ...note,
    definition: definitionText(definition),
    argv: [...withoutIncoming(planned.plan.launch.argv)],
    files: planned.marks,
  });
  return kept.ok ? success(undefined) : kept;
}
