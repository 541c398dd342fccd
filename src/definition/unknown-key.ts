/** What to say to a key that there is not: what was meant, where it belongs, or what there is. */
import type { DefinitionKey } from './definition-keys.ts';
import { nearest } from './suggest.ts';

/** Words of other programs, and of people, for keys of ours. */
const otherWords: Readonly<Record<string, string>> = {
  vcpu: 'cpu.count',
  vcpus: 'cpu.count',
  cpus: 'cpu.count',
  smp: 'cpu.count',
  cores: 'cpu.count',
  mem: 'memory',
  ram: 'memory',
  maxmem: 'limits.memory',
  drive: 'disks',
  drives: 'disks',
  hdd: 'disks',
  storage: 'disks',
  volumes: 'disks',
  dvd: 'cdroms',
  iso: 'cdroms',
  net: 'nics',
  network: 'nics',
  networks: 'nics',
  interfaces: 'nics',
  ethernet: 'nics',
  serial: 'console',
  graphics: 'vnc',
  display: 'vnc',
  bios: 'firmware',
  uefi: 'firmware',
  hostname: 'name',
  title: 'description',
  append: 'boot.cmdline',
  args: 'boot.cmdline',
  'disks[].file': 'path',
  'disks[].source': 'path',
  'disks[].image': 'path',
  'disks[].name': 'id',
  'disks[].type': 'format',
  'disks[].driver': 'bus',
  'disks[].interface': 'bus',
  'disks[].ro': 'readonly',
  'cdroms[].file': 'path',
  'cdroms[].source': 'path',
  'cdroms[].image': 'path',
  'cdroms[].iso': 'path',
  'cdroms[].name': 'id',
  'nics[].name': 'id',
  'nics[].type': 'kind',
  'nics[].macaddress': 'mac',
  'nics[].address': 'mac',
  'nics[].driver': 'model',
};

/** `parent` as in definition-keys: `disks[]`, or empty for the outermost. */
export function unknownKeyHint(name: string, parent: string, keys: readonly DefinitionKey[]): string {
  if (name === '<<') return 'Merge keys are not taken; write the keys out.';
  const siblings = keys.filter((key) => key.parent === parent).map((key) => key.name);
  const other = otherWords[`${parent === '' ? '' : `${parent}.`}${name.toLowerCase()}`];
  if (siblings.includes(name)) return `It is a key of others of ${parent}: see their \`kind\`.`;
  const near = nearest(name, siblings);
  if (near !== undefined) return `Did you mean "${near}"?`;
  if (other !== undefined) return `Did you mean "${other}"?`;
  const elsewhere = keys.filter((key) => key.name === name).map((key) => key.key);
  if (elsewhere.length > 0)
    return `There is ${elsewhere.slice(0, 3).join(' and ')}; is it in the wrong place?`;
  if (siblings.length === 0) return 'There are no keys below this one.';
  return `${parent === '' ? 'The keys of a definition' : `The keys of ${parent}`} are ${siblings.join(', ')}.`;
}
