/** What a broker holds of the host at one instant, to be compared with what it held before. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { traces, type TestBroker } from './broker.ts';

export interface Footprint {
  readonly descriptors: number;
  /** Mounts below the directories of this broker; the trees of jails, of which it keeps at most eight, are left out. */
  readonly mounts: readonly string[];
  /** Directories, records, bundles and cgroups of machines. */
  readonly traces: readonly string[];
  /** Network links of the broker's namespace. */
  readonly links: readonly string[];
  readonly children: readonly string[];
}

export function footprintOf({ pid, site }: TestBroker): Footprint {
  const base = site.roots.run.replace(/\/run$/, '');
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1');
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    mounts: readFileSync(`/proc/${pid}/mountinfo`, 'utf8')
      .split('\n')
      .flatMap((line) => line.split(' ')[4] ?? [])
      .filter((path) => path.startsWith(`${base}/`) && !path.startsWith(`${site.paths.brokerRun}/roots/`))
      .sort(),
    traces: traces(site),
    links: execFileSync('nsenter', [`--net=/proc/${pid}/ns/net`, 'ip', '-o', 'link'], { encoding: 'utf8' })
      .split('\n')
      .map((line) => line.split(': ')[1] ?? '')
      .filter(Boolean),
    children: children.split(' ').filter(Boolean),
  };
}

/** Resident memory in bytes. */
export function memoryOf({ pid }: TestBroker): number {
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

export interface LogLine {
  readonly refused?: string;
  readonly call?: string;
  readonly why?: string;
  readonly ok?: boolean;
  readonly idle?: boolean;
  readonly machine?: string;
  readonly times?: number;
}

/** Entries of one of the broker's own logs. */
export const logLines = (
  { site }: Pick<TestBroker, 'site'>,
  log: 'broker' | 'claims' = 'broker',
): LogLine[] =>
  readFileSync(`${site.paths.brokerState}/${log}.log`, 'utf8')
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as LogLine);

/** How many refusals the log tells of, one by one or as a number, once the broker was stopped. */
export const timesRefused = (lines: readonly LogLine[], which: (line: LogLine) => boolean): number =>
  lines.filter(which).reduce((sum, { times = 1 }) => sum + times, 0);

/** Waits until the broker holds what it held: descriptors of connections that were ended go with the next turn of the broker's loop. */
export async function unchanged(broker: TestBroker, was: Footprint): Promise<void> {
  for (const giveUpAt = performance.now() + 15_000; ; await delay(20)) {
    const { descriptors, ...rest } = footprintOf(broker);
    if (
      descriptors <= was.descriptors &&
      JSON.stringify({ ...was, descriptors: 0 }) === JSON.stringify({ descriptors: 0, ...rest })
    )
      return;
    if (performance.now() > giveUpAt) assert.deepEqual({ descriptors, ...rest }, was);
  }
}
