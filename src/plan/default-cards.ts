/** What a network card without a kind is: a matter of the host, not of the definition. Pure. */
import type { MachineDefinition, NicDefinition } from '../definition/schema.ts';

export type SettledNic = Exclude<NicDefinition, { readonly kind?: 'default' | undefined }>;
export type SettledDefinition = Omit<MachineDefinition, 'nics'> & { nics: SettledNic[] };

/** `bridge`: the policy's default one; null, as in every session: passt. */
export function settleCards(definition: MachineDefinition, bridge: string | null): SettledDefinition {
  return { ...definition, nics: definition.nics.map((nic) => settled(nic, bridge)) };
}

const isSettled = (nic: NicDefinition): nic is SettledNic => nic.kind !== undefined && nic.kind !== 'default';

function settled(nic: NicDefinition, bridge: string | null): SettledNic {
  if (isSettled(nic)) return nic;
  const { kind: _kind, ...rest } = nic;
  return bridge === null ? { ...rest, kind: 'user', forward: [] } : { ...rest, kind: 'bridge', bridge };
}
