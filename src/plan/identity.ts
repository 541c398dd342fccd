/** What the guest reads about the machine that it is: UUID, SMBIOS, generation. */
import type { MachineDefinition } from '../definition/schema.ts';
import { freeText, jsonOption, keyOption, type FreeText, type Option } from './options.ts';

type Texts = Readonly<Record<string, string | undefined>>;

/** One structure of SMBIOS; none where nothing of it is set. */
function structure(type: number, texts: Texts): readonly Option[] {
  if (Object.values(texts).every((text) => text === undefined)) return [];
  const values: Record<string, FreeText | undefined> = Object.fromEntries(
    Object.entries(texts).map(([key, text]) => [key, freeText(text)]),
  );
  return [keyOption('-smbios', null, { type, ...values })];
}

export function identityOptions({ uuid, smbios, generationId }: MachineDefinition): readonly Option[] {
  return [
    ...(uuid === undefined ? [] : [keyOption('-uuid', uuid)]),
    ...structure(0, smbios.bios),
    ...structure(1, smbios.system),
    ...structure(2, smbios.baseBoard),
    ...structure(3, smbios.chassis),
    ...smbios.oemStrings.flatMap((value) => structure(11, { value })),
    ...(generationId === undefined
      ? []
      : [jsonOption('-device', { driver: 'vmgenid', id: 'generation.0', guid: generationId })]),
  ];
}
