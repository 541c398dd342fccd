/** Names of other managers as names of machines here: lower-case letters, digits and "-", a letter first, 63 at most. */
export function machineNameOf(foreign: string): string {
  const name = foreign
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-+|-+$/g, '');
  const lettered = /^[a-z]/.test(name) ? name : `m-${name}`.replace(/-$/, '');
  return lettered.slice(0, 63).replace(/-+$/, '');
}
