/** What must not be exceeded. */
import { call } from './calls.ts';
import type { Probe } from './probe.ts';
import { room, text, type Step } from './script.ts';

const core = 4;
const lockedMemory = 8;
const fileSizeSignal = 25;
const ignored = 1;
const thread = 0x3d_0f00;
const readWrite = 3;
const anonymousPopulated = 0x8022;
const chunk = 8 * 1024 * 1024;
/** Longer than any drill: a thread ends with its process. */
const threadLivesMs = 60_000;

const ignoreFileSizeSignal = call('rt_sigaction', fileSizeSignal, { words: [ignored, 0, 0, 0] }, 0, 8);

const raise = (resource: number): Step[] => [call('prlimit64', 0, resource, { words: [4096, 4096] }, 0)];

export const limitProbes: readonly Probe[] = [
  limit('raise-core', 'rlimits', 'allow core files', () => raise(core), ['EPERM']),
  limit('raise-locked-memory', 'rlimits', 'raise the limit of locked memory', () => raise(lockedMemory), [
    'EPERM',
  ]),
  {
    // The log: the prober's output, which has its size again where it came through.
    ...limit('file-size', 'rlimits', 'make a file larger than its limit', ({ limits }) => {
      const stat = room(144);
      return [
        call('fstat', 1, stat),
        ignoreFileSizeSignal,
        call('ftruncate', 1, limits.fileSize + 1),
        call('ftruncate', 1, { wordOf: stat, offset: 48 }),
      ];
    }),
    controlSteps: ({ limits }) => [
      call('memfd_create', text('drill'), 0),
      ignoreFileSizeSignal,
      call('ftruncate', { resultOf: 0 }, limits.fileSize + 1),
    ],
  },
  // The last but memory: a thread that the filter kills would leave these behind.
  limit('threads', 'cgroup', 'make threads beyond the limit', ({ limits }) => {
    const [parent, child, storage] = [room(8), room(8), room(8)];
    const make = call('clone', thread, 0, parent, child, storage, threadLivesMs);
    return [{ ...make, forks: true, repeat: limits.pids + 8 }];
  }),
  {
    ...limit('memory', 'cgroup', 'fill memory beyond the limit', ({ limits }) => [
      {
        ...call('mmap', 0, chunk, readWrite, anonymousPopulated, -1, 0),
        repeat: Math.ceil(limits.memory / chunk) + 4,
      },
    ]),
    fillsMemory: true,
  },
];

function limit(
  name: string,
  wall: Probe['wall'],
  attempt: string,
  steps: Probe['steps'],
  absent: readonly string[] = [],
): Probe {
  return { name, wall, attempt, control: 'same', steps, absent };
}
