import type { CallResult } from '../../api/calls.ts';
import type { ApiFault } from '../../api/errors.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import type { DiskAction, DiskFlags, DiskReply, RunJob } from '../disk/disk-actions.ts';
import { interruptible } from '../interruptible.ts';
import { optionFlag } from '../parse-arguments.ts';
import { relativePath } from '../remote-paths.ts';
import { bar } from '../render/bar.ts';
import { done, failed, usage } from '../results.ts';

const actionNames = [
  'list',
  'info',
  'create',
  'resize',
  'convert',
  'import',
  'check',
  'rebase',
  'commit',
  'snapshot',
];

export const disk = defineCommand({
  name: 'disk',
  summary: 'Make, look into and change disk images.',
  details:
    'disk list\n' +
    'disk info FILE\n' +
    'disk create FILE [SIZE] [--backing BASE]\n' +
    'disk resize FILE SIZE|+SIZE [--shrink]\n' +
    'disk convert FILE TARGET\n' +
    'disk import FILE TARGET\n' +
    'disk check FILE [--repair leaks|all]\n' +
    'disk rebase FILE --backing OLD --onto NEW\n' +
    'disk commit FILE --backing BASE\n' +
    'disk snapshot list|create|revert|rm FILE [NAME]\n' +
    '\n' +
    'qemu-img works in a jail of its own that has these files and nothing else. Formats come from --format or from the ' +
    'name that you type, never from the image; what lies below an image is what you say with --backing, never what its ' +
    'header names. A new image has its name only when it is whole, and nothing is ever replaced. An image that a ' +
    'machine runs with is refused (info: --shared).',
  arguments: {
    ACTION: { help: `One of ${actionNames.join(', ')}.`, complete: actionNames },
    WORD: { help: 'Files, sizes and names, as above.', complete: 'file', repeated: true, optional: true },
  },
  options: {
    format: {
      kind: 'text',
      short: 'f',
      value: 'FORMAT',
      complete: 'none',
      help: 'Format of FILE, where its name does not tell.',
    },
    to: {
      kind: 'text',
      value: 'FORMAT',
      complete: ['raw', 'qcow2'],
      help: 'convert, import: format of TARGET, where its name does not tell.',
    },
    backing: {
      kind: 'texts',
      short: 'b',
      value: 'FILE',
      complete: 'file',
      help: 'What lies below FILE, the nearest first; FILE:FORMAT where its name does not tell.',
    },
    onto: {
      kind: 'texts',
      value: 'FILE',
      complete: 'file',
      help: 'rebase: what is to lie below; none: the image then stands alone.',
    },
    preallocation: {
      kind: 'text',
      value: 'HOW',
      complete: ['off', 'metadata', 'falloc', 'full'],
      help: 'create, resize: take the space now.',
    },
    compress: { kind: 'flag', short: 'c', help: 'convert: compress (qcow2).' },
    rate: {
      kind: 'text',
      value: 'SIZE',
      complete: 'none',
      help: 'convert, import: bytes a second at most, such as 50MiB.',
    },
    shrink: { kind: 'flag', help: 'resize: make it smaller. What lies beyond the new end is lost.' },
    repair: { kind: 'text', value: 'WHAT', complete: ['leaks', 'all'], help: 'check: repair leaks, or all.' },
    shared: {
      kind: 'flag',
      short: 'U',
      help: 'info: also while a machine runs with it; numbers may be of different moments.',
    },
    metadataOnly: {
      kind: 'flag',
      short: 'u',
      help: 'rebase: only the name in the header; the content below must be the same.',
    },
  },
  examples: [
    { line: 'qward disk list', meaning: 'storage roots, free space, and which machine uses what' },
    { line: 'qward disk create ~/vm/web.qcow2 20GiB', meaning: 'an empty image' },
    {
      line: 'qward disk create web2.qcow2 --backing base.qcow2',
      meaning: 'an image that begins with the content of another',
    },
    {
      line: 'qward disk import appliance.vmdk web.qcow2',
      meaning: 'from another format, refusing what refers to other files',
    },
    { line: 'qward disk resize web.qcow2 +10GiB', meaning: 'more room' },
    { line: 'qward disk snapshot create web.qcow2 before-upgrade', meaning: 'while the machine is stopped' },
  ],
  exits: { 1: 'failed; check: something is wrong with the image' },
  async run(context, { arguments: { ACTION: action, WORD: words }, options: flags }) {
    if (action === 'list') return words.length > 0 ? usage('disk list takes no words') : await list(context);
    const { diskActions } = await import('../disk/disk-actions.ts');
    const found = Object.hasOwn(diskActions, action) ? diskActions[action] : undefined;
    if (found === undefined)
      return usage(`disk: "${action}" is not an action; ${actionNames.join(', ')} expected`);
    const options = flagsOf(flags);
    const fault =
      usageFault(action, found, { words, options }) ??
      relativePath(context, namedPaths(found, words, options));
    return fault === undefined
      ? await work(context, { name: action, action: found, words, flags: options })
      : usage(fault);
  },
});

