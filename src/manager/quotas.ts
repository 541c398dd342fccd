/** Holds what an owner's machines have together against the owner's quota, at each change and each start. */
import { endedStates, type MachineState } from '../api/endpoints.ts';
import { mostCpus } from '../definition/most-cpus.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { guestSize } from '../plan/guest-size.ts';
import type { LaunchedMachine } from '../protocol/broker.ts';
import type { FileChecks } from './file-checks.ts';
import { OneAtATime } from './one-at-a-time.ts';
import type { LookUpOwner, Owner } from './owners.ts';
import type { KeptBytes } from './saved/kept-bytes.ts';
import { success, type Outcome } from './outcome.ts';
import { mostOf, noUse, quotaFaults, quotaFor, sumOf, type AppliedQuota, type Use } from './quota.ts';
import type { DefinitionRecord } from './store/definition-store.ts';
import type { ScratchFiles } from './throwaway/scratch-files.ts';

/** What of a machine counts. */
export interface CountedMachine {
  readonly name: string;
  readonly record: DefinitionRecord | null;
  /** `starting` counts as running: of two starts at once none may pass the other by. */
  readonly state: MachineState;
  /** The definition that a start under way was begun with. */
  readonly starting: MachineDefinition | null;
  readonly run: { readonly now: Pick<LaunchedMachine, 'launch'> } | undefined;
}

export interface QuotaServices {
  readonly machines: () => readonly CountedMachine[];
  readonly owner: LookUpOwner;
  /** Virtual sizes of the writable disks together, bytes, as far as they can be looked at. */
  readonly diskBytes: FileChecks['diskBytes'];
  readonly scratch: Pick<ScratchFiles, 'bytesOf'>;
  readonly keptBytes: KeptBytes;
}

export interface OwnQuota extends AppliedQuota {
  readonly used: Use;
}

/** What is to be kept of the memory of one machine. */
export interface Keeping {
  readonly owner: number;
  readonly definition: MachineDefinition;
  readonly bytes: number;
}

type Scope = 'defined' | 'running';

export class Quotas {
  readonly #services: QuotaServices;
  /** Of states that are being written, by the owner's uid. */
  readonly #promised = new Map<number, number>();
  readonly #promising = new OneAtATime();

  constructor(services: QuotaServices) {
    this.#services = services;
  }

  /** What the user's definitions have together; undefined: no quota names the user. */
  async of(uid: number): Promise<Outcome<OwnQuota | undefined>> {
    const found = this.#find(uid);
    if (!found.ok) return found;
    if (found.value === undefined) return success(undefined);
    const { applied } = found.value;
    return success({ ...applied, used: await this.#used(uid, applied, { scope: 'defined' }) });
  }

  /** Whether the owner's definitions are within the quota with this one among them. */
  async admitDefinition(owner: number, definition: MachineDefinition): Promise<Outcome<void>> {
    return await this.#admit(owner, definition, 'defined');
  }

  /** Whether the owner's running machines are within the quota with this one among them. */
  async admitStart(owner: number, definition: MachineDefinition): Promise<Outcome<void>> {
    return await this.#admit(owner, definition, 'running');
  }

  /** Whether they still are when a disk of this one, which runs, has so many bytes more. */
  async admitGrowth(owner: number, definition: MachineDefinition, bytes: number): Promise<Outcome<void>> {
    return await this.#admit(owner, definition, 'running', bytes);
  }

  /** `keep` writes up to so many bytes of the machine's memory on the manager's file system: they count as disks, from now on. */
  async whileKeeping<Result>(
    { owner, definition, bytes }: Keeping,
    keep: () => Promise<Outcome<Result>>,
  ): Promise<Outcome<Result>> {
    const promised = (): number => this.#promised.get(owner) ?? 0;
    // SECURITY: promise 4. Of several at once each counts with those before it.
    const admitted = await this.#promising.run(async () => {
      const found = await this.#admit(owner, definition, 'defined', promised() + bytes);
      if (found.ok) this.#promised.set(owner, promised() + bytes);
      return found;
    });
    if (!admitted.ok) return admitted;
    try {
      return await keep();
    } finally {
      this.#promised.set(owner, promised() - bytes);
    }
  }

