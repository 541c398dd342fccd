/** Which QEMU is used: the first of the policy's binaries that can be. */
import { stat } from 'node:fs/promises';
import type { QemuFacts } from '../plan/launch-plan.ts';
import { defaultQemu } from './facts/qemu-facts.ts';
import { QemuFactsSource } from './facts/qemu-facts-source.ts';
import { failure, type Outcome } from './outcome.ts';

export interface QemuChoiceOptions {
  /** Where what was found is kept for the next manager. */
  readonly directory: string;
  /** The policy's file: when it changes, the broker is asked what it lists now. */
  readonly policy: string;
  /** What the policy lists; undefined where nobody can be asked. */
  readonly listed: () => Promise<readonly string[] | undefined>;
}

export class QemuChoice {
  readonly #directory: string;
  readonly #policy: string;
  readonly #listed: QemuChoiceOptions['listed'];
  #policySeen = '';
  readonly #sources = new Map<string, QemuFactsSource>();
  #binaries: readonly string[] = [defaultQemu];

  constructor({ directory, policy, listed }: QemuChoiceOptions) {
    this.#directory = directory;
    this.#policy = policy;
    this.#listed = listed;
  }

  /** What the policy lists, as the broker last said. */
  update(binaries: readonly string[]): void {
    if (binaries.length > 0) this.#binaries = binaries;
  }

  /** Where none can be used, what is wrong with the first. */
  async read(): Promise<Outcome<QemuFacts>> {
    await this.#followPolicy();
    let first: Outcome<QemuFacts> | undefined;
    for (const binary of this.#binaries) {
      const facts = await this.#source(binary).read();
      if (facts.ok) return facts;
      first ??= facts;
    }
    return first ?? failure('qemu-missing', 'the policy lists no QEMU', 'list one under `qemuBinaries`');
  }

  async #followPolicy(): Promise<void> {
    const seen = await stat(this.#policy).then(
      ({ ino, size, mtimeMs }) => `${ino} ${size} ${mtimeMs}`,
      () => 'none',
    );
    if (seen === this.#policySeen) return;
    const listed = await this.#listed();
    if (listed === undefined) return;
    this.update(listed);
    this.#policySeen = seen;
  }

  #source(binary: string): QemuFactsSource {
    const known = this.#sources.get(binary);
    if (known !== undefined) return known;
    const name = binary.replaceAll(/[^a-z0-9]+/gi, '-');
    const source = new QemuFactsSource(binary, `${this.#directory}/qemu-facts${name}.json`);
    this.#sources.set(binary, source);
    return source;
  }
}
