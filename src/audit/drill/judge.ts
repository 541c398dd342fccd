/** What a probe and its control came to → the row of the report. Pure. */
import type { WallName } from '../../plan/launch-plan.ts';
import { errnoName } from './errno-names.ts';
import type { Probe } from './probe.ts';
import { denialOf } from './qemu-denials.ts';
import type { DrillRow } from './report.ts';
import type { Step } from './script.ts';
import type { PartResult } from './sitting.ts';

type Finding = Pick<DrillRow, 'verdict' | 'how'>;

export interface Tried {
  readonly steps: readonly Step[];
  readonly result: PartResult;
}

/** `lacking`: walls that this instance does not have. */
export function judgeProbe(
  probe: Probe,
  { jailed, control }: { readonly jailed: Tried; readonly control: Tried },
  lacking: readonly WallName[],
): DrillRow {
  const { name, wall, attempt } = probe;
  const found = judgeJailed(probe, jailed);
  const shown = judgeControl(probe, control);
  const judged = found.verdict === 'through' && lacking.includes(wall) ? 'missing' : found.verdict;
  const verdict = judged === 'blocked' && !shown.stands ? 'inconclusive' : judged;
  return { probe: name, wall, attempt, verdict, how: found.how, control: shown.text };
}

function judgeJailed({ fillsMemory }: Probe, { steps, result }: Tried): Finding {
  const { outcome, memoryLimit } = result;
  if (outcome.kind === 'replaced') return { verdict: 'through', how: 'another program ran' };
  if (outcome.kind === 'ended') {
    if (fillsMemory === true && memoryLimit) return { verdict: 'blocked', how: 'limit: killed' };
    if (steps.some((step) => denialOf(step)?.startsWith('kill') === true))
      return { verdict: 'blocked', how: 'killed by seccomp' };
    return { verdict: 'inconclusive', how: 'the prober ended' };
  }
  const failed = firstFailure(steps, outcome.results);
  if (failed === undefined) return { verdict: 'through', how: 'succeeded' };
  return { verdict: 'blocked', how: failed.limited ? `limit: ${failed.errno}` : failed.errno };
}

/** The first step that failed; one that was to come no further than it did has not. */
function firstFailure(
  steps: readonly Step[],
  results: readonly number[],
): { readonly errno: string; readonly limited: boolean } | undefined {
  for (const [index, { reached, repeat }] of steps.entries()) {
    const result = results[index] ?? 0;
    if (result >= 0) continue;
    const errno = errnoName(result);
    if (reached?.includes(errno) !== true) return { errno, limited: repeat !== undefined };
  }
  return undefined;
}

/** What the kernel says where it was built without the thing. */
const lacking = ['ENOSYS', 'EAFNOSUPPORT'];

const worked: Readonly<Record<Probe['control'], string>> = {
  same: 'succeeds outside',
  namespaces: 'succeeds outside, in namespaces of its own',
  there: 'it is there outside',
  root: 'is answered outside, for root alone',
};

function judgeControl(
  { control, absent = [] }: Probe,
  { steps, result: { outcome } }: Tried,
): { readonly stands: boolean; readonly text: string } {
  if (outcome.kind === 'ended') return { stands: false, text: 'failed: it ended' };
  const errno = outcome.kind === 'replaced' ? undefined : firstFailure(steps, outcome.results)?.errno;
  if (errno === undefined) return { stands: true, text: worked[control === 'root' ? 'same' : control] };
  if ([...lacking, ...absent].includes(errno))
    return { stands: true, text: `this host has it not, or not for users (${errno})` };
  if (control === 'root' && (errno === 'EPERM' || errno === 'EACCES'))
    return { stands: true, text: worked.root };
  return { stands: false, text: `failed: ${errno}` };
}
