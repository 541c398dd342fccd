/** Looking at the files of a definition as the broker would open them for its owner. */
import type { Fault } from '../definition/fault.ts';
import { filesOf, namedFiles, type NeededFile } from '../definition/named-files.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { parseImageHeader } from '../plan/image-header.ts';
import type { FileProbe } from '../protocol/broker.ts';
import type { BrokerPort } from './broker-port.ts';
import { claimantsOf, type Ownership } from './claimant.ts';
import { success, type Outcome } from './outcome.ts';
import type { ScratchFiles } from './throwaway/scratch-files.ts';

export interface FileCheckSources {
  readonly broker: BrokerPort;
  /** What decides with whose claims files are asked for, as it is now. */
  readonly ownership: (ownerUid: number) => Outcome<Ownership>;
  readonly scratch: Pick<ScratchFiles, 'pathsOf'>;
}

export interface FileChecks {
  /** Why the broker does not open files for the owner's machine. A file that is not there is for the start to tell. */
  readonly faults: (definition: MachineDefinition, owner: number) => Promise<readonly Fault[]>;
  /** Virtual sizes of the writable disks together, bytes; those that cannot be looked at count nothing. */
  readonly diskBytes: (
    definition: MachineDefinition,
    of: {
      readonly owner: number;
      /** Files that the machine writes to, if they are not those of the definition. */
      readonly written?: readonly string[];
    },
  ) => Promise<number>;
}

export function createFileChecks(sources: FileCheckSources): FileChecks {
  return {
    faults: async (definition, owner) => {
      const looked = await look(sources, { definition, owner, files: filesOf(definition) });
      if (!looked.ok) return looked.faults;
      return looked.value.flatMap((probe) =>
        probe.ok || probe.refusal.code === 'file-missing' ? [] : [placed(definition, probe)],
      );
    },
    diskBytes: async (definition, { owner, written }) => {
      const files =
        written?.map((path) => ({ path, access: 'rw' as const })) ??
        filesOf(definition).filter(({ access }) => access === 'rw');
      const looked = await look(sources, { definition, owner, files });
      if (!looked.ok) return 0;
      return looked.value.reduce((sum, probe) => sum + (probe.ok ? virtualSize(probe) : 0), 0);
    },
  };
}

interface Look {
  readonly definition: MachineDefinition;
  readonly owner: number;
  readonly files: readonly NeededFile[];
}

async function look(
  { broker, ownership, scratch }: FileCheckSources,
  { definition, owner, files: named }: Look,
): Promise<Outcome<readonly FileProbe[]>> {
  const made = scratch.pathsOf(definition.name);
  const files = named.filter(({ path }) => !made.includes(path));
  if (files.length === 0) return success([]);
  const owned = ownership(owner);
  if (!owned.ok) return owned;
  const claimants = claimantsOf(
    files.map(({ path }) => path),
    owned.value,
  );
  const paths = files.map((file) => ({ ...file, claimant: claimants[file.path] ?? null }));
  return await broker.call('probe', { machine: definition.name, paths, head: 1024 });
}

function placed(definition: MachineDefinition, { path, refusal }: FileProbe & { readonly ok: false }): Fault {
  const named = namedFiles(definition).find((file) => file.path === path);
  return named === undefined
    ? refusal
    : { ...refusal, message: `${named.subject}: ${refusal.message}`, path: named.place };
}

function virtualSize({ head, size }: FileProbe & { readonly ok: true }): number {
  return parseImageHeader(Buffer.from(head, 'base64'), size).virtualSize;
}
