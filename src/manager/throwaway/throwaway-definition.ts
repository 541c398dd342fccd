/** The definition of a throwaway machine, from what its user wrote: what is written goes into overlays, and a seed starts the runner. Pure. */
import { diskSchema } from '../../definition/schema-disks.ts';
import { variableStorePath } from '../../plan/boot.ts';
import type { DiskDefinition, MachineDefinition } from '../../definition/schema.ts';

/** A disk of the machine's, and the file in its place. */
export interface Overlay {
  readonly path: string;
  /** The image that it is laid over. */
  readonly image: Pick<DiskDefinition, 'path' | 'format'>;
}

export interface ThrowawayParts {
  /** What the user's rights and quotas are held against: it reads, and writes nothing. */
  readonly asked: MachineDefinition;
  /** What is started. */
  readonly started: MachineDefinition;
  readonly overlays: readonly Overlay[];
  /** Undefined: the guest has its runner already. */
  readonly seed: string | undefined;
  /** Of qward's own directory, gone once QEMU has them open. */
  readonly files: readonly string[];
}

/** Label and format are cloud-init's; read by the runner's first line in the guest (seed.ts). */
const seedDisk = (path: string): DiskDefinition =>
  diskSchema.parse({ id: 'qward-seed', path, format: 'raw', readonly: true });

/** `vars` is the directory of qward's own files for machines. */
export function throwawayParts(definition: MachineDefinition, vars: string): ThrowawayParts {
  const { name } = definition;
  const laid = layOver(onlyLife(definition), vars);
  const seed = `${vars}/${name}.seed.iso`;
  const uefi = definition.firmware === 'uefi' ? [variableStorePath(vars, definition)] : [];
  return {
    ...laid,
    // What is thrown away need not be safe on the host's disk.
    started: { ...laid.started, disks: [...laid.started.disks.map(carelessly), seedDisk(seed)] },
    seed,
    files: [...laid.files, seed, ...uefi],
  };
}

/** Of a copy of a saved machine: its devices are the same to the letter. */
export const copyParts = (definition: MachineDefinition, vars: string): ThrowawayParts => ({
  ...layOver(onlyLife(definition), vars),
  seed: undefined,
});

/** It has one life: whatever ends it ends its command. */
const onlyLife = (definition: MachineDefinition): MachineDefinition => ({
  ...definition,
  runner: true,
  onCrash: 'stop',
  onPowerOff: 'stop',
  onReboot: 'stop',
  onHostShutdown: 'kill',
});

const carelessly = (disk: DiskDefinition): DiskDefinition =>
  disk.readonly ? disk : { ...disk, cache: 'unsafe', aio: 'threads' };

function layOver(definition: MachineDefinition, vars: string): Omit<ThrowawayParts, 'seed'> {
  const { name, disks } = definition;
  const written = disks.filter((disk) => !disk.readonly);
  const overlays = written.map((disk, at) => ({ path: `${vars}/${name}.${at}.qcow2`, image: disk }));
  const laidOver = (disk: DiskDefinition): DiskDefinition => {
    const overlay = overlays[written.indexOf(disk)];
    if (overlay === undefined) return disk;
    return {
      ...disk,
      path: overlay.path,
      format: 'qcow2',
      backing: [{ path: disk.path, format: disk.format }, ...disk.backing],
    };
  };
  return {
    asked: { ...definition, disks: disks.map((disk) => ({ ...disk, readonly: true })) },
    started: { ...definition, disks: disks.map(laidOver) },
    overlays,
    files: overlays.map(({ path }) => path),
  };
}
