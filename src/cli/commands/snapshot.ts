import type { CallResult } from '../../api/calls.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import { confirm } from '../confirm.ts';
import type { Context } from '../context.ts';
import { oneMachine, withoutAsking } from '../machine-arguments.ts';
import { withMemoryProgress } from '../memory-progress.ts';
import { pathsThere, relativePath } from '../remote-paths.ts';
import { escapeLine } from '../render/escape.ts';
import { formatBytes } from '../render/sizes.ts';
import { renderTable, type Column } from '../render/table.ts';
import { done, failed, fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

type Snapshot = CallResult<'snapshots'>['snapshots'][number];

const columns: readonly Column<Snapshot>[] = [
  { title: 'SNAPSHOT', cell: ({ snapshot }) => snapshot },
  { title: 'MADE', cell: ({ at }) => at ?? '' },
  { title: 'BY', cell: ({ by }) => by ?? '' },
  { title: 'MEMORY', cell: ({ bytes }) => (bytes === null ? '' : formatBytes(bytes)) },
  { title: 'CANNOT BE USED', cell: ({ unusable }) => unusable ?? '', fold: true },
];

const actions = ['create', 'list', 'revert', 'rm'] as const;
type Action = (typeof actions)[number];

async function list(context: Context, name: string): Promise<CommandResult> {
  const reply = await withNearestName(context, name, await context.client.call('snapshots', { name }));
  return fromReply(reply, ({ snapshots }, style) =>
    snapshots.length === 0
      ? `${escapeLine(name)} has no snapshot.\n`
      : renderTable(snapshots, columns, style),
  );
}

interface Order {
  readonly action: Exclude<Action, 'list'>;
  readonly name: string;
  readonly snapshot: string;
}

async function change(context: Context, { action, name, snapshot }: Order): Promise<CommandResult> {
  const label = `snapshot ${snapshot} of ${name}`;
  const call = { create: 'snapshotCreate', revert: 'snapshotRevert', rm: 'snapshotRemove' } as const;
  const reply = await context.progressing(label, (progress) =>
    withMemoryProgress(context, name, context.client.call(call[action], { name, snapshot }), (text) => {
      progress.label(label + text);
    }),
  );
  const told = await withNearestName(context, name, reply);
  if (!told.ok) return failed(told.faults);
  return done(told.result, () => `${escapeLine(name)}: ${escapeLine(told.result.outcome)}\n`);
}

export const snapshot = defineCommand({
  name: 'snapshot',
  summary: 'Make snapshots of machines with their memory, and go back to them.',
  details:
    'create: the guest stands still while its disks get a snapshot within their images (qcow2) and its memory is written, and goes on.\n' +
    'revert: the stopped machine goes back; the next start goes on there. What its disks got since is lost.\n' +
    'rm: removes one, from the disks too.\n' +
    'create --disks-only: without memory, and in new files: each disk gets an image on top, which is written from then on, all at one\n' +
    'moment; what was written before stays below. Where the guest agent answers, file systems are frozen for that moment.\n' +
    '`qward chain` shows it, `qward commit` and `qward pull` make one image of two.',
  arguments: {
    ACTION: { help: `${actions.join(', ')}.`, complete: actions },
    NAME: oneMachine,
    SNAPSHOT: { help: 'Its name: small letters, digits, "-".', complete: 'none', optional: true },
  },
  options: {
    yes: withoutAsking,
    disksOnly: { kind: 'flag', help: 'create: of the disks alone, in new images on top.' },
    to: {
      kind: 'text',
      value: 'DIR',
      complete: 'directory',
      help: 'create --disks-only: where they are made; default: beside the images that the disks have.',
    },
  },
  examples: [
    { line: 'qward snapshot create web before-upgrade', meaning: 'disks and memory as they are now' },
    { line: 'qward snapshot create web monday --disks-only', meaning: 'an image on top of each disk' },
    { line: 'qward snapshot list web', meaning: 'which there are' },
    {
      line: 'qward snapshot revert web before-upgrade --yes',
      meaning: 'the stopped machine goes back; start it then',
    },
  ],
  async run(
    context,
    { arguments: { ACTION: word, NAME: name, SNAPSHOT: snapshotName }, options: { yes, disksOnly, to } },
  ) {
    const action = actions.find((one) => one === word);
    if (action === undefined)
      return usage(`snapshot: "${word}" is not an action; ${actions.join(', ')} expected`);
    if (action === 'list') {
      if (snapshotName !== undefined) return usage('snapshot list takes the name of a machine alone');
      return await list(context, name);
    }
    if (snapshotName === undefined) return usage(`snapshot ${action}: a name for the snapshot expected`);
    if ((disksOnly && action !== 'create') || (to !== undefined && !disksOnly))
      return usage('snapshot: --disks-only goes with create, and --to with it');
    if (disksOnly) {
      const fault = relativePath(context, to === undefined ? [] : [to]);
      if (fault !== undefined) return usage(`snapshot: ${fault}`);
      if (!/^[a-z0-9][a-z0-9-]{0,40}$/.test(snapshotName))
        return usage(`snapshot: "${snapshotName}" is no name`, 'up to 41 small letters, digits and "-"');
      const [directory] = pathsThere(context, to === undefined ? [] : [to]);
      const { snapshotDisks } = await import('../disk/overlay-work.ts');
      return await snapshotDisks(context, { name, snapshot: snapshotName, directory });
    }
    const question = {
      create: undefined,
      revert: `Revert ${name} to ${snapshotName}? What its disks got since is lost.`,
      rm: `Remove snapshot ${snapshotName} of ${name}?`,
    }[action];
    const refusal = question === undefined ? undefined : confirm(context, question, yes);
    return refusal ?? (await change(context, { action, name, snapshot: snapshotName }));
  },
});
