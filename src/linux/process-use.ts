/** What a process and its cgroup use of the host, as anybody may read it (cgroups(7), proc(5)). */
import { parseMountinfo } from './mountinfo.ts';
import { findCgroupDirectory } from './process-facts-cgroup.ts';
import { readOptional } from './process-facts-read.ts';

export interface ProcessUse {
  /** Time on a CPU until now, seconds; null: the kernel does not tell. */
  readonly cpuSeconds: number | null;
  /** Bytes, with what the kernel keeps for it; of the process alone where it has no cgroup. */
  readonly memory: number | null;
}

/** Of the clock in /proc/PID/stat: fixed on Linux (USER_HZ). */
const ticksPerSecond = 100;

/** `cgroup`: its path below the mount of each hierarchy; empty: none of its own. */
export function readProcessUse({
  pid,
  cgroup,
}: {
  readonly pid: number;
  readonly cgroup: string;
}): ProcessUse {
  const ofCgroup = cgroup === '' ? none : readCgroup(cgroup);
  if (ofCgroup.cpuSeconds !== null && ofCgroup.memory !== null) return ofCgroup;
  const ofProcess = readProcess(pid);
  return {
    cpuSeconds: ofCgroup.cpuSeconds ?? ofProcess.cpuSeconds,
    memory: ofCgroup.memory ?? ofProcess.memory,
  };
}

const none: ProcessUse = { cpuSeconds: null, memory: null };

function readCgroup(cgroup: string): ProcessUse {
  const mounts = parseMountinfo(readOptional('/proc/self/mountinfo'));
  const file = (controllers: readonly string[], name: string): string => {
    const directory = findCgroupDirectory(controllers, cgroup, mounts);
    return directory === undefined ? '' : readOptional(`${directory}/${name}`);
  };
  const microseconds = numberIn(/^usage_usec (\d+)$/m.exec(file([], 'cpu.stat'))?.[1]);
  const nanoseconds = numberIn(file(['cpuacct'], 'cpuacct.usage').trim());
  return {
    cpuSeconds: scaled(microseconds, 1e6) ?? scaled(nanoseconds, 1e9),
    memory:
      numberIn(file([], 'memory.current').trim()) ??
      numberIn(file(['memory'], 'memory.usage_in_bytes').trim()),
  };
}

function readProcess(pid: number): ProcessUse {
  const stat = readOptional(`/proc/${pid}/stat`);
  // Fields 14 and 15, counted from behind the command name, which may hold anything.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system] = [numberIn(fields[11]), numberIn(fields[12])];
  const resident = numberIn(/^VmRSS:\s+(\d+) kB$/m.exec(readOptional(`/proc/${pid}/status`))?.[1]);
  return {
    cpuSeconds: user === null || system === null ? null : (user + system) / ticksPerSecond,
    memory: resident === null ? null : resident * 1024,
  };
}

function numberIn(text: string | undefined): number | null {
  return text !== undefined && /^\d+$/.test(text) ? Number(text) : null;
}

const scaled = (value: number | null, by: number): number | null => (value === null ? null : value / by);

export interface InterfaceUse {
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly receivedPackets: number;
  readonly sentPackets: number;
}

/**
 * Of a TAP device as the guest sees it: what the host sends, the guest receives. Null: there is no such device in the network
 * namespace of this process (/sys may show another's).
 */
export function readTapUse(name: string): InterfaceUse | null {
  const line = readOptional('/proc/self/net/dev')
    .split('\n')
    .find((text) => text.trimStart().startsWith(`${name}:`));
  const numbers =
    line
      ?.slice(line.indexOf(':') + 1)
      .trim()
      .split(/\s+/)
      .map(Number) ?? [];
  // proc(5): bytes and packets that the host received, six more columns, then what it sent.
  const [sentBytes, sentPackets, , , , , , , receivedBytes, receivedPackets] = numbers;
  if (sentBytes === undefined || sentPackets === undefined) return null;
  if (receivedBytes === undefined || receivedPackets === undefined) return null;
  return { receivedBytes, sentBytes, receivedPackets, sentPackets };
}
