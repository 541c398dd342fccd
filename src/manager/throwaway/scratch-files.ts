/**
 * The files behind throwaway machines: overlays that take what the guest writes, and the seed. They have names only until QEMU has
 * them open; from then on nothing but the machine itself keeps them.
 */
import { unlink, writeFile } from 'node:fs/promises';
import { overlayQcow2 } from '../../plan/qcow2-image.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { Overlay } from './throwaway-definition.ts';

export interface NewScratch {
  readonly overlays: readonly (Overlay & { readonly virtualSize: number })[];
  readonly seed: { readonly path: string; readonly image: Uint8Array } | undefined;
  /** All that may come to be there, with what others make. */
  readonly files: readonly string[];
}

export class ScratchFiles {
  readonly #known = new Map<string, { readonly files: readonly string[]; readonly bytes: number }>();

  /** Of a machine that is there. */
  pathsOf(machine: string): readonly string[] {
    return this.#known.get(machine)?.files ?? [];
  }

  /** What the overlays may grow to, together. */
  bytesOf(machine: string): number {
    return this.#known.get(machine)?.bytes ?? 0;
  }

  /** From now on the machine counts with them; nothing is made yet. */
  expect(machine: string, { overlays, files }: NewScratch): void {
    const bytes = overlays.reduce((sum, { virtualSize }) => sum + virtualSize, 0);
    this.#known.set(machine, { files, bytes });
  }

  async make({ overlays, seed }: NewScratch): Promise<Outcome<undefined>> {
    const options = { flag: 'wx', mode: 0o600 };
    try {
      for (const { path, image, virtualSize } of overlays)
        await writeFile(path, overlayQcow2(virtualSize, image), options);
      if (seed !== undefined) await writeFile(seed.path, seed.image, options);
      return success(undefined);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return failure('state-unwritable', `the machine's disk could not be made: ${reason}`, 'make room');
    }
  }

  /** QEMU has them open, or never will. */
  async unlink(machine: string): Promise<void> {
    for (const path of this.pathsOf(machine)) await unlink(path).catch(() => undefined);
  }

  forget(machine: string): void {
    this.#known.delete(machine);
  }
}
