/**
 * On which host the guest of a machine is: moves/NAME.json, version 1, on disk before anybody acts on it.
 * SECURITY: promise 7. A machine whose guest may be elsewhere does not start here: two that write one disk destroy it.
 */
import * as z from 'zod';
import { moveKinds } from '../../api/migration-contract.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { removeFile, replaceFile } from '../store/atomic-file.ts';
import type { BrokenFile } from '../store/definition-store.ts';
import { Arrivals, type ArrivalFate } from './arrivals.ts';
import { parseNote, readNotes } from './note-files.ts';

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
  readonly #arrivals: Arrivals;
  /** What could not be written may be on disk all the same: of these the next manager may know other things than this one. */
  readonly #torn = new Set<string>();
  readonly #onChange: (machine: string) => void;

  constructor(managerState: string, onChange: (machine: string) => void) {
    this.#directory = `${managerState}/moves`;
    this.#arrivals = new Arrivals(managerState);
    this.#onChange = onChange;
  }

  /** Reads what there is. What cannot be read keeps its machine from starting, and is given. */
  async load(): Promise<readonly BrokenFile[]> {
    const broken: BrokenFile[] = [...(await this.#arrivals.load())];
    for await (const { name: machine, path, read } of readNotes(this.#directory, noteFile, parse)) {
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
    for (const machine of new Set([...this.#notes.keys(), ...this.#arrivals.machines]))
      if (!isKept(machine)) await this.forget(machine);
  }

  get(machine: string): MoveNote | undefined {
    return this.#notes.get(machine);
  }

  /** What became of a move to here; undefined: nothing is known of it. */
  fateOf(machine: string, token: string): ArrivalFate | undefined {
    const note = this.get(machine);
    const past = this.#arrivals.fateOf(machine, token);
    if (past === 'arrived' || note?.token !== token) return past;
    return this.#torn.has(machine) ? 'unsure' : (past ?? fates[note.kind]);
  }

  /** Durable before it returns. */
  async put(note: MoveNote): Promise<Outcome<void>> {
    const before = this.get(note.machine);
    const kept = before?.token === note.token ? success(undefined) : await this.#keep(before);
    return kept.ok ? await this.#put(note) : kept;
  }

  /** As it was before a move that did not take place; undefined: there was none. */
  async restore(machine: string, before: MoveNote | undefined): Promise<Outcome<void>> {
    const note = this.get(machine);
    const came = note !== undefined && fates[note.kind] !== undefined;
    const kept = await this.#keep(came ? { ...note, kind: 'arriving' } : undefined);
    if (!kept.ok) return kept;
    return before === undefined ? await this.#remove(machine) : await this.#put(before);
  }

  /** What is noted of a machine whose guest is here, or that is not there any more under this name. */
  async forget(machine: string): Promise<Outcome<void>> {
    const kept = await this.#keep(this.get(machine));
    const removed = kept.ok ? await this.#remove(machine) : kept;
    return removed.ok ? await this.runsHere(machine) : removed;
  }

  /** Before its guest runs here: who asks whether it came is not answered that it did not. Durable before it returns. */
  async runsHere(machine: string): Promise<Outcome<void>> {
    return await this.#arrivals.doubt(machine);
  }

  /** What becomes of a move to here stays known when its note goes. */
  async #keep(note: MoveNote | undefined): Promise<Outcome<void>> {
    const fate = note === undefined ? undefined : fates[note.kind];
    if (note === undefined || fate === undefined) return success(undefined);
    const { token, machine, at } = note;
    return await this.#arrivals.keep({ version: 1, token, machine, fate, at });
  }

  async #put(note: MoveNote): Promise<Outcome<void>> {
    const written = await replaceFile(`${this.#directory}/${note.machine}.json`, `${JSON.stringify(note)}\n`);
    if (!written.ok) return this.#tear(note.machine, written);
    this.#torn.delete(note.machine);
    this.#notes.set(note.machine, note);
    this.#onChange(note.machine);
    return success(undefined);
  }

  async #remove(machine: string): Promise<Outcome<void>> {
    if (!this.#notes.has(machine) && !this.#torn.has(machine)) return success(undefined);
    const removed = await removeFile(`${this.#directory}/${machine}.json`);
    if (!removed.ok) return this.#tear(machine, removed);
    this.#torn.delete(machine);
    this.#notes.delete(machine);
    this.#onChange(machine);
    return success(undefined);
  }

  #tear<Fault>(machine: string, fault: Fault): Fault {
    this.#torn.add(machine);
    return fault;
  }

  /** Why a machine does not start here, or undergo what a machine that is elsewhere must not; undefined: nothing of that kind. */
  refusal(machine: string): Outcome<never> | undefined {
    const note = this.get(machine);
    if (note === undefined || note.kind === 'arrived') return undefined;
    const { why, cure } = whereItIs(machine, note);
    return failure('machine-moved', `machine "${machine}" ${why}`, cure);
  }
}

/** What a note says of the move to here that it is about. */
const fates: Readonly<Partial<Record<MoveNote['kind'], ArrivalFate>>> = {
  arriving: 'refused',
  arrived: 'arrived',
};

/** What only who looks at both hosts can say of a move. */
export const sayIt = (machine: string): string =>
  `say it where it stands still: \`qward migrate --keep ${machine}\` where it does not run on the other host, \`qward migrate --gone ${machine}\` where it does`;

type Where = Readonly<Record<'why' | 'cure', string>>;

function whereItIs(machine: string, { kind, peer }: Pick<MoveNote, 'kind' | 'peer'>): Where {
  const keep = `\`qward migrate --keep ${machine}\``;
  switch (kind) {
    case 'given':
      return {
        why: `was being moved to ${peer}, and whether it runs there was not heard`,
        cure: `ask there: \`qward migrate ${machine} ${peer}\`; or ${sayIt(machine)}`,
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
  const parsed = parseNote(moveNote, text);
  if (typeof parsed === 'string' || parsed.machine === machine) return parsed;
  return `it is of machine "${parsed.machine}"`;
}
