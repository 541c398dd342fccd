/**
 * The saved states of machines, one for each: saved/NAME/ with the memory and `state.json`, which is put in place last and
 * taken away first. A state exists exactly where that file does.
 * SECURITY: promise 7. A state is resumed once: before the guest goes on, its name is taken away for good.
 */
import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, rename, rm, type FileHandle } from 'node:fs/promises';
import { errorCode } from '../../linux/errno.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { makeDirectory, removeFile, replaceFile, syncDirectory } from '../store/atomic-file.ts';
import type { BrokenFile } from '../store/definition-store.ts';
import { parseStateNote, type StateNote } from './state-note.ts';

export type SavedState =
  | { readonly usable: true; readonly note: StateNote }
  /** It is there, and nobody can resume it; it stays until it is discarded. */
  | {
      readonly usable: false;
      readonly path: string;
      readonly reason: string;
      /** The snapshot to which its disks were going back. */
      readonly reverting?: string | undefined;
    };

/** Memory on its way into its file. */
export interface Part {
  readonly file: string;
  readonly handle: FileHandle;
}

const stateFile = 'state.json';
const takenFile = 'resumed.json';
const machineName = /^[a-z][a-z0-9-]{0,62}$/;

export class SavedStates {
  readonly #root: string;
  readonly #states = new Map<string, SavedState>();
  readonly #onChange: (machine: string) => void;

  constructor(managerState: string, onChange: (machine: string) => void) {
    this.#root = `${managerState}/saved`;
    this.#onChange = onChange;
  }

