/** Names of other managers as names of machines here: lower-case letters, digits and "-", a letter first, 63 at most. */

/** Undefined for a name without a letter or digit of the Latin alphabet. */
export function machineNameOf(foreign: string): string | undefined {
  if (/^[a-z][a-z0-9-]{0,62}$/.test(foreign)) return foreign;
  const name = foreign
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  if (name === '') return undefined;
  return (/^[a-z]/.test(name) ? name : `m-${name}`).slice(0, 63).replace(/-+$/, '');
}