  async #admit(uid: number, definition: MachineDefinition, scope: Scope, growth = 0): Promise<Outcome<void>> {
    const found = this.#find(uid);
    if (!found.ok) return found;
    if (found.value === undefined) return success(undefined);
    const { owner, applied } = found.value;
    const others = await this.#used(uid, applied, { scope, but: definition.name });
    const own = await this.#useOf(uid, applied, definition);
    const known = this.#services.machines().find(({ name }) => name === definition.name)?.record ?? null;
    // What another had counted for that other.
    const old = known?.metadata.owner === uid ? known : null;
    // A machine that is defined already counted before; one that is to start did not run.
    const counted = growth > 0 || (scope === 'defined' && old !== null);
    const was = counted ? await this.#useOf(uid, applied, old?.definition ?? definition) : noUse;
    const faults = quotaFaults(owner.name, applied, {
      before: sumOf([others, was]),
      needed: sumOf([others, own, { ...noUse, disk: growth }]),
    });
    return faults.length === 0 ? success(undefined) : { ok: false, faults };
  }

  #find(uid: number): Outcome<{ readonly owner: Owner; readonly applied: AppliedQuota } | undefined> {
    const owner = this.#services.owner(uid);
    if (!owner.ok) return owner;
    // Administrators have none: they could write any definition under another's name anyway.
    if (owner.value.ownerIsAdministrator) return success(undefined);
    const applied = quotaFor(owner.value.policy.quotas, owner.value.person);
    return success(applied && { owner: owner.value, applied });
  }

  async #used(
    uid: number,
    applied: AppliedQuota,
    { scope, but }: { readonly scope: Scope; readonly but?: string },
  ): Promise<Use> {
    const machines = this.#services
      .machines()
      .filter(
        ({ name, record, state }) =>
          record?.metadata.owner === uid &&
          name !== but &&
          (scope === 'defined' || !endedStates.includes(state)),
      );
    const uses = machines.map(async ({ record, starting, run }) => {
      if (record === null) return noUse;
      if (scope === 'defined') return await this.#useOf(uid, applied, record.definition);
      return await this.#useOfRunning(uid, applied, { definition: record.definition, starting, run });
    });
    return sumOf(await Promise.all(uses));
  }

  /** SECURITY: promise 4. A definition that was made smaller meanwhile gives back nothing of what the process has. */
  async #useOfRunning(
    uid: number,
    applied: AppliedQuota,
    {
      definition,
      starting,
      run,
    }: Pick<CountedMachine, 'starting' | 'run'> & { readonly definition: MachineDefinition },
  ): Promise<Use> {
    const known = starting === null ? [definition] : [definition, starting];
    const uses = await Promise.all(known.map((one) => this.#useOf(uid, applied, one)));
    if (run === undefined) return mostOf(uses);
    const { launch } = run.now;
    const written = launch.descriptors.flatMap((one) =>
      one.kind === 'file' && one.access === 'rw' ? [one.path] : [],
    );
    const disk = await this.#diskBytes(applied, definition, { owner: uid, written });
    const { mostCpus: cpus, mostMemory: memory } = guestSize(launch.argv);
    return mostOf([...uses, { machines: 1, cpus, memory, disk }]);
  }

  /** Images are looked at only where the quota bounds disks. */
  async #useOf(uid: number, { quota }: AppliedQuota, definition: MachineDefinition): Promise<Use> {
    const disk = await this.#diskBytes({ quota }, definition, { owner: uid });
    const { cpu, memory, memoryMaximum = memory } = definition;
    return { machines: 1, cpus: mostCpus(cpu), memory: memoryMaximum, disk };
  }

  async #diskBytes(
    { quota }: Pick<AppliedQuota, 'quota'>,
    definition: MachineDefinition,
    of: Parameters<FileChecks['diskBytes']>[1],
  ): Promise<number> {
    if (quota.disk === null) return 0;
    const { diskBytes, scratch, keptBytes } = this.#services;
    const { name } = definition;
    return (await diskBytes(definition, of)) + scratch.bytesOf(name) + (await keptBytes(name));
  }
}
