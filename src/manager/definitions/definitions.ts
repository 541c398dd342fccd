/** Defining machines and changing their definitions: who may was looked into before, what is written is whole. */
import { unlink } from 'node:fs/promises';
import type { Change } from '../../definition/change-key.ts';
import { cloneDefinition } from '../../definition/clone.ts';
import { parseDefinition } from '../../definition/parse.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { setDiskImages, type DiskImages } from '../../definition/set-images.ts';
import { setInDefinition } from '../../definition/set.ts';
import type { Paths } from '../../protocol/paths.ts';
import type { BrokerPort } from '../broker-port.ts';
import type { EventHistory } from '../events.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Machines } from '../machines.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Identity } from '../roles.ts';
import { revisionOf, type DefinitionRecord, type DefinitionStore } from '../store/definition-store.ts';
import type { MoveNotes } from '../migration/move-notes.ts';
import type { RunNotes } from '../store/run-notes.ts';
import type { Admit } from './admission.ts';
import { applyLive, type WhenApplied } from './apply-live.ts';
import { NameLocks } from './name-locks.ts';
import { isReservedName } from './reserved-names.ts';
import { removableDisks } from './removable-disks.ts';
import { removeKept, removeMemory } from './remove-kept.ts';

export interface DefinitionServices {
  readonly store: DefinitionStore;
  readonly machines: Machines;
  readonly broker: BrokerPort;
  readonly events: EventHistory;
  readonly notes: RunNotes;
  readonly moves: MoveNotes;
  readonly paths: Paths;
  readonly now: () => Date;
  /** The manager's own uid. */
  readonly uid: number;
  readonly admit: Admit;
}

export interface Defined<Result extends string> {
  readonly name: string;
  readonly outcome: Result;
  readonly notes: readonly string[];
}

/** By the id of the disk. */
export type ImagesOfDisks = readonly (readonly [disk: string, images: DiskImages])[];

interface Written {
  readonly definition: MachineDefinition;
  readonly source: string;
}

export interface Removed {
  readonly removedDisks: readonly string[];
  readonly keptDisks: readonly string[];
}

export const unknownMachine = (name: string): Outcome<never> =>
  failure('machine-unknown', `machine "${name}" is not defined`, '`qward list` shows which there are');

export class Definitions {
  readonly #services: DefinitionServices;
  readonly locks = new NameLocks();
  /** By owner: two definitions at once may not both take what is left of a quota. */
  readonly owners = new NameLocks();

  constructor(services: DefinitionServices) {
    this.#services = services;
  }

