/** The cgroup: where the process is, its limits, and the devices that it may open. */
import { isRootless, relaxedTo, type ExpectedWalls, type MachineWalls } from './expected-walls.ts';
import { judge, missing, type Finding } from './finding.ts';
import type { ProcessState } from './process-state.ts';
import { grantedNodes } from './wall-dev.ts';

const pageBytes = 4096;
/** The hierarchies of v1 in which a machine is limited. */
const limitingControllers: ReadonlySet<string> = new Set(['pids', 'memory', 'cpu', 'devices']);

/** Paths of the process's cgroups that limit it: those of v1, or the one of v2 where there is no v1. */
function limitingCgroups(text: string): readonly string[] {
  const lines = text.split('\n').flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    return controllers === undefined || path === undefined
      ? []
      : [{ controllers: controllers.split(','), path }];
  });
  const v1 = lines.filter(({ controllers }) => controllers.some((name) => limitingControllers.has(name)));
  return (v1.length > 0 ? v1 : lines).map(({ path }) => path);
}

export function compareCgroup(state: ProcessState, expected: ExpectedWalls): Finding {
  const { cgroup, cgroupFiles } = state.facts;
  const paths = [...new Set(limitingCgroups(cgroup))];
  if (expected?.cgroup === '')
    return missing('no limit of memory and CPU: this session has no cgroups of its own (qward doctor)');
  if (paths.length === 0) return missing('the kernel has no cgroups');
  const place = `in ${paths.join(', ')}`;
  if (expected === null) return judge(`${place}, limited`, faultsOfForeign(cgroupFiles, paths));
  const faults = paths.filter((path) => path !== expected.cgroup).map((path) => `in ${path}`);
  const limits = plannedLimits(expected);
  for (const [name, values] of Object.entries(limits)) {
    const value = cgroupFiles[name];
    if (value !== undefined && !values.includes(value)) faults.push(`${name} ${value}`);
  }
  const lacking = (['pids', 'memory', 'cpu'] as const).filter(
    (controller) =>
      !Object.keys(limits).some((name) => name.startsWith(`${controller}.`) && name in cgroupFiles),
  );
  if (faults.length === 0 && lacking.length > 0)
    return missing(`no controller for ${lacking.join(', ')} on this host`);
  return judge(`${place}, limits as planned`, faults);
}

/** What each file may say, v1 and v2; files that the host does not have are left out by the caller. */
function plannedLimits({ launch: { limits } }: MachineWalls): Record<string, readonly string[]> {
  const memory = String(limits.memory - (limits.memory % pageBytes));
  // The weights are given to the runtime as shares of v1, which it turns back with rounding.
  const shares = Math.round(2 + ((limits.cpuWeight - 1) * 262_142) / 9999);
  const around = (value: number): string[] => [value - 1, value, value + 1].map(String);
  return {
    'pids.max': [String(limits.pids)],
    'memory.max': [memory],
    'memory.limit_in_bytes': [memory],
    'cpu.max': [limits.cpuQuota === null ? 'max 100000' : `${limits.cpuQuota} 100000`],
    'cpu.cfs_quota_us': [limits.cpuQuota === null ? '-1' : String(limits.cpuQuota)],
    'cpu.cfs_period_us': ['100000'],
    'cpu.weight': around(limits.cpuWeight),
    'cpu.shares': around(shares),
    'io.weight': [`default ${limits.ioWeight}`],
  };
}

/** `memory.limit_in_bytes` of a cgroup without limit: the largest number of pages. */
const unlimitedBytes = 2 ** 62;

function faultsOfForeign(files: Readonly<Record<string, string>>, paths: readonly string[]): string[] {
  const faults = paths.filter((path) => path === '/').map(() => 'in the root cgroup');
  const memory = files['memory.max'] ?? files['memory.limit_in_bytes'] ?? 'max';
  if (memory === 'max' || Number(memory) > unlimitedBytes) faults.push('no memory limit');
  if ((files['pids.max'] ?? 'max') === 'max') faults.push('no pids limit');
  return faults;
}

/**
 * What the runtimes always allow: standard nodes, consoles, and in runc 1.1 also mknod of all and 10:200. No
 * harm while the jail has no such node and the process cannot make one.
 */
const alwaysAllowed: ReadonlySet<string> = new Set([
  'b *:* m',
  'c *:* m',
  ...['1:3', '1:5', '1:7', '1:8', '1:9', '5:0', '5:1', '5:2', '10:200', '136:*'].map(
    (numbers) => `c ${numbers} rwm`,
  ),
]);

export function compareDeviceCgroup(state: ProcessState, expected: ExpectedWalls): Finding {
  const { cgroupFiles, devicePrograms } = state.facts;
  const list = cgroupFiles['devices.list'];
  if (isRootless(expected))
    return missing('no user can set one; its /dev has no other node, and none can be made');
  const open = relaxedTo(expected, 'device-cgroup').length > 0;
  if (list === undefined)
    return open ? judge('every device, as asked for', []) : compareDevicePrograms(devicePrograms);
  const lines = list.split('\n');
  if (open)
    return judge(
      'every device',
      lines.includes('a *:* rwm') ? [] : ['an allow-list, and none was asked for'],
    );
  if (lines.includes('a *:* rwm')) return judge('', ['every device']);
  const granted = Object.values(grantedNodes(expected)).map(
    ({ type, major, minor }) => `${type} ${major}:${minor}`,
  );
  const faults = lines.filter(
    (line) =>
      !alwaysAllowed.has(line) && !granted.some((start) => line === `${start} rw` || line === `${start} rwm`),
  );
  return judge(`allow-list of ${lines.length} rules`, faults);
}

/** cgroup v2: the kernel tells that there is a program, not what it allows. */
function compareDevicePrograms(programs: number | null): Finding {
  if (programs === null) return missing('the kernel does not tell of device programs');
  if (programs === 0) return judge('', ['every device: no device program']);
  return judge(`${programs} device program(s) in force, whose rules the kernel does not show`, []);
}
