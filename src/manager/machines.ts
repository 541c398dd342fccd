/** All machines that the manager knows: those that are defined, and those that run. */
import type { MachineSummary, Right } from '../api/contract.ts';
import type { Fault } from '../definition/fault.ts';
import type { FileIdentity, LaunchedMachine } from '../protocol/broker.ts';
import { beyondWalls } from '../definition/relaxations.ts';
import type { Policy } from '../policy/policy.ts';
import { Machine, type MachineServices } from './lifecycle/machine.ts';
import type { PendingRestart } from './lifecycle/restarts.ts';
import type { Run } from './lifecycle/run.ts';
import type { Outcome } from './outcome.ts';
import type { LookUpOwner } from './owners.ts';
import { createRunJudge, type Judged, type OwnStorage } from './policy-grounds.ts';
import { Addresses } from './networks/addresses.ts';
import type { PolicySource } from './policy-source.ts';
import { mayOnMachine, seesAll, type Access, type Identity } from './roles.ts';
import type { DefinitionRecord } from './store/definition-store.ts';

export type RegistryServices = Omit<MachineServices, 'onChanged' | 'findLockHolder' | 'keepLog'> & {
  readonly userName: (uid: number) => string;
  readonly policy: PolicySource;
  readonly storage: OwnStorage;
  readonly owner: LookUpOwner;
  readonly startsWithHost: (name: string) => boolean;
};

/** What it answers is the log's to tell. */
function shownRestart(pending: PendingRestart | null): MachineSummary['restart'] {
  if (pending === null) return null;
  const { at, attempt, of } = pending;
  return { at, attempt, of };
}

const nobodys: Access = { owner: null, grants: [] };

export class Machines {
  readonly #services: MachineServices;
  readonly #userName: (uid: number) => string;
  /** As far as the broker has said. */
  readonly startsWithHost: (name: string) => boolean;
  readonly #machines = new Map<string, Machine>();
  /** Rows of `list` as JSON, kept until something in them changes. */
  readonly #rows = new Map<string, string>();
  #wholeList: Buffer | undefined;
  readonly #addresses = new Addresses();
  readonly #policy: PolicySource;
  #policySeen: Outcome<Policy> | undefined;
  readonly #owner: LookUpOwner;
  readonly #judge: (judged: Judged) => readonly Fault[];

  constructor(services: RegistryServices) {
    this.#userName = services.userName;
    this.startsWithHost = services.startsWithHost;
    this.#policy = services.policy;
    this.#owner = services.owner;
    this.#judge = createRunJudge(services.policy, services.storage);
    this.#services = {
      ...services,
      onChanged: (name) => {
        this.#forgetRow(name);
        const machine = this.get(name);
        // What was never defined is known only as long as it runs.
        if (machine?.record === null && machine.run === undefined && machine.state !== 'unreachable')
          this.#machines.delete(name);
      },
      findLockHolder: (run, path) => Promise.resolve(this.#findLockHolder(run, path)),
      keepLog: async (name, lines, at) => {
        await this.get(name)?.log.append(lines.map((text) => ({ at, from: 'qemu', text })));
      },
    };
  }

  get(name: string): Machine | undefined {
    return this.#machines.get(name);
  }