  /** A new machine, or with `replace` an existing one too. */
  async define(
    identity: Identity,
    request: { readonly source: string; readonly replace: boolean; readonly dryRun: boolean },
  ): Promise<Outcome<Defined<'defined' | 'changed' | 'unchanged'>>> {
    const parsed = parseDefinition(request.source);
    const name = parsed.ok ? parsed.definition.name : undefined;
    const existing = name === undefined ? undefined : this.#services.machines.get(name);
    const allowed = this.#mayDefine(identity, existing);
    if (!allowed.ok) return allowed;
    if (!parsed.ok) return parsed;
    const { definition } = parsed;
    if (isReservedName(definition.name)) return reserved(definition.name);
    return await this.locks.hold([definition.name], async () => {
      const machine = this.#services.machines.get(definition.name);
      const still = this.#mayDefine(identity, machine);
      if (!still.ok) return still;
      if ((machine?.record ?? null) === null && this.#services.store.isBroken(definition.name))
        return nameTaken(definition.name);
      if (machine?.record !== null && machine !== undefined && !request.replace)
        return failure(
          'machine-exists',
          `machine "${definition.name}" is defined already`,
          'change it with `qward edit`, or define it with --replace',
        );
      if (request.dryRun) return await this.#check(identity, machine, { definition, source: request.source });
      return await this.#write(identity, machine, { definition, source: request.source });
    });
  }

  /** Replaces the definition of this machine; with `revision` only if nobody else has meanwhile. */
  async replace(
    identity: Identity,
    machine: Machine,
    request: { readonly source: string; readonly revision: string | undefined },
  ): Promise<Outcome<Defined<'changed' | 'unchanged'>>> {
    const parsed = parseDefinition(request.source);
    if (!parsed.ok) return parsed;
    const { definition } = parsed;
    if (definition.name !== machine.name)
      return failure(
        'definition-invalid',
        `name: the definition of machine "${machine.name}" now says "${definition.name}"`,
        `rename it with \`qward rename ${machine.name} ${definition.name}\``,
      );
    return await this.locks.hold([machine.name], async () => {
      const { record } = machine;
      if (record === null) return unknownMachine(machine.name);
      if (request.revision !== undefined && request.revision !== record.revision)
        return failure(
          'definition-changed',
          `the definition of machine "${machine.name}" was changed by another meanwhile`,
          'look at it again, and repeat your change',
        );
      const written = await this.#write(identity, machine, { definition, source: request.source });
      if (!written.ok) return written;
      const { outcome } = written.value;
      return success({ ...written.value, outcome: outcome === 'unchanged' ? outcome : 'changed' });
    });
  }

  /** Changes single keys, and applies what QEMU can take over. */
  async set(identity: Identity, machine: Machine, changes: readonly Change[]): Promise<Outcome<WhenApplied>> {
    return await this.locks.hold([machine.name], async () => {
      const { record } = machine;
      const source = await this.#services.store.source(machine.name);
      if (record === null || source === undefined) return unknownMachine(machine.name);
      const changed = setInDefinition(source, changes);
      if (!changed.ok) return changed;
      const parsed = parseDefinition(changed.source);
      if (!parsed.ok) return parsed;
      if (parsed.definition.name !== machine.name)
        return failure('request-invalid', 'name: cannot be set', `use \`qward rename ${machine.name} NEW\``);
      const written = await this.#write(identity, machine, {
        definition: parsed.definition,
        source: changed.source,
      });
      if (!written.ok) return written;
      const definitions = { before: record.definition, after: parsed.definition };
      return success(await applyLive(machine.run, definitions, changes));
    });
  }

  /** Whether disks of the definition may get these images: what would keep them out is found before they are made. */
  async checkImages(
    identity: Identity,
    machine: Machine,
    images: ImagesOfDisks,
  ): Promise<Outcome<undefined>> {
    const changed = await this.#withImages(machine, images);
    if (!changed.ok) return changed;
    const { owner } = changed.value.metadata;
    const by = { owner, by: identity.uid, dryRun: false };
    const admitted = await this.#services.admit(changed.value.definition, by);
    return admitted.ok ? success(undefined) : admitted;
  }

  /** What disks of a running machine have now, which was looked into before they got it. All of it or nothing. */
  async putImages(machine: Machine, images: ImagesOfDisks): Promise<Outcome<undefined>> {
    return await this.locks.hold([machine.name], async () => {
      const changed = await this.#withImages(machine, images);
      if (!changed.ok) return changed;
      const { definition, source, metadata } = changed.value;
      const written = await this.#services.store.put(definition, source, metadata);
      if (!written.ok) return written;
      machine.record = written.value;
      return success(undefined);
    });
  }

  async #withImages(
    machine: Machine,
    images: ImagesOfDisks,
  ): Promise<Outcome<Written & Pick<DefinitionRecord, 'metadata'>>> {
    const { record } = machine;
    const source = await this.#services.store.source(machine.name);
    if (record === null || source === undefined) return unknownMachine(machine.name);
    let text = source;
    for (const [disk, one] of images) {
      const changed = setDiskImages(text, disk, one);
      if (!changed.ok) return changed;
      text = changed.source;
    }
    const parsed = parseDefinition(text);
    if (!parsed.ok) return parsed;
    return success({ definition: parsed.definition, source: text, metadata: record.metadata });
  }

  /** The definition and all that qward keeps for the machine. Disks only where each of them can be removed. */
  async remove(
    identity: Identity,
    machine: Machine,
    { disks }: { readonly disks: boolean },
  ): Promise<Outcome<Removed>> {
    let done: Removed = { removedDisks: [], keptDisks: [] };
    const look = async (): Promise<Outcome<readonly string[]>> => {
      if (machine.record === null) return unknownMachine(machine.name);
      if (machine.saved !== undefined) return stillSaved(machine.name, 'removed');
      return disks ? await this.#removable(identity, machine.record.definition) : success([]);
    };
    const remove = async (): Promise<Outcome<string>> => {
      const own = machine.record?.definition.disks.map(({ path }) => path) ?? [];
      const removable = await look();
      if (!removable.ok) return removable;
      const removed = await this.#forget(machine);
      if (!removed.ok) return removed;
      for (const path of removable.value) await unlink(path);
      this.#services.events.emit('machine.removed', machine.name, identity.user);
      const keptDisks = own.filter((path) => !removable.value.includes(path));
      done = { removedDisks: removable.value, keptDisks };
      return removed;
    };
    // What is refused anyway cancels no restart.
    const looked = await look();
    if (!looked.ok) return looked;
    // An operation takes the name, and never the other way round: one that waited for both would wait for ever.
    const removed = await machine.change(() => this.locks.hold([machine.name], remove), {
      evenElsewhere: !disks,
      afterArrival: !disks,
    });
    return removed.ok ? success(done) : removed;
  }

  /** A new definition from this one. */
  async clone(
    identity: Identity,
    machine: Machine,
    request: { readonly to: string; readonly disks: Readonly<Record<string, string>> },
  ): Promise<Outcome<Defined<'defined' | 'changed' | 'unchanged'>>> {
    const source = await this.#services.store.source(machine.name);
    // What is read after the machine went may be another's of the same name.
    if (source === undefined || machine.record === null) return unknownMachine(machine.name);
    const cloned = cloneDefinition(source, { name: request.to, diskPaths: request.disks });
    if (!cloned.ok) return cloned;
    return await this.define(identity, { source: cloned.source, replace: false, dryRun: false });
  }

  /**
   * SECURITY: promise 4. A machine of another's is never replaced; whose a name is, if the user may not see it, is not told.
   */
  #mayDefine(identity: Identity, existing: Machine | undefined): Outcome<void> {
    const { machines } = this.#services;
    if (existing !== undefined && machines.may(identity, 'define', existing)) return success(undefined);
    if (!identity.definer)
      return failure(
        'not-allowed',
        `user ${identity.user} may not define machines`,
        'ask an administrator to define it, or to name you under `define` in the policy',
      );
    return existing === undefined ? success(undefined) : nameTaken(existing.name);
  }

  /** What `#write` would do. */
  async #check(
    identity: Identity,
    machine: Machine | undefined,
    { definition, source }: Written,
  ): Promise<Outcome<Defined<'defined' | 'changed' | 'unchanged'>>> {
    const { name } = definition;
    const before = machine?.record ?? null;
    if (before?.revision === revisionOf(source)) return success({ name, outcome: 'unchanged', notes: [] });
    const owner = before?.metadata.owner ?? identity.uid;
    const admitted = await this.#services.admit(definition, { owner, by: identity.uid, dryRun: true });
    if (!admitted.ok) return admitted;
    const outcome = before === null ? 'defined' : 'changed';
    return success({ name, outcome, notes: notesOn(outcome, machine) });
  }

  async #write(
    identity: Identity,
    machine: Machine | undefined,
    { definition, source }: Written,
  ): Promise<Outcome<Defined<'defined' | 'changed' | 'unchanged'>>> {
    const before = machine?.record;
    if (before?.revision === revisionOf(source))
      return success({ name: definition.name, outcome: 'unchanged', notes: [] });
    const owner = before?.metadata.owner ?? identity.uid;
    return await this.owners.hold([String(owner)], async () => {
      const admitted = await this.#services.admit(definition, { owner, by: identity.uid, dryRun: false });
      return admitted.ok ? await this.#put(identity, machine, { definition, source }) : admitted;
    });
  }

  async #put(
    identity: Identity,
    machine: Machine | undefined,
    { definition, source }: Written,
  ): Promise<Outcome<Defined<'defined' | 'changed'>>> {
    const { broker, store, machines, events, now } = this.#services;
    const { name } = definition;
    const before = machine?.record ?? null;
    // SECURITY: promise 4. It was enabled for a machine that is gone: nobody enabled this one.
    const enabled = before === null && machines.startsWithHost(name);
    if (enabled) {
      const disabled = await broker.call('autostart-off', { machine: name });
      if (!disabled.ok) return disabled;
    }
    const metadata = before?.metadata ?? {
      version: 2,
      owner: identity.uid,
      definedAt: now().toISOString(),
      grants: [],
    };
    const written = await store.put(definition, source, metadata);
    if (!written.ok) return written;
    const current = machine ?? machines.add(name, written.value);
    current.record = written.value;
    const outcome = before === null ? 'defined' : 'changed';
    current.life.note(`${outcome} by ${identity.user}`);
    events.emit(outcome === 'defined' ? 'machine.defined' : 'machine.changed', name, identity.user, {
      revision: written.value.revision,
    });
    const notes = [...notesOn(outcome, current), ...(enabled ? [enabledBefore] : [])];
    return success({ name, outcome, notes });
  }

  async #removable(identity: Identity, definition: MachineDefinition): Promise<Outcome<readonly string[]>> {
    const { broker, machines, uid } = this.#services;
    const status = await broker.call('status', {});
    if (!status.ok) return status;
    const others = machines
      .all()
      .flatMap(({ name, record }) =>
        record === null || name === definition.name ? [] : [record.definition],
      );
    const visible = (name: string): boolean => {
      const machine = machines.get(name);
      return machine !== undefined && machines.may(identity, 'see', machine);
    };
    const storageRoots = status.value.storageRoots.map(({ path }) => path);
    const { administrator } = identity;
    return await removableDisks(definition, { storageRoots, others, visible, administrator, uid });
  }

  /** The uid slot first: a broker that cannot be asked leaves everything as it was. */
  async #forget(machine: Machine): Promise<Outcome<string>> {
    const { broker, store, machines } = this.#services;
    const { name } = machine;
    const noted = await this.#services.moves.runsHere(name);
    if (!noted.ok) return noted;
    const forgotten = await broker.call('forget', { machine: name });
    if (!forgotten.ok) return forgotten;
    // SECURITY: promise 4. Before the name is free: nobody who takes it finds the memory of what had it.
    await removeMemory(this.#services.paths, name);
    const removed = await store.remove(name);
    if (!removed.ok) return removed;
    await this.#services.moves.forget(name);
    machine.record = null;
    machines.remove(name);
    await machine.life.flush();
    await removeKept(this.#services, name);
    return success('removed');
  }
}

/** Says no more than that, whoever's it is. */
export function nameTaken(name: string): Outcome<never> {
  return failure('machine-exists', `the name "${name}" is taken`, 'choose another name');
}

/** SECURITY: promise 7. The memory of a guest goes by no other's way than its own word. */
export function stillSaved(name: string, what: string): Outcome<never> {
  return failure(
    'machine-saved',
    `machine "${name}" was not ${what}: its memory is saved, and would be lost`,
    `let it go on (\`qward start ${name}\`) and stop it, or throw its memory away: \`qward discard-state ${name}\``,
  );
}

function reserved(name: string): Outcome<never> {
  return failure('request-invalid', `the name "${name}" is qward's own`, 'choose another name');
}

const enabledBefore =
  'an earlier machine of this name started with the host; this one does not until an administrator enables it: qward autostart on';

function notesOn(outcome: string, machine: Machine | undefined): readonly string[] {
  return outcome === 'changed' && machine?.run !== undefined
    ? ['the machine runs: changes hold from its next start on']
    : [];
}
