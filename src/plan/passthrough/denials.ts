/**
 * What was denied to a running QEMU, from its own words and the kernel's, each with the grant that would have allowed it. Pure.
 * QEMU's wording: 7.2 to 10. The kernel's: apparmor(7), audit records of type 1326 (seccomp).
 */
import x86 from '../../../resources/seccomp/x86_64.json' with { type: 'json' };
import { cureOf, grantOf, type Granted } from './lint.ts';
import type { HostResource } from './host-resources.ts';

export interface DenialSources {
  /** QEMU's own output. */
  readonly log: readonly string[];
  /** Lines of the kernel's log, as far as whoever asks may read it. */
  readonly kernel: readonly string[];
  /** What ended its last run. */
  readonly signal: string | null;
}

export interface Denial {
  /** The line that tells it. */
  readonly said: string;
  /** What was wanted, in words. */
  readonly wanted: string;
  /** The line of the definition that would allow it, or what else to do. */
  readonly cure: string;
}

const errors = 'Permission denied|No such file or directory|Operation not permitted|Read-only file system';
const withPath = new RegExp(`(/[^\\s'",:]+)(?:['"]|:|,| |$).*?\\b(${errors})`);
/** QEMU does not always say why. */
const unopened =
  /(?:[Cc]ould not|[Uu]nable to|[Ff]ailed to|[Cc]annot) (?:open|load|read|find)\b[^/]*(\/[^\s'",:]+)/;
const connecting = /[Ff]ailed to connect|connect(?:ing)? to/;
const makingSocket =
  /(?:create a socket|bind socket|find an available port|Failed to listen).*(?:Operation not permitted|Permission denied)/;

export function explainDenials(
  { log, kernel, signal }: DenialSources,
  granted: Granted,
  shown: readonly string[],
): readonly Denial[] {
  const found = [
    ...log.flatMap((line) => ofQemu(line, granted, shown) ?? []),
    ...kernel.flatMap((line) => ofAppArmor(line, granted, shown) ?? ofSeccomp(line) ?? []),
  ];
  const killed = signal === 'SIGSYS' && !found.some(({ wanted }) => wanted.startsWith('the system call'));
  const all = killed ? [...found, killedByFilter] : found;
  return [...new Map(all.map((denial) => [`${denial.wanted} ${denial.cure}`, denial])).values()];
}

const killedByFilter: Denial = {
  said: 'it was ended by SIGSYS',
  wanted: 'a system call that a filter kills for',
  cure: 'as root, `dmesg | grep type=1326` tells its number; then confinement: {seccomp: {allow: [CALL]}}, and {"relax": "syscall", "to": "CALL"} in relaxations of the policy',
};

function ofQemu(line: string, granted: Granted, shown: readonly string[]): Denial | undefined {
  if (makingSocket.test(line))
    return {
      said: line,
      wanted: 'a socket of its own',
      cure: cureOf({ kind: 'network listens', name: '', access: 'rw', certain: true }),
    };
  const [, path = unopened.exec(line)?.[1], error = 'No such file or directory'] = withPath.exec(line) ?? [];
  if (path !== undefined) {
    const kind = connecting.test(line) ? 'socket' : path.startsWith('/dev/') ? 'device' : 'file';
    return ofPath(
      line,
      { kind, name: path, access: accessOf(line, error), certain: true },
      { granted, shown, error },
    );
  }
  if (!/Operation not permitted/.test(line)) return undefined;
  return {
    said: line,
    wanted: 'a system call that the filter refuses, or a privilege',
    cure: 'confinement: {seccomp: qemu} tells which of the two it is, with {"relax": "seccomp", "to": "qemu"} in relaxations of the policy',
  };
}

const accessOf = (line: string, error: string): 'ro' | 'rw' =>
  error === 'Read-only file system' || /writ|creat|logfile|pidfile/i.test(line) ? 'rw' : 'ro';

function ofPath(
  said: string,
  resource: HostResource,
  {
    granted,
    shown,
    error,
  }: { readonly granted: Granted; readonly shown: readonly string[]; readonly error: string },
): Denial {
  const { kind, name, access } = resource;
  const grant = grantOf(resource, { granted, shown });
  const wanted = `${kind} ${JSON.stringify(name)}${access === 'rw' && kind === 'file' ? ' to be written' : ''}`;
  if (grant === null) return { said, wanted, cure: cureOf(resource) };
  if (access === 'ro' && error !== 'No such file or directory') {
    const wider: HostResource = { ...resource, access: 'rw' };
    if (grantOf(wider, { granted, shown }) === null) return { said, wanted, cure: cureOf(wider) };
  }
  return {
    said,
    wanted,
    cure:
      error === 'No such file or directory'
        ? `it is granted by ${grant}, and is not there: make it on the host`
        : `it is granted by ${grant}: look at its owner and mode (ls -l ${name}); to make files, or for other calls, confinement: {seccomp: {allow: [...]}}`,
  };
}

const fieldOf = (line: string, name: string): string | undefined =>
  new RegExp(`\\b${name}="?([^"\\s]+)"?`).exec(line)?.[1];

/** `apparmor="DENIED" operation="open" profile="qward-qemu" name="/x" requested_mask="r" …` */
function ofAppArmor(line: string, granted: Granted, shown: readonly string[]): Denial | undefined {
  if (!line.includes('apparmor="DENIED"') || !line.includes('profile="qward-qemu')) return undefined;
  const [name, capability, family] = ['name', 'capname', 'family'].map((key) => fieldOf(line, key));
  if (capability !== undefined)
    return {
      said: line,
      wanted: `the capability ${capability}`,
      cure: `confinement: {capabilities: [${capability}]}, and {"relax": "capability", "to": "${capability}"} in relaxations of the policy`,
    };
  if (family !== undefined)
    return {
      said: line,
      wanted: `a socket of the family ${family}`,
      cure: cureOf({ kind: 'network', name: '', access: 'rw', certain: true }),
    };
  if (name === undefined) return undefined;
  const access = /[wacdk]/.test(fieldOf(line, 'requested_mask') ?? '') ? 'rw' : 'ro';
  const kind = name.startsWith('/dev/') ? 'device' : 'file';
  return ofPath(line, { kind, name, access, certain: true }, { granted, shown, error: 'Permission denied' });
}

const callNames: ReadonlyMap<number, string> = new Map(
  Object.entries(x86.calls).map(([name, number]) => [number, name]),
);

/** `type=1326 … sig=31 arch=c000003e syscall=57 …` */
function ofSeccomp(line: string): Denial | undefined {
  if (line.includes('comm="qward-drill"')) return undefined;
  const call = /type=1326\b.*\bsig=31\b.*\bsyscall=(\d+)/.exec(line)?.[1];
  if (call === undefined) return undefined;
  const name = callNames.get(Number(call)) ?? `number ${call}`;
  return {
    said: line,
    wanted: `the system call ${name}`,
    cure: `confinement: {seccomp: {allow: [${name}]}}, and {"relax": "syscall", "to": "${name}"} in relaxations of the policy`,
  };
}