  all(): readonly Machine[] {
    return [...this.#machines.values()];
  }

  /** Adds a machine that was defined, or one that runs and is not (`record` null). */
  add(name: string, record: DefinitionRecord | null): Machine {
    const machine = new Machine(name, record, this.#services);
    this.#machines.set(name, machine);
    this.#forgetRow(name);
    return machine;
  }

  remove(name: string): void {
    this.#machines.delete(name);
    this.#forgetRow(name);
  }

  /** Something that `list` shows of it, and that stands elsewhere, changed. */
  changed(name: string): void {
    this.#forgetRow(name);
  }

  /** Whose machine it is; null: nobody's. */
  ownerOf(machine: Machine): number | null {
    return machine.record?.metadata.owner ?? null;
  }

  /** What decides who may do what with it. */
  accessOf({ record }: Machine): Access {
    return record === null ? nobodys : { owner: record.metadata.owner, grants: record.metadata.grants };
  }

  may(identity: Identity, right: Right, machine: Machine): boolean {
    return mayOnMachine(identity, right, this.accessOf(machine));
  }

  /** Those that the user may know of. */
  visibleTo(identity: Identity): readonly Machine[] {
    return this.all().filter((machine) => this.may(identity, 'see', machine));
  }

  summary(machine: Machine): MachineSummary {
    const { record, run, life } = machine;
    const owner = this.ownerOf(machine);
    return {
      name: machine.name,
      state: life.state,
      description: record?.definition.description ?? 'runs, and is not defined',
      tags: [...(record?.definition.tags ?? [])],
      cpus: run?.hotplug.size.cpus ?? record?.definition.cpu.count ?? 0,
      memory: run?.hotplug.size.memory ?? record?.definition.memory ?? 0,
      owner: owner === null ? '' : this.#userName(owner),
      pid: run?.launched.pid ?? null,
      uid: run?.launched.uid ?? null,
      since: life.board.since,
      changed: run !== undefined && run.revision !== null && run.revision !== record?.revision,
      notAdmitted: this.refusals(machine).length > 0,
      autostart: this.startsWithHost(machine.name),
      restart: shownRestart(life.after.restarts.pending),
      beyond: record === null ? [] : [...beyondWalls(record.definition)],
      addresses: run === undefined ? [] : [...this.#addresses.of(run)],
      wallsDiffer: run !== undefined && life.audit?.ok === false,
    };
  }

  /** Looks for addresses of what runs. */
  async lookForAddresses(): Promise<void> {
    const runs = this.all().flatMap(({ run }) => run ?? []);
    await this.#addresses.look(runs, ({ launched }) => this.#forgetRow(launched.machine));
  }

  /** What the policy of now has against a machine that runs. Nothing follows from it for the machine. */
  refusals(machine: Machine): readonly Fault[] {
    const { run } = machine;
    if (run === undefined) return [];
    const uid = this.ownerOf(machine);
    const owner = uid === null ? undefined : this.#owner(uid);
    return this.#judge({ run, owner: owner?.ok === true ? owner.value : undefined });
  }

  /** The list that this user may see, as JSON. Made anew only where something in it changed. */
  list(identity: Identity): Buffer {
    this.#followPolicy();
    const whole = seesAll(identity);
    if (whole && this.#wholeList !== undefined) return this.#wholeList;
    const rows = [...this.visibleTo(identity)]
      .sort((left, right) => (left.name < right.name ? -1 : 1))
      .map((machine) => this.#row(machine));
    const list = Buffer.from(`[${rows.join(',')}]`);
    if (whole) this.#wholeList = list;
    return list;
  }

  /**
   * Takes over what the broker runs: each is unreachable until its monitor has answered. The result asks them all, and
   * is over when each has answered or been given up.
   */
  async adopt(launched: readonly LaunchedMachine[]): Promise<() => Promise<void>> {
    const connects = await Promise.all(launched.map((one) => this.#adoptOne(one)));
    return async () => {
      await Promise.all(connects.map((connect) => connect()));
    };
  }

  async #adoptOne(launched: LaunchedMachine): Promise<() => Promise<void>> {
    const machine = this.get(launched.machine) ?? this.add(launched.machine, null);
    if (machine.run !== undefined || machine.busy) return () => Promise.resolve();
    return await machine.adopt(launched, await this.#services.notes.read(launched.machine));
  }

  /** A machine that runs and whose record the broker cannot read: nothing but a kill reaches it. */
  showUnreached(name: string): void {
    const machine = this.get(name) ?? this.add(name, null);
    if (machine.run === undefined && !machine.busy) machine.life.settle('unreachable');
  }

  /** A change of the policy may change every row. */
  #followPolicy(): void {
    const now = this.#policy.current();
    if (now === this.#policySeen) return;
    this.#policySeen = now;
    this.#rows.clear();
    this.#wholeList = undefined;
  }

  #forgetRow(name: string): void {
    this.#rows.delete(name);
    this.#wholeList = undefined;
  }

  #row(machine: Machine): string {
    const kept = this.#rows.get(machine.name);
    if (kept !== undefined) return kept;
    const row = JSON.stringify(this.summary(machine));
    this.#rows.set(machine.name, row);
    return row;
  }

  /** Whether whoever may see `own` may see the other, too: what is said of it stands in the state of `own`. */
  #sameEyes(other: Machine, own: Machine): boolean {
    const [theirs, ours] = [this.accessOf(other), this.accessOf(own)];
    return (
      theirs.owner === ours.owner &&
      ours.grants.every(({ kind, id }) => theirs.grants.some((one) => one.kind === kind && one.id === id))
    );
  }

  /** By device and inode: paths may differ through links and mounts. */
  #findLockHolder(starting: Run, path: string): string | undefined {
    const wanted = starting.files[path];
    return wanted === undefined ? undefined : this.holderOf(starting.launched.machine, wanted, path);
  }

  /** Another machine that has this file open, as far as whoever may see this one may see that one too. */
  holderOf(name: string, wanted: FileIdentity, path: string): string | undefined {
    const own = this.get(name);
    for (const machine of this.all()) {
      const { run, record, state } = machine;
      // SECURITY: promise 4. A machine that shares an image with one that not all may see does not say with which.
      if (own === undefined || machine === own || !this.#sameEyes(machine, own)) continue;
      // A start under way has the image open before its run is known.
      if (state === 'starting' && record?.definition.disks.some((disk) => disk.path === path) === true)
        return machine.name;
      if (run === undefined) continue;
      // What an earlier manager started is as the broker opened it: a claim for it may be gone meanwhile.
      if (
        Object.values(run.openFiles).some(
          (file) => file.device === wanted.device && file.inode === wanted.inode,
        )
      )
        return machine.name;
    }
    return undefined;
  }
}
