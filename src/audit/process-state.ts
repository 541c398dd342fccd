/** The facts of a process, taken apart once for all walls. */
import type { ProcessFacts } from '../protocol/broker.ts';
import { parseMounts, type Mount } from './mounts.ts';

export interface ThreadState {
  readonly tid: number;
  /** Fields of /proc/PID/task/TID/status by name. */
  readonly fields: ReadonlyMap<string, string>;
}

export interface ProcessState {
  readonly facts: ProcessFacts;
  /** Never empty: the main thread is among them. */
  readonly threads: readonly ThreadState[];
  readonly mounts: readonly Mount[];
  readonly hostMounts: readonly Mount[];
  /** Names of the network interfaces that the process sees. */
  readonly interfaces: readonly string[];
}

export function parseState(facts: ProcessFacts): ProcessState {
  const others = facts.threads.filter(({ tid }) => tid !== facts.pid);
  const main = facts.threads.find(({ tid }) => tid === facts.pid) ?? { tid: facts.pid, status: facts.status };
  return {
    facts,
    threads: [main, ...others].map(({ tid, status }) => ({ tid, fields: parseFields(status) })),
    mounts: parseMounts(facts.mountinfo),
    hostMounts: parseMounts(facts.hostMountinfo),
    interfaces: facts.netDev.split('\n').flatMap((line) => {
      const colon = line.indexOf(':');
      return colon < 0 ? [] : [line.slice(0, colon).trim()];
    }),
  };
}

/** `Name:\tvalue` lines; the first of a name counts, since the kernel writes no name twice. */
function parseFields(status: string): Map<string, string> {
  const fields = new Map<string, string>();
  for (const line of status.split('\n')) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon);
    if (colon > 0 && !fields.has(name)) fields.set(name, line.slice(colon + 1).trim());
  }
  return fields;
}

/** What differs from thread to thread is told with the thread. */
export function faultsOfThreads(
  state: ProcessState,
  faultsOf: (fields: ReadonlyMap<string, string>) => readonly string[],
): string[] {
  const threadsByFault = new Map<string, number[]>();
  for (const { tid, fields } of state.threads)
    for (const fault of faultsOf(fields))
      threadsByFault.set(fault, [...(threadsByFault.get(fault) ?? []), tid]);
  return [...threadsByFault].map(([fault, tids]) =>
    tids.length === state.threads.length ? fault : `${fault} (thread ${tids.slice(0, 8).join(', ')})`,
  );
}
