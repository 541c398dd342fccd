/** Commands on block jobs and the graph of block nodes; of the same closed set as commands.ts. */
import { parseBitmaps, parseJobs, parseNodeSizes } from './block-values.ts';
import { drainMs, plain, quickMs, withArgs, withFixed } from './commands.ts';
import { parseDone } from './command-values.ts';

/** A job ends only with our word: what became of it can be asked until then. */
const kept = { 'auto-finalize': true, 'auto-dismiss': false } as const;

export interface MirrorArgs {
  readonly job: string;
  /** The topmost node of the disk. */
  readonly top: string;
  /** The node whose place the target takes: below limits and the like. */
  readonly replaces: string;
  readonly target: string;
  /** Bytes a second; 0: as fast as it goes. */
  readonly speed: number;
}

const ofJob = ({ job }: { readonly job: string }) => ({ id: job });

export const blockCommands = {
  /** A copy that stays equal to the disk: once it is ready, each write of the guest has reached both when the guest is told. */
  mirror: withArgs(
    'blockdev-mirror',
    drainMs,
    parseDone,
    ({ job, top, replaces, target, speed }: MirrorArgs) => ({
      'job-id': job,
      device: top,
      target,
      ...(replaces === top ? {} : { replaces }),
      sync: 'full',
      'copy-mode': 'write-blocking',
      speed,
      ...kept,
    }),
  ),
  queryJobs: plain('query-jobs', quickMs, parseJobs),
  /** Gives it up, also one that is ready; what it had taken is let go of. */
  cancelJob: withArgs('job-cancel', drainMs, parseDone, ofJob),
  /** A mirror that is ready takes the place of its disk; answers before that is done. */
  completeJob: withArgs('job-complete', drainMs, parseDone, ofJob),
  /** One that has ended is forgotten. */
  dismissJob: withArgs('job-dismiss', quickMs, parseDone, ofJob),
  /** Bytes that each node shows. */
  queryNodeSizes: withFixed('query-named-block-nodes', { flat: true }, drainMs, parseNodeSizes),
  queryBitmaps: withFixed('query-named-block-nodes', { flat: true }, drainMs, parseBitmaps),
} as const;