/** The words that are paths, as the action's own description says. */
function namedPaths({ words: shape }: DiskAction, words: readonly string[], flags: DiskFlags): string[] {
  const kinds = shape.split(' ');
  return [
    ...words.filter((_, at) => /^(?:FILE|TARGET)$/.test(kinds[at] ?? '')),
    ...flags.backing,
    ...flags.onto,
  ];
}

/** Values that are not among those of the completion were refused with the words. */
function flagsOf(
  flags: Omit<DiskFlags, 'preallocation' | 'repair'> & {
    readonly preallocation: string | undefined;
    readonly repair: string | undefined;
  },
): DiskFlags {
  return {
    ...flags,
    preallocation: (['off', 'metadata', 'falloc', 'full'] as const).find(
      (one) => one === flags.preallocation,
    ),
    repair: (['leaks', 'all'] as const).find((one) => one === flags.repair),
  };
}

function usageFault(
  name: string,
  { words: shape, count, options: known }: DiskAction,
  given: { readonly words: readonly string[]; readonly options: DiskFlags },
): string | undefined {
  const [least, most] = count;
  if (given.words.length < least || given.words.length > most) return `disk ${name} ${shape} expected`;
  const allowed: readonly string[] = known;
  const stray = Object.entries(given.options).find(
    ([key, value]) =>
      value !== undefined &&
      value !== false &&
      !(Array.isArray(value) && value.length === 0) &&
      !allowed.includes(key),
  )?.[0];
  return stray === undefined ? undefined : `disk ${name} takes no ${optionFlag(stray)}`;
}

async function list(context: Context): Promise<CommandResult> {
  const reply = await context.during('looking at the images', context.client.call('disks', {}));
  if (!reply.ok) return failed(reply.faults);
  const { renderDisks } = await import('../render/disk.ts');
  return done(reply.result, (style) => renderDisks(reply.result, style));
}

interface Work {
  readonly name: string;
  readonly action: DiskAction;
  readonly words: readonly string[];
  readonly flags: DiskFlags;
}

/** A job that ends with this command: Ctrl-C leaves nothing of it. */
async function work(context: Context, { name, action, words, flags }: Work): Promise<CommandResult> {
  const { DiskUsage } = await import('../disk/disk-input.ts');
  const disks = await context.client.disks();
  return await interruptible(async (signal) => {
    try {
      const reply = await context.progressing(`disk ${name}`, (progress) => {
        const job: RunJob = (call, input, files) =>
          disks.run(call, input, {
            files,
            signal,
            onProgress: ({ doing, percent }) =>
              progress.label(percent === null ? doing : `${doing} ${bar(percent)}`),
          });
        return action.run(job, words, flags);
      });
      return reply.ok
        ? await shown(context, name, reply)
        : failed(reply.faults.map((fault) => withShared(name, fault)));
    } catch (error) {
      if (error instanceof DiskUsage) return usage(error.message);
      throw error;
    }
  });
}

/** What a machine writes can be looked into all the same. */
function withShared(name: string, fault: ApiFault): ApiFault {
  if (name !== 'info' || fault.code !== 'image-locked') return fault;
  return { ...fault, hint: `${fault.hint}, or look at it as it is now: --shared` };
}

async function shown(
  context: Context,
  name: string,
  reply: Extract<DiskReply, { ok: true }>,
): Promise<CommandResult> {
  const { renderCheck, renderImage } = await import('../render/disk.ts');
  const { result } = reply;
  if (isCheck(result)) return done(result, (style) => renderCheck(result, style), result.ok ? 0 : 1);
  return done(result, (style) => (context.quiet && name !== 'info' ? '' : renderImage(result, style)));
}

function isCheck(
  result: CallResult<'diskInfo'> | CallResult<'diskCheck'>,
): result is CallResult<'diskCheck'> {
  return 'leaks' in result;
}
