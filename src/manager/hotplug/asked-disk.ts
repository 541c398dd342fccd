/** The disk that a request asks for, held against the schema and the rules of definitions. */
import { parseDefinition } from '../../definition/parse.ts';
import type { DiskDefinition } from '../../definition/schema.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import type { DefinitionRecord } from '../store/definition-store.ts';

type Asked = Readonly<Record<string, unknown>> & { readonly id: string };

export interface AskedDisk {
  readonly disk: DiskDefinition;
  /** It stands in the definition already. */
  readonly defined: boolean;
}

export function askedDisk({ definition }: DefinitionRecord, asked: Asked): Outcome<AskedDisk> {
  const { id } = asked;
  const own = definition.disks.find((disk) => disk.id === id);
  const named = Object.keys(asked).length > 1;
  if (own !== undefined && !named) return success({ disk: own, defined: true });
  const taken = [...definition.disks, ...definition.cdroms, ...definition.nics].some((one) => one.id === id);
  if (taken)
    return failure(
      'request-invalid',
      `the definition of machine "${definition.name}" has "${id}" already`,
      'choose another id, or give the id alone to attach the disk as the definition has it',
    );
  if (!named)
    return failure(
      'request-invalid',
      `the definition of machine "${definition.name}" has no disk "${id}"`,
      'say what it is: its path and format',
    );
  // JSON is YAML, and a definition of this disk and what its keys may refer to is a definition.
  const { name, iothreads, scsiControllers } = definition;
  const parsed = parseDefinition(JSON.stringify({ name, iothreads, scsiControllers, disks: [asked] }));
  if (!parsed.ok)
    return {
      ok: false,
      faults: parsed.faults.map(({ line: _line, column: _column, ...fault }) => fault),
    };
  const [disk] = parsed.definition.disks;
  if (disk === undefined) throw new TypeError('a definition with one disk has none');
  return success({ disk, defined: false });
}
