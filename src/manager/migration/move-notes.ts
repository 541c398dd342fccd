/**
 * On which host the guest of a machine is: moves/NAME.json, version 1, on disk before anybody acts on it.
 * SECURITY: promise 7. A machine whose guest may be elsewhere does not start here: two that write one disk destroy it.
 */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import * as z from 'zod';
import { moveKinds } from '../../api/migration-contract.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { removeFile, replaceFile } from '../store/atomic-file.ts';
import type { BrokenFile } from '../store/definition-store.ts';
import { newerThan } from '../store/newer.ts';

const moveNote = z.strictObject({
  version: z.literal(1),
  machine: z.string().max(63),
  kind: z.enum(moveKinds),
  token: z.string().max(64),
  /** The other host, as the user called it. */
  peer: z.string().max(256),
  /** ISO 8601. */
  at: z.string().max(40),
  /** Who moved it. */
  by: z.string().max(512),
  /** The launch of the process that it is about; null: of none. */
  launchedAt: z.string().max(40).nullable(),
  /** How the guest was, and is to be again. */
  paused: z.boolean(),
});
export type MoveNote = Readonly<z.output<typeof moveNote>>;

const noteFile = /^([a-z][a-z0-9-]{0,62})\.json$/;

export class MoveNotes {
  readonly #directory: string;
  readonly #notes = new Map<string, MoveNote>();
  readonly #onChange: (machine: string) => void;

  constructor(managerState: string, onChange: (machine: string) => void) {
    this.#directory = `${managerState}/moves`;
    this.#onChange = onChange;
  }

  /** Reads what there is. What cannot be read keeps its machine from starting, and is given. */
  async load(): Promise<readonly BrokenFile[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const broken: BrokenFile[] = [];
    for (const file of await readdir(this.#directory)) {
      const machine = noteFile.exec(file)?.[1];
      if (machine === undefined) continue;
      const path = `${this.#directory}/${file}`;
      const read = parse(machine, await readFile(path, 'utf8'));
      this.#notes.set(machine, typeof read === 'string' ? unreadable(machine) : read);
      if (typeof read === 'string')
        broken.push({
          path,
          reason: read,
          cure: `where its guest is nowhere else, let it start here: \`qward migrate --keep ${machine}\``,
        });
    }
    return broken;
  }

  /** Of machines that are not there any more; nothing is to be known of those. */
  async forgetAllBut(isKept: (machine: string) => boolean): Promise<void> {
    for (const machine of this.#notes.keys()) if (!isKept(machine)) await this.remove(machine);
  }

  get(machine: string): MoveNote | undefined {
    return this.#notes.get(machine);
  }

  /** Durable before it returns. */
  async put(note: MoveNote): Promise<Outcome<void>> {
    const written = await replaceFile(`${this.#directory}/${note.machine}.json`, `${JSON.stringify(note)}\n`);
    if (!written.ok) return written;
    this.#notes.set(note.machine, note);
    this.#onChange(note.machine);
    return success(undefined);
  }

  async remove(machine: string): Promise<Outcome<void>> {
    if (!this.#notes.has(machine)) return success(undefined);
    const removed = await removeFile(`${this.#directory}/${machine}.json`);
    if (!removed.ok) return removed;
    this.#notes.delete(machine);
    this.#onChange(machine);
    return success(undefined);
  }

  /** As it was before; undefined: there was none. */
  async restore(machine: string, before: MoveNote | undefined): Promise<Outcome<void>> {
    return before === undefined ? await this.remove(machine) : await this.put(before);
  }

  /** Why a machine does not start here, or undergo what a machine that is elsewhere must not; undefined: nothing of that kind. */
  refusal(machine: string): Outcome<never> | undefined {
    const note = this.get(machine);
    if (note === undefined || note.kind === 'arrived') return undefined;
    const { why, cure } = whereItIs(machine, note);
    return failure('machine-moved', `machine "${machine}" ${why}`, cure);
  }
}

type Where = Readonly<Record<'why' | 'cure', string>>;

function whereItIs(machine: string, { kind, peer }: Pick<MoveNote, 'kind' | 'peer'>): Where {
  const keep = `\`qward migrate --keep ${machine}\``;
  switch (kind) {
    case 'given':
      return {
        why: `was being moved to ${peer}, and whether it runs there was not heard`,
        cure: `ask there: \`qward migrate ${machine} ${peer}\`; or say it: ${keep} where it does not run there, \`qward migrate --gone ${machine}\` where it does`,
      };
    case 'arriving':
      return {
        why: `was to come here from ${peer}, which was cut off: its guest is there`,
        cure: `move it again, or remove it here: \`qward rm ${machine}\`; where it is no more there: ${keep}`,
      };
    case 'unreadable':
      return {
        why: 'may be on another host: what was noted of its move cannot be read',
        cure: `where it is not: ${keep}`,
      };
    case 'gone':
    case 'arrived':
      return {
        why: `was moved to ${peer}, where its guest is`,
        cure: `use it there; or remove it here: \`qward rm ${machine}\`; where it is no more there: ${keep}`,
      };
  }
}

const unreadable = (machine: string): MoveNote => ({
  version: 1,
  machine,
  kind: 'unreadable',
  token: '',
  peer: '',
  at: '',
  by: '',
  launchedAt: null,
  paused: false,
});

/** What is wrong with it is a string. */
function parse(machine: string, text: string): MoveNote | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return 'it is not JSON';
  }
  const newer = newerThan(Reflect.get(Object(value), 'version'), 1);
  if (newer !== undefined) return newer.reason;
  const parsed = moveNote.safeParse(value);
  if (!parsed.success) return parsed.error.issues[0]?.message ?? 'out of form';
  return parsed.data.machine === machine ? parsed.data : `it is of machine "${parsed.data.machine}"`;
}
