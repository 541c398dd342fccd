/** The UEFI variable store of a machine: a qcow2 image of its own, made from the firmware's empty one. */
import { randomUUID } from 'node:crypto';
import { access, link, open, readFile, stat, unlink } from 'node:fs/promises';
import { variableStorePath } from '../plan/boot.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { FileFacts, HostFacts } from '../plan/launch-plan.ts';
import { writeQcow2 } from '../plan/qcow2-image.ts';
import { failure, success, type Outcome } from './outcome.ts';
import { errorCode } from '../linux/errno.ts';

export interface StorePlace {
  readonly directory: string;
  readonly machine: Pick<MachineDefinition, 'name' | 'secureBoot'>;
}

/** Makes the store where there is none. It is complete and on disk before it has its name, and never overwritten. */
export async function ensureVariableStore(place: StorePlace, template: string): Promise<Outcome<void>> {
  const path = variableStorePath(place.directory, place.machine);
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (exists) return success(undefined);
  const temporary = `${path}.${randomUUID()}.new`;
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(writeQcow2(await readFile(template)));
      await file.sync();
    } finally {
      await file.close();
    }
    await link(temporary, path);
  } catch (error) {
    if (errorCode(error) !== 'EEXIST') return unwritable(path, error);
  } finally {
    await unlink(temporary).catch(() => undefined);
  }
  return success(undefined);
}

/** What the broker will see once the store is made, for a plan that makes nothing; nothing where it is there. */
export async function freshVariableStore(
  place: StorePlace,
  template: string,
  files: HostFacts['files'],
): Promise<Record<string, FileFacts>> {
  const path = variableStorePath(place.directory, place.machine);
  if (files[path]?.ok === true) return {};
  const virtualSize = await stat(template).then(
    ({ size }) => size,
    () => 0,
  );
  return {
    [path]: {
      ok: true,
      size: virtualSize,
      worldReadable: false,
      image: { format: 'qcow2', virtualSize, references: [], snapshots: 0 },
    },
  };
}

function unwritable(path: string, error: unknown): Outcome<never> {
  const reason = error instanceof Error ? error.message : String(error);
  return failure(
    'state-unwritable',
    `the store of UEFI variables ${path} could not be made: ${reason}`,
    'make room, and let the directory belong to the user of qward-manager',
  );
}
