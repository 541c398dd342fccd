/** What of a running machine a state must be resumed with: the definition as it counts for the process, and the plan of it. */
import type { MachineDefinition } from '../../definition/schema.ts';
import { incomingWords } from '../../plan/plan-launch.ts';
import type { Descriptor } from '../../protocol/launch.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Planned, Planner } from '../planner.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';
import { argumentsDiffer } from './same-machine.ts';

export interface WhatRuns {
  readonly definition: MachineDefinition;
  /** Of that definition; null: not known. */
  readonly revision: string | null;
  readonly planned: Planned;
}

/** Every word but those of a restore. */
export function withoutIncoming(argv: readonly string[]): readonly string[] {
  const at = argv.findIndex(
    (word, index) => word === incomingWords[0] && argv[index + 1] === incomingWords[1],
  );
  return at < 0 ? argv : argv.toSpliced(at, incomingWords.length);
}

/** What a machine is to be, for which all that it has must be known: the word of refusals. */
export type Aim = 'saved' | 'moved';

/**
 * The definition of now where the process would be started with it just so: what was changed meanwhile has been applied,
 * then. Else the one that it was started with.
 */
export async function whatRuns(
  planner: Planner,
  { run, record, aim }: { readonly run: Run; readonly record: DefinitionRecord; readonly aim: Aim },
): Promise<Outcome<WhatRuns>> {
  const { definition, metadata, revision } = record;
  const owner = metadata.owner;
  // What was plugged in has other names and places than a start would give it.
  if (run.hotplug.hasNote)
    return failure(
      'save-failed',
      `machine "${run.launched.machine}" was not ${aim}: disks, CPUs or memory were attached or detached, or disks got other images, since its start`,
      'undo what was attached (`qward attach` shows it), or stop the machine instead',
    );
  let reason = 'what it was started with is not known any more';
  const candidates = [
    { definition, revision },
    ...(run.definition === undefined ? [] : [{ definition: run.definition, revision: run.revision }]),
  ];
  for (const candidate of candidates) {
    const planned = await planner.plan(candidate.definition, { owner, makeFiles: false });
    const differs = planned.ok ? differsFrom(run, planned.value) : planned.faults[0]?.message;
    if (!planned.ok || differs !== undefined) {
      reason = differs ?? reason;
      continue;
    }
    const discs = withDiscs(candidate.definition, run);
    if (discs === candidate.definition) return success({ ...candidate, planned: planned.value });
    const again = await planner.plan(discs, { owner, makeFiles: false });
    return again.ok ? success({ ...candidate, definition: discs, planned: again.value }) : again;
  }
  return failure(
    'save-failed',
    `machine "${run.launched.machine}" was not ${aim}, since it could not be started again as it runs now: ${reason}`,
    'set the definition back, or stop the machine instead',
  );
}

/** In which word or file a plan is not what runs; undefined: in none. */
function differsFrom({ launched }: Run, { plan }: Planned): string | undefined {
  const { argv, descriptors } = launched.launch;
  const words = argumentsDiffer(withoutIncoming(argv), plan.launch.argv);
  if (words !== undefined) return words;
  const [before, after] = [descriptors.map(thing), plan.launch.descriptors.map(thing)];
  const index = before.findIndex((one, at) => one !== after[at]);
  return index < 0 && before.length === after.length
    ? undefined
    : `${before[index] ?? 'nothing'} became ${after[index] ?? 'nothing'}`;
}

function thing(descriptor: Descriptor): string {
  return descriptor.kind === 'file'
    ? `${descriptor.path} (${descriptor.access})`
    : JSON.stringify(descriptor);
}

/** With the discs that are in its drives now. */
function withDiscs(definition: MachineDefinition, { media }: Run): MachineDefinition {
  const changed = Object.entries(media.note);
  if (changed.length === 0) return definition;
  const discs = new Map(changed);
  return {
    ...definition,
    cdroms: definition.cdroms.map((cdrom) => {
      const medium = discs.get(cdrom.id);
      if (medium === undefined) return cdrom;
      const { path: _path, ...drive } = cdrom;
      return medium === null ? drive : { ...drive, path: medium.file.path };
    }),
  };
}
