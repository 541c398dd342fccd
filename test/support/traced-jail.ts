/** A process in its jail with strace(1) beside it, from the OCI runtime's first instruction on: every call that it makes. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { LaunchRequest } from '../../src/protocol/launch.ts';
import { startJailed, type JailedProcess } from './jailed-process.ts';

export interface TracedCall {
  readonly name: string;
  /** As the registers had them. */
  readonly args: readonly bigint[];
}

export interface TracedProcess {
  readonly jailed: JailedProcess;
  /** The calls that the bundle's filter judged. Waits for the process to have ended. */
  readonly calls: () => Promise<TracedCall[]>;
}

/** `directory` gets the trace; the caller disposes of `jailed`, and with it the tracer ends. */
export async function startTraced(
  launch: LaunchRequest,
  directory: string,
  { network, netdev }: { readonly network?: string; readonly netdev?: () => number } = {},
): Promise<TracedProcess> {
  const trace = join(directory, `${launch.machine}.trace`);
  const wrapper = join(directory, `${launch.machine}.runtime`);
  // -D: strace is no parent of the runtime, which is waited for; -e raw: arguments as numbers, but for clone and vfork, whose
  // result is a number of the jail's pid namespace that only the decoder translates.
  const strace = `strace -D -f -q --pidns-translation -e signal=none -e raw='!clone,vfork' -s 0 -o ${trace}`;
  const enter = network === undefined ? '' : `nsenter --net=${network} `;
  await writeFile(wrapper, `#!/bin/sh\nexec ${enter}${strace} /usr/sbin/runc "$@"\n`, { mode: 0o755 });
  const jailed = await startJailed(launch, { runtime: wrapper, ...(netdev === undefined ? {} : { netdev }) });
  return {
    jailed,
    calls: async () => {
      // strace writes its last lines after the process has gone.
      const last = new RegExp(`^${jailed.pid} +\\+\\+\\+ (?:exited|killed)`, 'm');
      for (const giveUpAt = performance.now() + 20_000; ; await delay(50)) {
        const text = readFileSync(trace, 'latin1');
        if (last.test(text)) return filteredCalls(text, jailed.pid);
        if (performance.now() > giveUpAt)
          throw new Error(`${trace}: no end of pid ${jailed.pid}: ${text.slice(-600)}`);
      }
    },
  };
}

const PR_SET_SECCOMP = 22n;
const SECCOMP_SET_MODE_FILTER = 1n;

/** runc loads it by prctl(2), crun by seccomp(2); without a program it is a question to the kernel. */
function loadsFilter(call: string, [first, , program]: readonly bigint[]): boolean {
  if (call === 'prctl') return first === PR_SET_SECCOMP;
  return call === 'seccomp' && first === SECCOMP_SET_MODE_FILTER && program !== undefined && program !== 0n;
}

/** Flags of clone(2) that strace writes by name. */
const cloneFlags: Readonly<Record<string, bigint>> = {
  CLONE_VM: 0x100n,
  CLONE_FS: 0x200n,
  CLONE_FILES: 0x400n,
  CLONE_SIGHAND: 0x800n,
  CLONE_THREAD: 0x1_0000n,
  CLONE_SYSVSEM: 0x4_0000n,
  CLONE_SETTLS: 0x8_0000n,
  CLONE_PARENT_SETTID: 0x10_0000n,
  CLONE_CHILD_CLEARTID: 0x20_0000n,
};

interface TraceLine {
  readonly tid: number;
  /** The call that begins, or the one that goes on. */
  readonly started: string | undefined;
  readonly resumed: string | undefined;
  readonly rest: string;
}

function parseLines(trace: string): TraceLine[] {
  return trace.split('\n').map((line) => {
    const [, tid = '', resumed, started, rest = ''] =
      /^(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)$/.exec(line) ?? [];
    return { tid: Number(tid), started, resumed, rest };
  });
}

/** Calls of the process's first thread after it loaded its filter, and of all threads and processes made since (strace(1)). */
export function filteredCalls(trace: string, pid: number): TracedCall[] {
  const lines = parseLines(trace);
  const loaded = lines.findIndex(
    ({ tid, started, rest }) =>
      tid === pid && started !== undefined && loadsFilter(started, argumentsOf(rest)),
  );
  const later = loaded < 0 ? [] : lines.slice(loaded + 1);
  // Whom a child was made by is often told after the child's own first calls.
  const parents = new Map<number, number>();
  for (const { tid, started, resumed, rest } of later) {
    // "= 12 /* 4711 in strace's PID NS */"
    const made = / = (\d+)(?: \/\* (\d+))?/.exec(rest);
    if (made !== null && ['clone', 'vfork'].includes(started ?? resumed ?? ''))
      parents.set(Number(made[2] ?? made[1]), tid);
  }
  const isOurs = (tid: number | undefined): boolean =>
    tid !== undefined && (tid === pid || isOurs(parents.get(tid)));
  return later.flatMap(({ tid, started, rest }) =>
    started === undefined || !isOurs(tid)
      ? []
      : [{ name: started, args: started === 'clone' ? [flagsOf(rest)] : argumentsOf(rest) }],
  );
}

function flagsOf(text: string): bigint {
  const names = /flags=([A-Z_|]*)/.exec(text)?.[1]?.split('|') ?? [];
  return names.reduce((flags, name) => flags | (cloneFlags[name] ?? 0n), 0n);
}

function argumentsOf(text: string): bigint[] {
  const list = /^[^)<]*/.exec(text)?.[0] ?? '';
  return list
    .split(',')
    .map((word) => word.trim())
    .filter((word) => /^(?:0x[\da-f]+|\d+)$/.test(word))
    .map(BigInt);
}
