/** What a definition asks for beyond the walls of every machine, as the broker is asked for it and as a reader is told. */
import { relaxationsOf, relaxationText, type Relaxation } from '../definition/relaxations.ts';
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { isSocketPlace, shownFiles } from '../definition/named-files.ts';
import {
  relaxableWalls,
  relaxations,
  type LaunchRequest,
  type Relaxed,
  type Shown,
} from '../protocol/launch.ts';
import type { Grant, PlannedRelaxation } from './launch-plan.ts';
import { keyOption, type Option } from './options.ts';
import { alwaysDenied, categoryOf, sandboxCategories } from './sandbox-categories.ts';

const isWall = (relax: Relaxation['relax']): relax is Relaxed['relax'] =>
  relaxableWalls.some((wall) => wall === relax);

/** Each wall once, in the order of the definition; absent where none gives way. */
export function relaxedPart(definition: MachineDefinition): Pick<LaunchRequest, 'relaxed'> {
  const walls = relaxationsOf(definition).flatMap(({ relax, to }) => (isWall(relax) ? [{ relax, to }] : []));
  const distinct = new Map(walls.map((wall) => [`${wall.relax} ${wall.to}`, wall]));
  return distinct.size === 0 ? {} : { relaxed: [...distinct.values()] };
}

/** Device nodes beside that of the accelerator. */
export function devicesOf(definition: MachineDefinition): readonly string[] {
  return [...new Set(relaxationsOf(definition).flatMap(({ relax, to }) => (relax === 'device' ? [to] : [])))];
}

/** Files beneath /usr are the operating system's: they join the jail's root, as QEMU's own do. */
export function shownPart(
  definition: MachineDefinition,
  claimants: Readonly<Record<string, number>>,
): Pick<LaunchRequest, 'shown'> {
  const shown = shownFiles(definition).map(({ path, access, place }): Shown => ({
    kind: isSocketPlace(place) ? 'socket' : 'file',
    path,
    access,
    claimant: Object.hasOwn(claimants, path) ? (claimants[path] ?? null) : null,
  }));
  return shown.length === 0 ? {} : { shown };
}

export function systemFilesOf({ confinement }: MachineDefinition): readonly string[] {
  return confinement.files.flatMap(({ path }) => (path.startsWith('/usr/') ? [path] : []));
}

export function shownGrants(definition: MachineDefinition): readonly Grant[] {
  return shownFiles(definition).map(({ path, access, place }) => ({
    fd: null,
    subject: isSocketPlace(place) ? 'socket' : 'file',
    resource: path,
    access,
    reason: `${place.slice(0, 2).join('.')}: at its own path`,
  }));
}

export function plannedRelaxations(definition: MachineDefinition): readonly PlannedRelaxation[] {
  return relaxationsOf(definition).map((one) => ({
    what: relaxationText(one),
    key: one.path.filter((part) => typeof part === 'string').join('.'),
    reason: one.reason ?? '',
    until: one.until ?? '',
  }));
}

/**
 * SECURITY: promise 2. QEMU's own filter above the jail's: no new process, no other user, no scheduling tricks. A category is
 * open only where a call of it was relaxed, and the jail's filter still holds the rest of it.
 */
export function sandboxOptions(definition: MachineDefinition): readonly Option[] {
  const launch = relaxedPart(definition);
  if (relaxations(launch, 'seccomp').includes('off')) return [];
  const open = new Set(relaxations(launch, 'syscall').map(categoryOf));
  const denials = sandboxCategories.map((name) => [name, open.has(name) ? 'allow' : 'deny'] as const);
  return [keyOption('-sandbox', 'on', Object.fromEntries(denials))];
}

/** Directories that every jail has by itself. */
const taken = /^\/(?:lib|lib64|bin|sbin|proc|dev|sys)(?:\/|$)|^\/usr$/;

function faultsOfFile(
  { confinement }: MachineDefinition,
  file: string,
  path: Relaxation['path'],
): readonly Fault[] {
  const fault = (message: string, hint: string): Fault => ({
    code: 'definition-invalid',
    message,
    hint,
    path,
  });
  const place = `confinement.files[${String(path[2])}]`;
  const around = confinement.files.find((other) => file.startsWith(`${other.path}/`));
  if (taken.test(file))
    return [
      fault(
        `${place}: the jail has a directory of its own at "${file}"`,
        'Name devices in confinement.devices; what lies beneath /usr by its path there.',
      ),
    ];
  if (around !== undefined)
    return [
      fault(
        `${place}: "${file}" lies in "${around.path}", which is shown already`,
        'Name the outer one alone.',
      ),
    ];
  const twice = confinement.files.filter((other) => other.path === file).length > 1;
  if (twice) return [fault(`${place}: "${file}" is named twice`, 'Name it once.')];
  const written = confinement.files.find((other) => other.path === file)?.access === 'rw';
  if (written && file.startsWith('/usr/'))
    return [
      fault(`${place}: what lies beneath /usr is the system's, and nobody's to write`, 'Copy it elsewhere.'),
    ];
  return [];
}

/** What the kernel would refuse, or the audit, is told before. */
export function relaxationFaults(definition: MachineDefinition): readonly Fault[] {
  return relaxationsOf(definition).flatMap(({ relax, to, path }): readonly Fault[] => {
    if (relax === 'file') return faultsOfFile(definition, to, path);
    if (relax !== 'syscall' || !alwaysDenied.has(to)) return [];
    return [
      {
        code: 'definition-invalid',
        message: `confinement.seccomp.allow: QEMU's own filter kills for "${to}", whatever it is told`,
        hint: 'Use confinement.seccomp: off, or do without it.',
        path,
      },
    ];
  });
}
