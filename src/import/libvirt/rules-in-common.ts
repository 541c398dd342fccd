/** What devices of every kind have. */
import { whole } from '../verdict.ts';
import { addressesAreChosen, aliases } from './phrases.ts';
import type { Rules } from './rule-table.ts';

export const common = (device: string): Rules => ({
  [`devices/${device}/alias@name`]: aliases,
  [`devices/${device}/address`]: whole(addressesAreChosen),
  [`devices/${device}/acpi/**`]: addressesAreChosen,
});