  /** Reads what there is, and clears away what was never finished. Gives what cannot be used. */
  async load(): Promise<readonly BrokenFile[]> {
    await makeDirectory(this.#root);
    const broken: BrokenFile[] = [];
    for (const name of await readdir(this.#root)) {
      if (!machineName.test(name)) continue;
      const path = `${this.directory(name)}/${stateFile}`;
      const state = await this.#read(name, path);
      if (state !== undefined) this.#states.set(name, state);
      if (state?.usable === false)
        broken.push({
          path,
          reason: state.reason,
          cure:
            state.reverting === undefined
              ? `discard it: \`qward discard-state ${name}\``
              : `go back again: \`qward snapshot revert ${name} ${state.reverting}\``,
        });
      await this.#clearParts(name, state);
    }
    return broken;
  }

  get(machine: string): SavedState | undefined {
    return this.#states.get(machine);
  }

  directory(machine: string): string {
    return `${this.#root}/${machine}`;
  }

  memoryPath({ machine, memory }: StateNote): string {
    return `${this.directory(machine)}/${memory.file}`;
  }

  /** A new file for the memory of a machine; of the guest's, so nobody but the manager reads it. */
  async begin(machine: string): Promise<Outcome<Part>> {
    const directory = this.directory(machine);
    const file = `memory-${randomBytes(8).toString('hex')}.zst`;
    try {
      await makeDirectory(directory);
      await this.#clearParts(machine, this.get(machine));
      return success({ file, handle: await open(`${directory}/${file}`, 'wx', 0o600) });
    } catch (error) {
      return unwritable(directory, error);
    }
  }

  /** The part, which is on disk as a whole, becomes the state of its machine. */
  async commit(note: StateNote): Promise<Outcome<void>> {
    const written = await replaceFile(
      `${this.directory(note.machine)}/${stateFile}`,
      `${JSON.stringify(note)}\n`,
    );
    if (!written.ok) return written;
    try {
      // The directory may be new itself.
      await syncDirectory(this.#root);
    } catch (error) {
      return unwritable(this.#root, error);
    }
    this.#set(note.machine, { usable: true, note });
    return success(undefined);
  }

  async abandon(machine: string, { file, handle }: Part): Promise<void> {
    await handle.close().catch(() => undefined);
    await rm(`${this.directory(machine)}/${file}`, { force: true });
  }

  /** From now on nobody resumes it again. Durable before it returns. */
  async take(machine: string): Promise<Outcome<void>> {
    return await this.#rename(machine, stateFile, takenFile, undefined);
  }

  /** The guest did not go on after all: not one instruction of it ran. */
  async giveBack(note: StateNote): Promise<Outcome<void>> {
    return await this.#rename(note.machine, takenFile, stateFile, { usable: true, note });
  }

  /** Whether one was taken whose machine was not seen to go on; undefined: none. */
  async taken(machine: string): Promise<StateNote | undefined> {
    const state = await this.#read(machine, `${this.directory(machine)}/${takenFile}`);
    return state?.usable === true ? state.note : undefined;
  }

  /** Until a state is committed in its place, the machine does not start: its disks may be half of a snapshot. */
  async beginRevert(machine: string, snapshot: string): Promise<Outcome<void>> {
    const directory = this.directory(machine);
    const path = `${directory}/${stateFile}`;
    try {
      await makeDirectory(directory);
      const written = await replaceFile(path, `${JSON.stringify({ version: 1, reverting: snapshot })}\n`);
      if (!written.ok) return written;
      await syncDirectory(this.#root);
    } catch (error) {
      return unwritable(directory, error);
    }
    const state = await this.#read(machine, path);
    this.#set(machine, state);
    return success(undefined);
  }

  /** Removes all that is kept, the name of the state first. */
  async discard(machine: string): Promise<Outcome<void>> {
    const removed = await removeFile(`${this.directory(machine)}/${stateFile}`);
    if (!removed.ok) return removed;
    this.#set(machine, undefined);
    await rm(this.directory(machine), { recursive: true, force: true });
    return success(undefined);
  }

  async #rename(
    machine: string,
    from: string,
    to: string,
    state: SavedState | undefined,
  ): Promise<Outcome<void>> {
    const directory = this.directory(machine);
    try {
      await rename(`${directory}/${from}`, `${directory}/${to}`);
      this.#set(machine, state);
      await syncDirectory(directory);
      return success(undefined);
    } catch (error) {
      return unwritable(directory, error);
    }
  }

  #set(machine: string, state: SavedState | undefined): void {
    if (state === undefined) this.#states.delete(machine);
    else this.#states.set(machine, state);
    this.#onChange(machine);
  }

  async #read(machine: string, path: string): Promise<SavedState | undefined> {
    const unusable = (reason: string, reverting?: string): SavedState => ({
      usable: false,
      path,
      reason,
      reverting,
    });
    try {
      const parsed = parseStateNote(await readFile(path, 'utf8'));
      if (!parsed.ok) return unusable(parsed.reason, parsed.reverting);
      const { note } = parsed;
      return note.machine === machine
        ? { usable: true, note }
        : unusable(`it is the state of machine "${note.machine}"`);
    } catch (error) {
      return ['ENOENT', 'ENOTDIR'].includes(errorCode(error)) ? undefined : unusable(errorCode(error));
    }
  }

  /** What no state names: memory that was being written when a manager died. */
  async #clearParts(machine: string, state: SavedState | undefined): Promise<void> {
    // What cannot be read may name any of them.
    if (state?.usable === false) return;
    const taken = await this.taken(machine);
    const kept = [state?.note.memory.file, taken?.memory.file];
    const files = await readdir(this.directory(machine)).catch(() => []);
    for (const file of files)
      if ((/^memory-.*\.zst$/.test(file) && !kept.includes(file)) || file.endsWith('.new'))
        await rm(`${this.directory(machine)}/${file}`, { force: true });
  }
}

function unwritable(path: string, error: unknown): Outcome<never> {
  const reason = error instanceof Error ? error.message : String(error);
  return failure(
    'state-unwritable',
    `the state was not kept: ${path}: ${reason}`,
    'make room, and let the directory belong to the user of qward-manager',
  );
}
