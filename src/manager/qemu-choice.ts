/** Which QEMU is used: the first of the policy's binaries that can be. */
import type { QemuFacts } from '../plan/launch-plan.ts';
import { defaultQemu } from './facts/qemu-facts.ts';
import { QemuFactsSource } from './facts/qemu-facts-source.ts';
import { failure, type Outcome } from './outcome.ts';

export class QemuChoice {
  readonly #directory: string;
  readonly #sources = new Map<string, QemuFactsSource>();
  #binaries: readonly string[] = [defaultQemu];

  /** `directory`: where what was found is kept for the next manager. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** What the policy lists, as the broker last said. */
  update(binaries: readonly string[]): void {
    if (binaries.length > 0) this.#binaries = binaries;
  }

  /** Where none can be used, what is wrong with the first. */
  async read(): Promise<Outcome<QemuFacts>> {
    let first: Outcome<QemuFacts> | undefined;
    for (const binary of this.#binaries) {
      const facts = await this.#source(binary).read();
      if (facts.ok) return facts;
      first ??= facts;
    }
    return first ?? failure('qemu-missing', 'the policy lists no QEMU', 'list one under `qemuBinaries`');
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
