/**
 * What became of each move to this host, by its token, whatever is done with the machine and its name afterwards:
 * arrivals/TOKEN.json, version 1.
 * SECURITY: promise 7. Who gave a guest away lets it go on when it hears "no" from here. So that is said of a move that is known not
 * to have come, and whose machine was nothing else since; of one that was forgotten nothing is said.
 */
import * as z from 'zod';
import { success, type Outcome } from '../outcome.ts';
import { removeFile, replaceFile } from '../store/atomic-file.ts';
import type { BrokenFile } from '../store/definition-store.ts';
import { parseNote, readNotes } from './note-files.ts';

/** `unsure`: it did not come, and a machine of that name ran here since, was renamed or removed. */
export const arrivalFates = ['arrived', 'refused', 'unsure'] as const;
export type ArrivalFate = (typeof arrivalFates)[number];

const token = z.string().regex(/^[0-9a-f]{32}$/);
const pastArrival = z.strictObject({
  version: z.literal(1),
  token,
  /** What it was called then, on both hosts. */
  machine: z.string().max(63),
  fate: z.enum(arrivalFates),
  /** ISO 8601. */
  at: z.string().max(40),
});
export type PastArrival = Readonly<z.output<typeof pastArrival>>;

/** Each with some 200 bytes. Nobody's moves push out those of other machines, until there are very many. */
const maxOfMachine = 16;
const maxOfAll = 4096;

const arrivalFile = /^([0-9a-f]{32})\.json$/;

export class Arrivals {
  readonly #directory: string;
  readonly #past = new Map<string, PastArrival>();

  constructor(managerState: string) {
    this.#directory = `${managerState}/arrivals`;
  }

  /** Reads what there is. What cannot be read is not known, and is given. */
  async load(): Promise<readonly BrokenFile[]> {
    const broken: BrokenFile[] = [];
    for await (const { name, path, read } of readNotes(this.#directory, arrivalFile, parse))
      if (typeof read !== 'string') this.#past.set(name, read);
      else
        broken.push({
          path,
          reason: read,
          cure: 'remove it: whether that machine came here is then said on the other host, with --keep or --gone',
        });
    return broken;
  }

  /** Undefined: nothing is known of it. */
  fateOf(machine: string, name: string): ArrivalFate | undefined {
    const past = this.#past.get(name);
    return past?.machine === machine ? past.fate : undefined;
  }

  get machines(): ReadonlySet<string> {
    return new Set([...this.#past.values()].map(({ machine }) => machine));
  }

  /** Durable before it returns. What is known of one already stays. */
  async keep(arrival: PastArrival): Promise<Outcome<void>> {
    if (this.#past.has(arrival.token) || !token.safeParse(arrival.token).success) return success(undefined);
    const written = await this.#write(arrival);
    if (!written.ok) return written;
    for (const { token: oldest } of this.#tooMany(arrival.machine)) await this.#forget(oldest);
    return success(undefined);
  }

  /** Its machine runs here from now on, or its name becomes another's: of what did not come under it, nothing is said any more. */
  async doubt(machine: string): Promise<Outcome<void>> {
    for (const past of this.#past.values()) {
      if (past.machine !== machine || past.fate !== 'refused') continue;
      const written = await this.#write({ ...past, fate: 'unsure' });
      if (!written.ok) return written;
    }
    return success(undefined);
  }

  async #write(arrival: PastArrival): Promise<Outcome<void>> {
    const written = await replaceFile(
      `${this.#directory}/${arrival.token}.json`,
      `${JSON.stringify(arrival)}\n`,
    );
    if (written.ok) this.#past.set(arrival.token, arrival);
    return written;
  }

  async #forget(name: string): Promise<void> {
    this.#past.delete(name);
    // One that is there again after the next start is forgotten then.
    await removeFile(`${this.#directory}/${name}.json`);
  }

  #tooMany(machine: string): readonly PastArrival[] {
    const all = [...this.#past.values()].toSorted((one, other) => (one.at < other.at ? -1 : 1));
    const ofMachine = all.filter((past) => past.machine === machine);
    return [
      ...ofMachine.slice(0, Math.max(0, ofMachine.length - maxOfMachine)),
      ...all.slice(0, Math.max(0, all.length - maxOfAll)),
    ];
  }
}

/** What is wrong with it is a string. */
function parse(name: string, text: string): PastArrival | string {
  const parsed = parseNote(pastArrival, text);
  return typeof parsed === 'string' || parsed.token === name ? parsed : 'it is of another move';
}
