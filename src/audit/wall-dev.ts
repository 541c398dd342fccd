/** The device nodes that the process can open by name. */
import type { DevEntry } from '../protocol/broker.ts';
import { nodesOf, type ExpectedWalls, type MachineWalls } from './expected-walls.ts';
import { judge, type Finding } from './finding.ts';
import type { ProcessState } from './process-state.ts';

/** What every OCI runtime makes (runtime-spec, config-linux.md, "Default Devices"). */
export const standardNodes: Readonly<Record<string, string>> = {
  null: '1:3',
  zero: '1:5',
  full: '1:7',
  random: '1:8',
  urandom: '1:9',
  tty: '5:0',
};
const standardLinks: ReadonlySet<string> = new Set(['fd', 'stdin', 'stdout', 'stderr', 'ptmx', 'core']);
const standardDirectories: ReadonlySet<string> = new Set(['pts', 'shm', 'mqueue']);

/** Of every QEMU (Documentation/admin-guide/devices.txt). */
const kvm = { type: 'c', major: 10, minor: 232 } as const;

/** What the nodes are that a machine was given, by path; of any other process, what every QEMU may have. */
export function grantedNodes(expected: ExpectedWalls): NonNullable<MachineWalls['deviceNumbers']> {
  if (expected === null) return { '/dev/kvm': kvm };
  const numbers = expected.deviceNumbers ?? { '/dev/kvm': kvm };
  return Object.fromEntries(
    nodesOf(expected).flatMap((path) => (numbers[path] === undefined ? [] : [[path, numbers[path]]])),
  );
}

export function compareDev(state: ProcessState, expected: ExpectedWalls): Finding {
  const { dev } = state.facts;
  const granted = dev.filter(
    (entry) => faultOf(entry, expected) === null && standardNodes[entry.name] === undefined,
  );
  const faults = dev.flatMap((entry) => faultOf(entry, expected) ?? []);
  const nodes = granted.filter(({ type }) => type === 'char' || type === 'block').map(({ name }) => name);
  return judge(nodes.length > 0 ? `standard nodes and ${nodes.join(', ')}` : 'standard nodes', faults);
}

function faultOf(entry: DevEntry, expected: ExpectedWalls): string | null {
  const { name, type } = entry;
  const numbers = `${entry.major}:${entry.minor}`;
  if (type === 'link' && standardLinks.has(name)) return null;
  if (type === 'directory' && standardDirectories.has(name)) return null;
  if (type === 'char' && standardNodes[name] === numbers) return null;
  const fault = `/dev/${name} (${type === 'char' || type === 'block' ? `${type} ${numbers}` : type})`;
  const nodes = grantedNodes(expected);
  const around = Object.keys(nodes).some((path) => path.startsWith(`/dev/${name}/`));
  if (type === 'directory' && around) return null;
  const node = nodes[`/dev/${name}`];
  if (node === undefined || type !== (node.type === 'c' ? 'char' : 'block')) return fault;
  if (numbers !== `${node.major}:${node.minor}`) return fault;
  if (expected === null) return null;
  // A session has the host's own node.
  return entry.uid === expected.uid || expected.rootless !== null
    ? null
    : `${fault} belongs to uid ${entry.uid}`;
}
