/** What a definition asks for beyond the walls of every machine, as the broker is asked for it and as a reader is told. */
import { relaxationsOf, relaxationText, type Relaxation } from '../definition/relaxations.ts';
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { relaxableWalls, relaxations, type LaunchRequest, type Relaxed } from '../protocol/launch.ts';
import { keyOption, type Option } from './options.ts';
import { alwaysDenied, categoryOf, sandboxCategories } from './sandbox-categories.ts';

export interface PlannedRelaxation {
  /** `seccomp off`, `file /srv/x (rw)`. */
  readonly what: string;
  /** The key of the definition. */
  readonly key: string;
  readonly reason: string;
  /** Last day; empty: none. */
  readonly until: string;
}

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

/** What the kernel would refuse, or the audit, is told before. */
export function relaxationFaults(definition: MachineDefinition): readonly Fault[] {
  return relaxationsOf(definition).flatMap(({ relax, to, path }): readonly Fault[] => {
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
