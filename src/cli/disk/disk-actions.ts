/** Each action of `qward disk`: its words, its options, and the call that it makes. */
import { resolve } from 'node:path';
import type { CallResult } from '../../api/calls.ts';
import type { DiskCall, DiskInput } from '../../api/disk-client.ts';
import type { Reply } from '../../api/client.ts';
import {
  DiskUsage,
  formatOf,
  imageFormats,
  layersOf,
  sizeOf,
  sourceFormats,
  type ImageFormat,
} from './disk-input.ts';

interface DiskFile {
  readonly path: string;
  readonly access: 'ro' | 'rw';
}

/** One call as a job. */
export type RunJob = <Name extends DiskCall>(
  name: Name,
  input: DiskInput<Name>,
  files: readonly DiskFile[],
) => Promise<Reply<CallResult<Name>>>;

export interface DiskFlags {
  readonly format: string | undefined;
  readonly to: string | undefined;
  readonly backing: readonly string[];
  readonly onto: readonly string[];
  readonly preallocation: 'off' | 'metadata' | 'falloc' | 'full' | undefined;
  readonly compress: boolean;
  readonly rate: string | undefined;
  readonly shrink: boolean;
  readonly repair: 'leaks' | 'all' | undefined;
  readonly shared: boolean;
  readonly metadataOnly: boolean;
}

export type DiskReply = Reply<CallResult<'diskInfo'>> | Reply<CallResult<'diskCheck'>>;

export interface DiskAction {
  /** Its words after the action, as the help shows them. */
  readonly words: string;
  readonly options: readonly (keyof DiskFlags)[];
  readonly count: readonly [least: number, most: number];
  readonly run: (job: RunJob, words: readonly string[], flags: DiskFlags) => Promise<DiskReply>;
}

const reads = (layers: readonly { readonly path: string }[]): DiskFile[] =>
  layers.map(({ path }) => ({ path, access: 'ro' }));
const writes = (path: string): DiskFile => ({ path, access: 'rw' });

const word = (words: readonly string[], index: number): string => words[index] ?? '';
const fileAt = (words: readonly string[], index: number): string => resolve(word(words, index));

interface Image {
  path: string;
  format: ImageFormat;
  backing: { path: string; format: ImageFormat }[];
}
function imageOf(words: readonly string[], { format, backing }: DiskFlags): Image {
  const path = fileAt(words, 0);
  return { path, format: formatOf(path, format, imageFormats), backing: layersOf(backing) };
}
function targetOf(words: readonly string[], said: string | undefined): { path: string; format: ImageFormat } {
  const path = fileAt(words, 1);
  return { path, format: formatOf(path, said, imageFormats) };
}
const rateOf = (rate: string | undefined): { rate?: number } =>
  rate === undefined ? {} : { rate: sizeOf(rate).bytes };

const info: DiskAction = {
  words: 'FILE',
  options: ['format', 'shared'],
  count: [1, 1],
  run: (job, words, { format, shared }) => {
    const path = fileAt(words, 0);
    const said = format === undefined ? {} : { format: formatOf(path, format, sourceFormats) };
    return job('diskInfo', { path, shared, ...said }, reads([{ path }]));
  },
};

const create: DiskAction = {
  words: 'FILE [SIZE]',
  options: ['format', 'backing', 'preallocation'],
  count: [1, 2],
  run: (job, words, flags) => {
    const { path, format, backing } = imageOf(words, flags);
    const said = words[1] === undefined ? {} : { size: sizeOf(words[1]).bytes };
    const { preallocation = 'off' } = flags;
    return job('diskCreate', { target: { path, format }, backing, preallocation, ...said }, reads(backing));
  },
};

const convert: DiskAction = {
  words: 'FILE TARGET',
  options: ['format', 'to', 'backing', 'compress', 'rate'],
  count: [2, 2],
  run: (job, words, flags) => {
    const image = imageOf(words, flags);
    const target = targetOf(words, flags.to);
    const { compress } = flags;
    return job(
      'diskConvert',
      { image, target, compress, ...rateOf(flags.rate) },
      reads([image, ...image.backing]),
    );
  },
};

const importImage: DiskAction = {
  words: 'FILE TARGET',
  options: ['format', 'to', 'rate'],
  count: [2, 2],
  run: (job, words, flags) => {
    const path = fileAt(words, 0);
    const source = { path, format: formatOf(path, flags.format, sourceFormats) };
    return job(
      'diskImport',
      { source, target: targetOf(words, flags.to), ...rateOf(flags.rate) },
      reads([source]),
    );
  },
};

const resize: DiskAction = {
  words: 'FILE SIZE',
  options: ['format', 'backing', 'shrink', 'preallocation'],
  count: [2, 2],
  run: async (job, words, flags) => {
    const image = imageOf(words, flags);
    const { bytes, more } = sizeOf(word(words, 1));
    const { path, format } = image;
    const now = more ? await job('diskInfo', { path, format }, reads([image])) : undefined;
    if (now?.ok === false) return now;
    const size = bytes + (now?.result.virtualSize ?? 0);
    const { shrink, preallocation = 'off' } = flags;
    return await job('diskResize', { image, size, shrink, preallocation }, [
      writes(path),
      ...reads(image.backing),
    ]);
  },
};

const check: DiskAction = {
  words: 'FILE',
  options: ['format', 'repair'],
  count: [1, 1],
  run: (job, words, { format, repair }) => {
    const path = fileAt(words, 0);
    formatOf(path, format, ['qcow2']);
    const file: DiskFile = { path, access: repair === undefined ? 'ro' : 'rw' };
    return job('diskCheck', { path, ...(repair === undefined ? {} : { repair }) }, [file]);
  },
};

const rebase: DiskAction = {
  words: 'FILE',
  options: ['format', 'backing', 'onto', 'metadataOnly'],
  count: [1, 1],
  run: (job, words, flags) => {
    const image = imageOf(words, flags);
    const onto = layersOf(flags.onto);
    const files = [writes(image.path), ...reads([...image.backing, ...onto])];
    return job('diskRebase', { image, onto, metadataOnly: flags.metadataOnly }, files);
  },
};

const commit: DiskAction = {
  words: 'FILE',
  options: ['format', 'backing'],
  count: [1, 1],
  run: (job, words, flags) => {
    const image = imageOf(words, flags);
    const [base, ...others] = image.backing;
    const files = [writes(image.path), ...(base === undefined ? [] : [writes(base.path)]), ...reads(others)];
    return job('diskCommit', { image }, files);
  },
};

const snapshotActions = ['create', 'revert', 'rm'] as const;

const snapshot: DiskAction = {
  words: 'list|create|revert|rm FILE [NAME]',
  options: ['format'],
  count: [2, 3],
  run: (job, words, { format }) => {
    const [wanted, , name] = words;
    const action = snapshotActions.find((one) => one === wanted);
    const lists = wanted === 'list' && name === undefined;
    if (!lists && (action === undefined || name === undefined))
      throw new DiskUsage('disk snapshot: "list FILE", or create, revert or rm with FILE and NAME expected');
    const path = fileAt(words, 1);
    formatOf(path, format, ['qcow2']);
    if (action === undefined || name === undefined)
      return job('diskInfo', { path, format: 'qcow2' }, reads([{ path }]));
    return job('diskSnapshot', { path, action, snapshot: name }, [writes(path)]);
  },
};

/** `list` is no job, and so not among them. */
export const diskActions: Readonly<Record<string, DiskAction>> = {
  info,
  create,
  resize,
  convert,
  import: importImage,
  check,
  rebase,
  commit,
  snapshot,
};
