/**
 * A throwaway machine that goes on from the state of a saved machine: its memory, and overlays over its disks. The saved machine stays as it
 * is, and any number may be copies of it at once, each with a generation id of its own, by which its guest draws new random numbers.
 */
import { randomUUID } from 'node:crypto';
import type { MachineDefinition } from '../../definition/schema.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import type { Incoming } from '../lifecycle/start-run.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Planned, Planner } from '../planner.ts';
import { Restore } from '../saved/restore.ts';
import { changedFiles } from '../saved/same-machine.ts';
import type { SavedStates } from '../saved/saved-states.ts';

export interface CopyServices {
  readonly states: SavedStates;
  /** Without a look at quotas: nothing is started by this plan. */
  readonly unbounded: Planner;
}

export interface CopyAsked {
  readonly name: string;
  readonly description: string;
}

export class SavedCopy implements Incoming {
  readonly definition: MachineDefinition;
  readonly revision = null;
  readonly paused = false;
  readonly makesFiles = true;
  readonly #restore: Restore;
  readonly #states: SavedStates;

  /** `started`: the definition of the copy with its overlays. */
  constructor(started: MachineDefinition, restore: Restore, { states }: Pick<CopyServices, 'states'>) {
    this.definition = started;
    this.#restore = restore;
    this.#states = states;
  }

  /** SECURITY: promise 7. Memory goes on with the very disks that it was saved with. */
  check({ marks }: Planned): Outcome<undefined> {
    const { machine, files } = this.#restore.note;
    const changed = changedFiles(files, marks);
    return changed.length === 0 ? success(undefined) : noCopy(machine, changed.join('; '));
  }

  load(run: Run, session: QmpSession, signal: AbortSignal): Promise<Outcome<undefined>> {
    return this.#restore.load(run, session, signal);
  }

  /** SECURITY: promise 7. A saved machine that was started meanwhile writes to its disks; from here on QEMU's locks keep it from that. */
  take(): Promise<Outcome<void>> {
    const { note } = this.#restore;
    const state = this.#states.get(note.machine);
    const same = state?.usable === true && state.note.memory.file === note.memory.file;
    return Promise.resolve(
      same ? success(undefined) : noCopy(note.machine, 'it was started, or its state thrown away, meanwhile'),
    );
  }

  /** The state was not taken. */
  giveBack(): Promise<void> {
    return Promise.resolve();
  }

  done(): Promise<void> {
    return Promise.resolve();
  }
}

/** The state of the machine, where copies of it can be: the definition of one, without its overlays. */
export async function copyOfSaved(
  { states, unbounded }: CopyServices,
  source: Machine,
  asked: CopyAsked,
): Promise<Outcome<{ readonly restore: Restore; readonly definition: MachineDefinition }>> {
  const { name, record } = source;
  const restored = Restore.of(name, { states, onProgress: () => undefined });
  if (!restored.ok || record === null) return restored.ok ? noCopy(name, 'it is not defined') : restored;
  const { definition } = restored.value;
  const lacking = lackingForCopies(definition);
  if (lacking !== undefined) return failure('request-invalid', ...lacking);
  // The same machine on this host, word by word; a copy differs in its name, its generation and what lies over its disks.
  const planned = await unbounded.plan(definition, {
    owner: record.metadata.owner,
    makeFiles: false,
    incoming: true,
  });
  if (!planned.ok) return planned;
  const fits = restored.value.check(planned.value);
  if (!fits.ok) return fits;
  return success({
    restore: restored.value,
    definition: {
      ...definition,
      ...asked,
      tags: ['throwaway'],
      generationId: randomUUID(),
    },
  });
}

/**
 * SECURITY: promise 7. Keys with what only one machine can have, or by which a copy reaches more of the host than overlays and images: what it
 * wrote there, the saved machine would go on over. What is decided of every other key is in test/security/throwaway-copies.test.ts.
 */
export const onlyOnce: readonly (readonly [key: string, has: (definition: MachineDefinition) => boolean])[] =
  [
    ['nics', ({ nics }) => nics.length > 0],
    ['shares', ({ shares }) => shares.length > 0],
    ['hostDevices', ({ hostDevices }) => hostDevices.length > 0],
    ['tpm', ({ tpm }) => tpm],
    ['vsock', ({ vsock }) => vsock !== undefined],
    ['firmware', ({ firmware }) => firmware === 'uefi'],
    // Its locks keep nobody else from writing.
    ['disks[].shared', ({ disks }) => disks.some(({ shared }) => shared)],
    ['disks[].rawio', ({ disks }) => disks.some(({ rawio }) => rawio)],
    ['sound.server', ({ sound }) => sound.server !== undefined],
    // They make ready, and put away, what the saved machine needs.
    ['hooks.start', ({ hooks }) => hooks.start !== undefined],
    ['hooks.stop', ({ hooks }) => hooks.stop !== undefined],
    ['qemu.args', ({ qemu }) => qemu.args.length > 0],
    ['qemu.env', ({ qemu }) => qemu.env.length > 0],
    ['qemu.qmp', ({ qemu }) => qemu.qmp.length > 0],
    [
      'confinement.files[].access',
      ({ confinement }) => confinement.files.some(({ access }) => access === 'rw'),
    ],
    ['confinement.devices', ({ confinement }) => confinement.devices.length > 0],
    ['confinement.sockets', ({ confinement }) => confinement.sockets.length > 0],
  ];

/** What stands in the way of a second machine with this memory, and the cure. Pure. */
export function lackingForCopies(definition: MachineDefinition): [message: string, hint: string] | undefined {
  const { name, runner, generationId } = definition;
  if (!runner)
    return [
      `machine "${name}" has no runner, by which commands get in`,
      'make one that has: `qward create NAME --image IMAGE --runner`',
    ];
  // SECURITY: promise 7. Guests with the same memory draw the same random numbers, keys among them, until they know of it.
  if (generationId === undefined)
    return [
      `machine "${name}" has no generation id, by which its copies draw new random numbers`,
      `\`qward set ${name} generationId=auto\`, boot it and save it again`,
    ];
  const once = onlyOnce.flatMap(([key, has]) => (has(definition) ? [key] : []));
  if (once.length === 0) return undefined;
  return [
    `machine "${name}" has what two machines cannot both go on with: ${once.join(', ')}`,
    `take it out (\`qward edit ${name}\`), boot it and save it again; \`--net allow=\` gives a copy places without a card`,
  ];
}

const noCopy = (machine: string, reason: string): Outcome<never> =>
  failure(
    'state-unusable',
    `no copy of saved machine "${machine}" can go on: ${reason}`,
    `save it again: \`qward start ${machine}\`, and \`qward save ${machine}\``,
  );
