/**
 * Throwaway machines: each lives as long as the connection that asked for it, and nothing of it stays. Before anything is made for
 * one, its name is noted; what a manager that died left behind such a note is cleared away by the next.
 */
import { mkdir, readdir, unlink, writeFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import type { ThrowawayWish } from '../../api/throwaway-contract.ts';
import { parseDefinition } from '../../definition/parse.ts';
import type { Fault } from '../../definition/fault.ts';
import type { MachineDefinition } from '../../definition/schema.ts';
import { parseImageHeader } from '../../plan/image-header.ts';
import type { Paths } from '../../protocol/paths.ts';
import type { BrokerPort } from '../broker-port.ts';
import { claimantsOf } from '../claimant.ts';
import type { Admit } from '../definitions/admission.ts';
import { removeKept } from '../definitions/remove-kept.ts';
import type { EventHistory } from '../events.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Log } from '../log.ts';
import type { Machines } from '../machines.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { LookUpOwner } from '../owners.ts';
import type { Identity } from '../roles.ts';
import { revisionOf } from '../store/definition-store.ts';
import type { RunNotes } from '../store/run-notes.ts';
import { definitionText } from '../../definition/format-full.ts';
import type { Incoming } from '../lifecycle/start-run.ts';
import { authorize } from '../server/authorize.ts';
import { AdmissionQueue, type Place } from './admission-queue.ts';
import { copyOfSaved, SavedCopy, type CopyServices } from './saved-copy.ts';
import type { NewScratch, ScratchFiles } from './scratch-files.ts';
import { throwawaySeed } from './seed.ts';
import { copyParts, throwawayParts, type ThrowawayParts } from './throwaway-definition.ts';
import { isThrowawayName, newThrowawayName } from './throwaway-name.ts';

export interface ThrowawayServices extends CopyServices {
  readonly machines: Machines;
  readonly broker: BrokerPort;
  readonly events: EventHistory;
  readonly notes: RunNotes;
  readonly paths: Paths;
  readonly log: Log;
  readonly now: () => Date;
  readonly admit: Admit;
  readonly owner: LookUpOwner;
  readonly scratch: ScratchFiles;
}

export interface Asking {
  readonly identity: Identity;
  readonly name: string;
  readonly wish: ThrowawayWish;
  /** Fires when the machine is to end, whatever for. */
  readonly signal: AbortSignal;
  readonly onPlace: (before: number) => void;
  readonly onStarting: () => void;
  /** It has this place until it is cleared away. */
  readonly hold: (place: Place) => void;
}

interface Wished {
  readonly parts: ThrowawayParts;
  readonly seed: NewScratch['seed'];
  readonly revision: string;
  readonly incoming: { readonly incoming?: Incoming };
}

export interface Throwaway {
  readonly machine: Machine;
  readonly place: Place;
}

const firstRetryMs = 200;
const lastRetryMs = 5000;
/** What is not cleared away by then when the manager goes down, the next one clears away. */
const endWithinMs = 10_000;

export class Throwaways implements AsyncDisposable {
  readonly #services: ThrowawayServices;
  readonly #queue = new AdmissionQueue();
  readonly #directory: string;
  /** What is there of each, and when it is cleared away. */
  readonly #names = new Map<string, PromiseWithResolvers<void>>();
  readonly #ending = new AbortController();

  constructor(services: ThrowawayServices) {
    this.#services = services;
    this.#directory = `${services.paths.managerState}/throwaways`;
  }

  /** Whether any is there, or waits. */
  get any(): boolean {
    return this.#names.size > 0;
  }

  /** Fires when the manager goes down: they end with it. */
  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  /** A name for one that comes, noted so that whatever is made under it is found. */
  async reserve(): Promise<Outcome<string>> {
    const name = newThrowawayName();
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await writeFile(`${this.#directory}/${name}`, '', { flag: 'wx', mode: 0o600 });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return failure('state-unwritable', `nothing can be noted of a machine: ${reason}`, 'make room');
    }
    this.#names.set(name, Promise.withResolvers());
    return success(name);
  }

  /** Starts it in its turn. Whatever comes of that, `release` clears it away. */
  async start(asking: Asking): Promise<Outcome<Throwaway>> {
    const { identity, name, signal } = asking;
    const { scratch, admit } = this.#services;
    const wished = await this.#partsOf(asking);
    if (!wished.ok) return wished;
    const { parts, seed, revision, incoming } = wished.value;
    const asked = { owner: identity.uid, by: identity.uid, dryRun: false };
    const faults = async (): Promise<readonly Fault[]> => {
      const admitted = await admit(parts.asked, asked);
      return admitted.ok ? [] : admitted.faults;
    };
    const before = await faults();
    // Room in a quota may come while it waits.
    if (before.some(({ rule = '' }) => !rule.startsWith('quotas['))) return { ok: false, faults: before };
    const sized = await this.#sizes(parts, identity);
    if (!sized.ok) return sized;
    const files = { overlays: sized.value, seed, files: parts.files };
    scratch.expect(name, files);
    let machine: Machine | undefined;
    const place = await this.#queue.wait({
      uid: identity.uid,
      memory: parts.started.memory,
      quota: faults,
      onAdmitted: () => {
        machine = this.#add(asking, parts.started, revision);
      },
      signal,
      onPlace: asking.onPlace,
    });
    if (!place.ok) return place;
    asking.hold(place.value);
    if (machine === undefined || signal.aborted) return gone;
    asking.onStarting();
    const made = await scratch.make(files);
    if (!made.ok) return made;
    const started = await machine.start({ paused: false, by: identity.user, ...incoming });
    // SECURITY: promise 7. From here on the overlays are the process's alone, and end with it.
    await scratch.unlink(name);
    if (!started.ok) return started;
    place.value.pid = machine.run?.launched.pid;
    return success({ machine, place: place.value });
  }

  /** Ends it, and clears away all of it, however long the broker does not answer. */
  async release(name: string, by: string): Promise<void> {
    await this.#remove(name, by).finally(() => {
      this.#names.get(name)?.resolve();
      this.#names.delete(name);
    });
  }

  /** What an earlier manager left. */
  async sweep(): Promise<void> {
    const { vars } = this.#services.paths;
    const noted = await readdir(this.#directory).catch(() => []);
    // After a power cut its files may be there without its note.
    const made = (await readdir(vars).catch(() => [])).map((file) => file.replace(/\..*/, ''));
    const left = new Set([...noted, ...made]);
    for (const name of [...left].filter((one) => isThrowawayName(one) && !this.#names.has(one))) {
      this.#names.set(name, Promise.withResolvers());
      void this.release(name, 'qward, since the manager ended');
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    this.#queue[Symbol.dispose]();
    const gone = Promise.all([...this.#names.values()].map(({ promise }) => promise));
    await Promise.race([gone, wait(endWithinMs, undefined, { ref: false })]);
  }

  /** What is to be started, from what its user says. */
  async #partsOf({ identity, name, wish }: Asking): Promise<Outcome<Wished>> {
    const { paths, machines, now } = this.#services;
    if ('from' in wish) {
      // SECURITY: promise 4. Who may start a copy reads all of the guest's memory and disks: a right on the machine that its owner has.
      const source = authorize(machines, identity, { right: 'define', name: wish.from });
      if (!source.ok) return source;
      if (source.value === undefined) return gone;
      const copied = await copyOfSaved(this.#services, source.value, {
        name,
        description: wish.description,
      });
      if (!copied.ok) return copied;
      const { restore, definition } = copied.value;
      const parts = copyParts(definition, paths.vars);
      return success({
        parts,
        seed: undefined,
        revision: revisionOf(definitionText(definition)),
        incoming: { incoming: new SavedCopy(parts.started, restore, this.#services) },
      });
    }
    const parsed = parseDefinition(wish.source);
    if (!parsed.ok) return parsed;
    const { definition } = parsed;
    if (definition.name !== name)
      return failure('request-invalid', `name: "${name}" expected`, 'define it by the name that was given');
    const parts = throwawayParts(definition, paths.vars);
    const image = throwawaySeed({ name, network: definition.nics.length > 0, at: now() });
    return success({
      parts,
      seed: parts.seed === undefined ? undefined : { path: parts.seed, image },
      revision: revisionOf(wish.source),
      incoming: {},
    });
  }

  #add({ identity, name }: Asking, definition: MachineDefinition, revision: string): Machine {
    const { machines, events, now } = this.#services;
    const machine = machines.add(name, {
      name,
      definition,
      revision,
      metadata: { version: 2, owner: identity.uid, definedAt: now().toISOString(), grants: [] },
    });
    events.emit('machine.defined', name, identity.user, { throwaway: true });
    return machine;
  }

  /** What each overlay is as large as. */
  async #sizes(
    { asked, overlays }: ThrowawayParts,
    { uid }: Identity,
  ): Promise<Outcome<NewScratch['overlays']>> {
    const { broker, owner } = this.#services;
    if (overlays.length === 0) return success([]);
    const found = owner(uid);
    if (!found.ok) return found;
    const images = overlays.map(({ image }) => image.path);
    const claimants = claimantsOf(images, found.value);
    const probed = await broker.call('probe', {
      machine: asked.name,
      paths: images.map((path) => ({ path, access: 'ro', claimant: claimants[path] ?? null })),
      head: 1024,
    });
    if (!probed.ok) return probed;
    const sized = [];
    for (const [at, probe] of probed.value.entries()) {
      if (!probe.ok) return { ok: false, faults: [probe.refusal] };
      const overlay = overlays[at];
      if (overlay === undefined) continue;
      const header = parseImageHeader(Buffer.from(probe.head, 'base64'), probe.size);
      const virtualSize = overlay.image.format === 'raw' ? probe.size : header.virtualSize;
      if (virtualSize > maxDiskBytes)
        return failure(
          'image-format',
          `"${probe.path}" is larger than 4 TiB`,
          'give the machine a smaller one',
        );
      sized.push({ ...overlay, virtualSize });
    }
    return success(sized);
  }

  async #remove(name: string, by: string): Promise<void> {
    const { scratch, log } = this.#services;
    await scratch.unlink(name);
    for (let delayMs = firstRetryMs; ; delayMs = Math.min(2 * delayMs, lastRetryMs)) {
      const removed = await this.#tryToRemove(name, by);
      if (removed.ok) break;
      if (this.#ending.signal.aborted) return;
      log.warn('a throwaway machine was not cleared away yet', { machine: name, faults: removed.faults });
      await wait(delayMs, undefined, { signal: this.#ending.signal, ref: false }).catch(() => undefined);
    }
    scratch.forget(name);
    await unlink(`${this.#directory}/${name}`).catch(() => undefined);
  }

  async #tryToRemove(name: string, by: string): Promise<Outcome<unknown>> {
    const { machines, broker, events, paths } = this.#services;
    const machine = machines.get(name);
    const killed =
      machine === undefined ? await broker.call('kill', { machine: name }) : await machine.kill(by);
    if (!killed.ok) return killed;
    const forgotten = await broker.call('forget', { machine: name });
    if (!forgotten.ok) return forgotten;
    if (machine !== undefined) {
      machine.record = null;
      machines.remove(name);
      await machine.life.flush();
      events.emit('machine.removed', name, by);
    }
    for (const path of leftovers(paths.vars, name, await readdir(paths.vars).catch(() => [])))
      await unlink(path).catch(() => undefined);
    await removeKept(this.#services, name);
    return success(undefined);
  }
}

const maxDiskBytes = 4 * 1024 ** 4;
const gone = failure('timed-out', 'nobody waits for it any more', '');

/** Files of the machine's that an earlier manager had not yet taken the names from. */
const leftovers = (vars: string, name: string, files: readonly string[]): readonly string[] =>
  files.filter((file) => file.startsWith(`${name}.`)).map((file) => `${vars}/${file}`);
