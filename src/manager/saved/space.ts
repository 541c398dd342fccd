/** Room for saved states on the manager's own file system: looked for before anything is done, and promised once. */
import { statfs } from 'node:fs/promises';
import type { MachineDefinition } from '../../definition/schema.ts';
import { failure, success, type Outcome } from '../outcome.ts';

const mib = 1024 ** 2;
/** Definitions, notes and the history live there too, and must still be written. */
const leftFreeBytes = 256 * mib;

/**
 * What QEMU may write for a machine at most, bytes: each page once, since the guest stands still, with its address; and
 * devices, ROMs and the memory of the graphics card beside it.
 */
export function mostStateBytes({
  memory,
  video,
  moreVideo,
}: Pick<MachineDefinition, 'memory' | 'video' | 'moreVideo'>): number {
  const frames = moreVideo.reduce((sum, card) => sum + (card.memory ?? 16 * mib), video.memory ?? 0);
  return memory + Math.ceil(memory / 64) + frames + 384 * mib;
}

export class Space {
  readonly #directory: string;
  #promised = 0;

  constructor(managerState: string) {
    this.#directory = managerState;
  }

  /** For `bytes` more; the result gives the promise back. */
  async promise(machine: string, bytes: number): Promise<Outcome<() => void>> {
    this.#promised += bytes;
    const giveBack = (): void => {
      this.#promised -= bytes;
    };
    try {
      const { bavail, bsize } = await statfs(this.#directory);
      const free = bavail * bsize;
      const needed = this.#promised + leftFreeBytes;
      if (free >= needed) return success(giveBack);
      giveBack();
      return failure(
        'state-unwritable',
        `machine "${machine}" was not saved: its state may need ${toMib(bytes)} MiB, and ${this.#directory} has ${toMib(free)} MiB left, of which ${toMib(needed - bytes)} MiB are not for it`,
        `make room on the file system of ${this.#directory}`,
      );
    } catch (error) {
      giveBack();
      return failure(
        'state-unwritable',
        `${this.#directory}: ${error instanceof Error ? error.message : 'failed'}`,
        'look at its file system',
      );
    }
  }
}

const toMib = (bytes: number): number => Math.ceil(bytes / mib);
