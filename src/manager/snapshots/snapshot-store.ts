/**
 * Snapshots of machines: snapshots/NAME/ with, for each, `SNAPSHOT.json`, which is put in place last, the memory, and the UEFI
 * variables. What belongs to it of the disks is in the images, under the tag `qward-SNAPSHOT`.
 */
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { open, readdir, readFile, rm } from 'node:fs/promises';
import { errorCode } from '../../linux/errno.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Part } from '../saved/saved-states.ts';
import { parseStateNote, type StateNote } from '../saved/state-note.ts';
import { copyDurably, makeDirectory, removeFile, replaceFile, syncDirectory } from '../store/atomic-file.ts';

/** Each is the memory of a machine on the manager's file system. */
export const maxSnapshots = 16;
export const snapshotName = /^[a-z0-9][a-z0-9-]{0,40}$/;
export const tagOf = (snapshot: string): string => `qward-${snapshot}`;

export type KeptSnapshot =
  | { readonly snapshot: string; readonly note: StateNote }
  | { readonly snapshot: string; readonly unusable: string };

export class SnapshotStore {
  readonly #root: string;

  constructor(managerState: string) {
    this.#root = `${managerState}/snapshots`;
  }

  directory(machine: string): string {
    return `${this.#root}/${machine}`;
  }

  memoryPath({ machine, memory }: StateNote): string {
    return `${this.directory(machine)}/${memory.file}`;
  }

  variablesPath(machine: string, snapshot: string): string {
    return `${this.directory(machine)}/${snapshot}.vars`;
  }

  /** In the order of their age. */
  async list(machine: string): Promise<readonly KeptSnapshot[]> {
    const files = await readdir(this.directory(machine)).catch(() => []);
    const names = files.flatMap((file) => /^([a-z0-9-]+)\.json$/.exec(file)?.[1] ?? []);
    const kept = await Promise.all(names.map((name) => this.#read(machine, name)));
    const at = (one: KeptSnapshot): string => ('note' in one ? one.note.savedAt : '');
    return kept.toSorted((one, other) => (at(one) < at(other) ? -1 : 1));
  }

  async get(machine: string, snapshot: string): Promise<Outcome<StateNote>> {
    const found = (await this.list(machine)).find((one) => one.snapshot === snapshot);
    if (found === undefined)
      return failure(
        'request-invalid',
        `machine "${machine}" has no snapshot "${snapshot}"`,
        `\`qward snapshot list ${machine}\` shows which there are`,
      );
    return 'note' in found ? success(found.note) : damaged(machine, snapshot, found.unusable);
  }

  /** Whether the memory is there, byte for byte. */
  async verify(snapshot: string, note: StateNote): Promise<Outcome<undefined>> {
    const hash = createHash('sha256');
    try {
      await pipeline(createReadStream(this.memoryPath(note)), async (source: AsyncIterable<Buffer>) => {
        for await (const chunk of source) hash.update(chunk);
      });
    } catch (error) {
      return damaged(note.machine, snapshot, `its memory: ${errorCode(error)}`);
    }
    return hash.digest('hex') === note.memory.sha256
      ? success(undefined)
      : damaged(note.machine, snapshot, 'the checksum of its memory differs');
  }

  async begin(machine: string): Promise<Outcome<Part>> {
    const directory = this.directory(machine);
    try {
      await makeDirectory(directory);
      await this.#clear(machine);
      const file = `memory-${randomBytes(8).toString('hex')}.zst`;
      return success({ file, handle: await open(`${directory}/${file}`, 'wx', 0o600) });
    } catch (error) {
      return unwritable(directory, error);
    }
  }

  async abandon(machine: string, { file, handle }: Part): Promise<void> {
    await handle.close().catch(() => undefined);
    await rm(`${this.directory(machine)}/${file}`, { force: true });
  }

  /** The store of UEFI variables as it is now. */
  async keepVariables(machine: string, snapshot: string, path: string): Promise<Outcome<undefined>> {
    const kept = this.variablesPath(machine, snapshot);
    try {
      await copyDurably(path, kept);
      return success(undefined);
    } catch (error) {
      return unwritable(kept, error);
    }
  }

  async commit(snapshot: string, note: StateNote): Promise<Outcome<void>> {
    const directory = this.directory(note.machine);
    const written = await replaceFile(`${directory}/${snapshot}.json`, `${JSON.stringify(note)}\n`);
    if (!written.ok) return written;
    try {
      await syncDirectory(this.#root);
      return success(undefined);
    } catch (error) {
      return unwritable(this.#root, error);
    }
  }

  async remove(machine: string, snapshot: string): Promise<Outcome<void>> {
    const removed = await removeFile(`${this.directory(machine)}/${snapshot}.json`);
    if (!removed.ok) return removed;
    await rm(this.variablesPath(machine, snapshot), { force: true });
    await this.#clear(machine);
    return success(undefined);
  }

  async #read(machine: string, snapshot: string): Promise<KeptSnapshot> {
    try {
      const parsed = parseStateNote(await readFile(`${this.directory(machine)}/${snapshot}.json`, 'utf8'));
      if (!parsed.ok) return { snapshot, unusable: parsed.reason };
      const { note } = parsed;
      return note.machine === machine
        ? { snapshot, note }
        : { snapshot, unusable: `it is of machine "${note.machine}"` };
    } catch (error) {
      return { snapshot, unusable: errorCode(error) };
    }
  }

  /** Memory that no snapshot names: of one that was not finished, or is removed. */
  async #clear(machine: string): Promise<void> {
    const kept = await this.list(machine);
    // What cannot be read may name any of them.
    if (kept.some((one) => 'unusable' in one)) return;
    const named = kept.flatMap((one) => ('note' in one ? [one.note.memory.file] : []));
    for (const file of await readdir(this.directory(machine)))
      if (/^memory-.*\.zst$/.test(file) && !named.includes(file))
        await rm(`${this.directory(machine)}/${file}`, { force: true });
  }
}

const damaged = (machine: string, snapshot: string, why: string): Outcome<never> =>
  failure(
    'state-unusable',
    `snapshot "${snapshot}" of machine "${machine}" is damaged: ${why}`,
    `remove it: \`qward snapshot rm ${machine} ${snapshot}\``,
  );

function unwritable(path: string, error: unknown): Outcome<never> {
  const reason = error instanceof Error ? error.message : String(error);
  return failure(
    'state-unwritable',
    `the snapshot was not kept: ${path}: ${reason}`,
    'make room, and let the directory belong to the user of qward-manager',
  );
}
