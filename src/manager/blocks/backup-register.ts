/** What was backed up of each machine, in the manager's own directory: backups/NAME.json. The files are the users'. */
import { readFile } from 'node:fs/promises';
import { errorCode } from '../../linux/errno.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { makeDirectory, replaceFile } from '../store/atomic-file.ts';
import { texts } from './block-work.ts';

export interface BackupOfDisk {
  readonly disk: string;
  readonly path: string;
  /** The backups that it stands on, the nearest first; empty: it is whole by itself. */
  readonly onto: readonly string[];
}

export interface Backup {
  /** Name of the record of what is written since, without its prefix. */
  readonly id: string;
  readonly at: string;
  readonly by: string;
  /** The file systems of the guest were at rest. */
  readonly frozen: boolean;
  readonly disks: readonly BackupOfDisk[];
}

const most = 500;
export const bitmapPrefix = 'qward-';

export class BackupRegister {
  readonly #directory: string;

  constructor(managerState: string) {
    this.#directory = `${managerState}/backups`;
  }

  #path(machine: string): string {
    return `${this.#directory}/${machine}.json`;
  }

  /** In the order of their age. */
  async list(machine: string): Promise<Outcome<readonly Backup[]>> {
    try {
      const value: unknown = JSON.parse(await readFile(this.#path(machine), 'utf8'));
      const backups: unknown = Reflect.get(Object(value), 'backups');
      return success((Array.isArray(backups) ? (backups as readonly unknown[]) : []).flatMap(parseBackup));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return success([]);
      const why = error instanceof Error ? error.message : 'failed';
      return failure('state-unwritable', `${this.#path(machine)}: ${why}`, 'mend or remove it');
    }
  }

  async add(machine: string, backup: Backup): Promise<Outcome<void>> {
    const there = await this.list(machine);
    if (!there.ok) return there;
    await makeDirectory(this.#directory);
    const backups = [...there.value, backup].slice(-most);
    return await replaceFile(this.#path(machine), `${JSON.stringify({ version: 1, backups })}\n`);
  }
}

function parseBackup(value: unknown): readonly Backup[] {
  const field = (name: string): unknown => Reflect.get(Object(value), name);
  const [id, at, by, disks] = ['id', 'at', 'by', 'disks'].map(field);
  if (typeof id !== 'string' || typeof at !== 'string' || typeof by !== 'string' || !Array.isArray(disks))
    return [];
  const parsed = (disks as readonly unknown[]).flatMap((one) => {
    const [disk, path]: unknown[] = ['disk', 'path'].map((name) => Reflect.get(Object(one), name));
    if (typeof disk !== 'string' || typeof path !== 'string') return [];
    return [{ disk, path, onto: texts(Reflect.get(Object(one), 'onto')) }];
  });
  return [{ id, at, by, frozen: field('frozen') === true, disks: parsed }];
}
