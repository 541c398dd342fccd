/**
 * A disk that is about to stand alone: pulls/NAME.json. QEMU takes the name of what lies below out of the image's header at a
 * moment of its own; whoever dies there, the header is looked at before the machine starts, and the definition says the same.
 */
import { readFile } from 'node:fs/promises';
import { sameImages, type DiskImages } from '../../definition/set-images.ts';
import type { Definitions } from '../definitions/definitions.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Outcome } from '../outcome.ts';
import type { Planner } from '../planner.ts';
import { makeDirectory, removeFile, replaceFile } from '../store/atomic-file.ts';
import { parseImages } from './block-work.ts';

export interface PullNote {
  readonly disk: string;
  readonly from: DiskImages;
  readonly to: DiskImages;
}

export class PullNotes {
  readonly #directory: string;

  constructor(managerState: string) {
    this.#directory = `${managerState}/pulls`;
  }

  #path(machine: string): string {
    return `${this.#directory}/${machine}.json`;
  }

  async write(machine: string, note: PullNote): Promise<Outcome<void>> {
    await makeDirectory(this.#directory);
    return await replaceFile(this.#path(machine), `${JSON.stringify({ version: 1, ...note })}\n`);
  }

  async read(machine: string): Promise<PullNote | undefined> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#path(machine), 'utf8'));
      const field = (name: string): unknown => Reflect.get(Object(value), name);
      const [disk, from, to] = [field('disk'), parseImages(field('from')), parseImages(field('to'))];
      return typeof disk === 'string' && from !== undefined && to !== undefined
        ? { disk, from, to }
        : undefined;
    } catch {
      return undefined;
    }
  }

  async remove(machine: string): Promise<void> {
    await removeFile(this.#path(machine));
  }
}

export interface PullServices {
  readonly pulls: PullNotes;
  readonly planner: Planner;
  readonly definitions: Pick<Definitions, 'putImages'>;
}

/** Of a machine that does not run: which of the two its image is, its header says. */
export async function settlePull(
  { pulls, planner, definitions }: PullServices,
  machine: Machine,
): Promise<void> {
  const note = await pulls.read(machine.name);
  const { record } = machine;
  if (note === undefined || record === null || machine.run?.process.alive === true) return;
  const { definition, metadata } = record;
  const disk = definition.disks.find(({ id }) => id === note.disk);
  // What it is about is over, where the definition says anything else by now.
  if (disk !== undefined && sameImages(disk, note.from)) {
    const { path, format, backing } = note.to;
    const alone = {
      ...definition,
      disks: [{ ...disk, path, format, backing: [...backing] }],
      cdroms: [],
      nics: [],
      hooks: {},
      boot: { menu: false },
      firmware: 'bios' as const,
    };
    const planned = await planner.plan(alone, { owner: metadata.owner, makeFiles: false });
    const stands = planned.ok || !planned.faults.some(({ code }) => code === 'image-references');
    if (!planned.ok && stands) return;
    const put = stands ? await definitions.putImages(machine, [[note.disk, note.to]]) : undefined;
    if (put?.ok === false) return;
    machine.life.note(`disk "${note.disk}": it ${stands ? 'stands alone' : 'has its chain as before'}`);
  }
  await pulls.remove(machine.name);
}
