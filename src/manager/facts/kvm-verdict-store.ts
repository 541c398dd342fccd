/** The KVM probe's verdict, remembered until the host boots again. A file of another version counts as none. */
import { readFile } from 'node:fs/promises';
import * as z from 'zod';
import type { Outcome } from '../outcome.ts';
import { replaceFile } from '../store/atomic-file.ts';
import type { KvmVerdict } from './kvm-probe.ts';

const storedForm = z.strictObject({
  version: z.literal(1),
  bootId: z.string(),
  works: z.boolean(),
  reason: z.string().max(1000),
});

export class KvmVerdictStore {
  readonly #file: string;
  readonly #bootIdFile: string;

  /** `file` lies in a directory that only the manager can write. */
  constructor(file: string, bootIdFile = '/proc/sys/kernel/random/boot_id') {
    this.#file = file;
    this.#bootIdFile = bootIdFile;
  }

  /** Undefined: nothing known in this boot; the probe must run. */
  async read(): Promise<KvmVerdict | undefined> {
    try {
      const text: unknown = JSON.parse(await readFile(this.#file, 'utf8'));
      const stored = storedForm.safeParse(text).data;
      if (stored?.bootId !== (await this.#bootId())) return undefined;
      return { works: stored.works, reason: stored.reason };
    } catch {
      return undefined;
    }
  }

  /** Fault: state-unwritable; the verdict then holds for this manager only. */
  async write({ works, reason }: KvmVerdict): Promise<Outcome<void>> {
    const bootId = await this.#bootId();
    return await replaceFile(this.#file, JSON.stringify({ version: 1, bootId, works, reason }));
  }

  async #bootId(): Promise<string> {
    return (await readFile(this.#bootIdFile, 'latin1')).trim();
  }
}
