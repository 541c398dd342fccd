/** Resource limits of the process (setrlimit(2), /proc/PID/limits). */
import type { ExpectedWalls } from './expected-walls.ts';
import { judge, type Finding } from './finding.ts';
import type { ProcessState } from './process-state.ts';

/** Limits as /proc/PID/limits names them; null: any bound will do. */
function plannedLimits(expected: ExpectedWalls): Readonly<Record<string, number | null>> {
  return {
    'Max core file size': 0,
    'Max msgqueue size': expected === null ? null : 0,
    'Max locked memory': expected === null ? null : 0,
    'Max open files': expected?.launch.limits.openFiles ?? null,
    ...(expected?.rootless?.threadLimit === true ? { 'Max processes': expected.launch.limits.pids } : {}),
    ...(expected === null ? {} : { 'Max file size': expected.launch.limits.fileSize }),
  };
}

export function compareRlimits(state: ProcessState, expected: ExpectedWalls): Finding {
  const faults = Object.entries(plannedLimits(expected)).flatMap(([name, planned]) => {
    const line = state.facts.limits.split('\n').find((text) => text.startsWith(`${name} `));
    const [soft = 'unknown', hard = 'unknown'] = line?.slice(name.length).trim().split(/\s+/) ?? [];
    // The process may raise its soft limit up to the hard one, so the hard one is the wall.
    const kept = planned === null ? /^\d+$/.test(hard) : hard === String(planned);
    return kept ? [] : [`${name.toLowerCase()} ${soft}, hard limit ${hard}`];
  });
  return judge(expected === null ? 'bounded' : 'as planned', faults);
}
