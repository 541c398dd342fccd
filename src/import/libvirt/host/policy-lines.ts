/** The keys of the policy that machines need so that they may start, from their definitions. */
import { namedFiles } from '../../../definition/named-files.ts';
import type { MachineDefinition } from '../../../definition/schema.ts';

const ownRoot = '/var/lib/qward/images';

const quoted = (words: readonly string[]): string => words.map((word) => JSON.stringify(word)).join(', ');
const widest = (one: 'ro' | 'rw' | undefined, other: 'ro' | 'rw'): 'ro' | 'rw' =>
  one === 'rw' ? 'rw' : other;

function withAccess(paths: ReadonlyMap<string, 'ro' | 'rw'>): string {
  return [...paths]
    .sort(([one], [other]) => one.localeCompare(other))
    .map(([path, access]) => `{ "path": ${JSON.stringify(path)}, "access": "${access}" }`)
    .join(', ');
}

/** Lines of /etc/qward/policy.json, each a key with what these machines need of it. */
export function policyLines(definitions: readonly MachineDefinition[]): readonly string[] {
  const roots = new Map<string, 'ro' | 'rw'>([[ownRoot, 'rw']]);
  const devices = new Map<string, 'ro' | 'rw'>();
  for (const { path, access } of definitions.flatMap(namedFiles)) {
    const isDevice = path.startsWith('/dev/');
    const key = isDevice ? path : path.slice(0, path.lastIndexOf('/')) || '/';
    if (!isDevice && (key === ownRoot || key.startsWith(`${ownRoot}/`))) continue;
    const into = isDevice ? devices : roots;
    into.set(key, widest(into.get(key), access));
  }
  const bridges = new Set(
    definitions.flatMap(({ nics }) => nics.flatMap((nic) => ('bridge' in nic ? [nic.bridge] : []))),
  );
  const given = definitions.flatMap(({ name, hostDevices }) =>
    hostDevices.flatMap(({ pci, usb }) => relaxation(name, pci === undefined ? ['usb', usb] : ['pci', pci])),
  );
  return [
    ...(roots.size > 1 ? [`"storageRoots": [${withAccess(roots)}]`] : []),
    ...(devices.size > 0 ? [`"blockDevices": [${withAccess(devices)}]`] : []),
    ...(bridges.size > 0 ? [`"bridges": [${quoted([...bridges].sort())}]`] : []),
    ...(given.length > 0 ? [`"relaxations": [${given.join(', ')}]`] : []),
  ];
}

const relaxation = (machine: string, [relax, to]: readonly [string, string | undefined]): readonly string[] =>
  to === undefined ? [] : [`{ "relax": "${relax}", "to": "${to}", "machines": ["${machine}"] }`];
