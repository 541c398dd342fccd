/** QEMU's facts, gathered once and kept in memory and in a file until a file that they speak of changes. */
import { createHash } from 'node:crypto';
import { statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import type { QemuFacts } from '../../plan/launch-plan.ts';
import { success, type Outcome } from '../outcome.ts';
import { replaceFile } from '../store/atomic-file.ts';
import { gatherQemu, type GatheredQemu } from './qemu-facts.ts';

const paths = z.array(z.strictObject({ source: z.string(), target: z.string() }));

/** The file; one of another version is gathered anew. */
const keptForm = z.strictObject({
  version: z.literal(1),
  /** The path that was asked for, before links were followed. */
  asked: z.string(),
  fingerprint: z.string(),
  moduleDirectory: z.string().nullable(),
  facts: z.strictObject({
    binary: z.string(),
    version: z.strictObject({ major: z.int(), minor: z.int(), micro: z.int() }),
    closure: paths,
    modules: z.record(z.string(), paths),
  }),
});
type Kept = z.infer<typeof keptForm>;

export class QemuFactsSource {
  readonly #binary: string;
  readonly #file: string;
  #kept: Kept | undefined;
  #pending: Promise<Outcome<QemuFacts>> | undefined;

  /** `file` lies in a directory that only the manager can write. */
  constructor(binary: string, file: string) {
    this.#binary = binary;
    this.#file = file;
  }

  /** Faults as in `gatherQemu`. A fault is not kept: the next call looks again. */
  async read(): Promise<Outcome<QemuFacts>> {
    if (this.#kept !== undefined && this.#holds(this.#kept)) return success(this.#kept.facts);
    this.#pending ??= this.#readAnew().finally(() => {
      this.#pending = undefined;
    });
    return await this.#pending;
  }

  async #readAnew(): Promise<Outcome<QemuFacts>> {
    const stored = await this.#load();
    if (stored !== undefined && this.#holds(stored)) {
      this.#kept = stored;
      return success(stored.facts);
    }
    const gathered = await gatherQemu(this.#binary);
    if (!gathered.ok) return gathered;
    const kept = keptForm.parse({
      version: 1,
      asked: this.#binary,
      fingerprint: fingerprint(gathered.value),
      ...gathered.value,
    });
    this.#kept = kept;
    // A full /run costs the next manager some 200 ms, and nobody anything else.
    await replaceFile(this.#file, JSON.stringify(kept));
    return success(kept.facts);
  }

  #holds(kept: Kept): boolean {
    return kept.asked === this.#binary && kept.fingerprint !== '' && kept.fingerprint === fingerprint(kept);
  }

  async #load(): Promise<Kept | undefined> {
    try {
      const stored: unknown = JSON.parse(await readFile(this.#file, 'utf8'));
      return keptForm.safeParse(stored).data;
    } catch {
      return undefined;
    }
  }
}

/** Changes when any file of the facts is replaced or touched; empty when one is gone. A fraction of a millisecond. */
function fingerprint({ facts, moduleDirectory }: GatheredQemu | Kept): string {
  const hash = createHash('sha256');
  const sources = [facts.closure, ...Object.values(facts.modules)].flat().map(({ source }) => source);
  for (const path of [...new Set(sources), ...(moduleDirectory === null ? [] : [moduleDirectory])]) {
    const stats = statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return '';
    hash.update(`${path}\0${stats.dev} ${stats.ino} ${stats.size} ${stats.mtimeMs}\n`);
  }
  return hash.digest('hex');
}
