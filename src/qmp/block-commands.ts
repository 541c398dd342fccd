/** Commands on block jobs and the graph of block nodes; of the same closed set as commands.ts. */
import { parseBitmaps, parseJobs, parseNodeSizes, parseWritable } from './block-values.ts';
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

export interface BackUpArgs {
  readonly records: readonly { readonly node: string; readonly name: string }[];
  readonly jobs: readonly {
    readonly job: string;
    readonly node: string;
    readonly target: string;
    /** The record of what is copied; undefined: all. */
    readonly since: string | undefined;
  }[];
  readonly speed: number;
}

export interface CommitArgs {
  readonly job: string;
  /** The topmost node of the disk. */
  readonly device: string;
  readonly top: string;
  readonly base: string;
  readonly speed: number;
}

/** A format node, with all that it is to have: what is left out goes back to QEMU's default. */
export interface FormatNode {
  readonly node: string;
  readonly file: string;
  readonly format: 'raw' | 'qcow2';
  readonly backing: string | null;
  readonly cache: { readonly direct: boolean; readonly 'no-flush': boolean };
  readonly discard: 'ignore' | 'unmap';
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
  /** Copies of several nodes as of one moment; from that moment on the new records keep what is written. */
  backUp: withArgs('transaction', drainMs, parseDone, ({ records, jobs, speed }: BackUpArgs) => ({
    actions: [
      ...records.map(({ node, name }) => ({
        type: 'block-dirty-bitmap-add',
        data: { node, name, persistent: true },
      })),
      ...jobs.map(({ job, node, target, since }) => ({
        type: 'blockdev-backup',
        data: {
          'job-id': job,
          device: node,
          target,
          speed,
          ...(since === undefined
            ? { sync: 'full' }
            : { sync: 'bitmap', bitmap: since, 'bitmap-mode': 'never' }),
          ...kept,
        },
      })),
    ],
  })),
  removeBitmap: withArgs(
    'block-dirty-bitmap-remove',
    drainMs,
    parseDone,
    ({ node, name }: { readonly node: string; readonly name: string }) => ({ node, name }),
  ),
  /** Each overlay goes on top of its node, all at the same moment, or none. */
  overlay: withArgs(
    'transaction',
    drainMs,
    parseDone,
    ({ pairs }: { readonly pairs: readonly { readonly node: string; readonly overlay: string }[] }) => ({
      actions: pairs.map((data) => ({ type: 'blockdev-snapshot', data })),
    }),
  ),
  /** What the topmost image has is written into the one below it; once it is ready both are kept equal. */
  commit: withArgs('block-commit', drainMs, parseDone, ({ job, device, top, base, speed }: CommitArgs) => ({
    'job-id': job,
    device,
    'top-node': top,
    'base-node': base,
    speed,
    ...kept,
  })),
  /** All that lies below is copied into the image; it ends with our word, and then stands alone. */
  stream: withArgs(
    'block-stream',
    drainMs,
    parseDone,
    ({ job, node, speed }: { readonly job: string; readonly node: string; readonly speed: number }) => ({
      'job-id': job,
      device: node,
      speed,
      'auto-finalize': false,
      'auto-dismiss': false,
    }),
  ),
  /** A node that a job wrote to is opened to be read alone. */
  reopenReadOnly: withArgs(
    'blockdev-reopen',
    drainMs,
    parseDone,
    ({ node, file, format, backing, cache, discard }: FormatNode) => ({
      options: [
        {
          driver: format,
          'node-name': node,
          file,
          'read-only': true,
          ...(format === 'qcow2' ? { backing } : {}),
          cache,
          discard,
        },
      ],
    }),
  ),
  queryWritable: withFixed('query-named-block-nodes', { flat: true }, drainMs, parseWritable),
  finalizeJob: withArgs('job-finalize', drainMs, parseDone, ofJob),
  queryBitmaps: withFixed('query-named-block-nodes', { flat: true }, drainMs, parseBitmaps),
} as const;
