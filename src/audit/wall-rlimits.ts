/** Resource limits of the process (setrlimit(2), /proc/PID/limits). */
import { boundsThreads, relaxedTo, type ExpectedWalls } from './expected-walls.ts';
import { judge, type Finding } from './finding.ts';
import type { ProcessState } from './process-state.ts';

/** Limits as /proc/PID/limits names them; null: any bound will do. */
function plannedLimits(expected: ExpectedWalls, kernel: string): Readonly<Record<string, number | null>> {
  return {
    'Max core file size': 0,
    'Max msgqueue size': expected === null ? null : 0,
    'Max locked memory':
      expected === null ? null : relaxedTo(expected, 'pci').length > 0 ? expected.launch.limits.memory : 0,
    'Max open files': expected?.launch.limits.openFiles ?? null,
    ...(expected !== null && boundsThreads(expected, kernel)
      ? { 'Max processes': expected.launch.limits.pids }
      : {}),
    ...(expected === null ? {} : { 'Max file size': expected.launch.limits.fileSize }),
  };
}

export function compareRlimits(state: ProcessState, expected: ExpectedWalls): Finding {
  const faults = Object.entries(plannedLimits(expected, state.facts.kernel)).flatMap(([name, planned]) => {
    const line = state.facts.limits.split('\n').find((text) => text.startsWith(`${name} `));
    const [soft = 'unknown', hard = 'unknown'] = line?.slice(name.length).trim().split(/\s+/) ?? [];
    // The process may raise its soft limit up to the hard one, so the hard one is the wall.
    const kept = planned === null ? /^\d+$/.test(hard) : hard === String(planned);
    return kept ? [] : [`${name.toLowerCase()} ${soft}, hard limit ${hard}`];
  });
  return judge(expected === null ? 'bounded' : 'as planned', [...faults, ...faultsOfPins(state, expected)]);
}

/** Threads that QEMU made since have the CPUs of the one that made them, so they are held against all pins together. */
function faultsOfPins(state: ProcessState, expected: ExpectedWalls): readonly string[] {
  const pins = expected?.launch.pins ?? [];
  const all = pins.flatMap(({ cpus }) => cpus);
  return state.threads.flatMap(({ tid, fields }) => {
    const name = fields.get('Name') ?? '';
    const pin = pins.find(({ thread }) => name.startsWith(thread));
    if (pin === undefined) return [];
    const planned = new Set(pin.thread === '' ? all : pin.cpus);
    const found = fields.get('Cpus_allowed_list') ?? '';
    return cpusIn(found).every((cpu) => planned.has(cpu)) ? [] : [`thread ${tid} on CPUs ${found}`];
  });
}

/** Numbers of a list of the kernel's, `0-3,8`. */
function cpusIn(list: string): readonly number[] {
  return list.split(',').flatMap((part) => {
    const [first = Number.NaN, last = first] = part.split('-').map(Number);
    return Array.from({ length: Math.min(Math.max(1, last - first + 1), 8192) }, (_, index) => first + index);
  });
}
