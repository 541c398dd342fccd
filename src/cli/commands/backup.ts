import type { CallResult } from '../../api/calls.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import { speedOf } from '../disk/change-chain.ts';
import type { Context } from '../context.ts';
import { oneMachine } from '../machine-arguments.ts';
import { pathsThere, relativePath } from '../remote-paths.ts';
import { escapeLine } from '../render/escape.ts';
import { renderTable, type Column } from '../render/table.ts';
import { fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

interface Row {
  readonly backup: string;
  readonly at: string;
  readonly disk: string;
  readonly kind: string;
  readonly file: string;
}

const columns: readonly Column<Row>[] = [
  { title: 'BACKUP', cell: ({ backup }) => backup },
  { title: 'MADE', cell: ({ at }) => at },
  { title: 'DISK', cell: ({ disk }) => disk },
  { title: 'KIND', cell: ({ kind }) => kind },
  { title: 'FILE', cell: ({ file }) => file, fold: true },
];

const rowsOf = ({ id, at, disks }: CallResult<'backups'>['backups'][number]): readonly Row[] =>
  disks.map(({ disk, path, onto }) => ({
    backup: id,
    at,
    disk,
    kind: onto.length === 0 ? 'whole' : `on ${onto.length}`,
    file: path,
  }));

const actions = ['create', 'list', 'restore'] as const;

async function list(context: Context, name: string): Promise<CommandResult> {
  const reply = await withNearestName(context, name, await context.client.call('backups', { name }));
  return fromReply(reply, ({ backups }, style) =>
    backups.length === 0
      ? `${escapeLine(name)} was not backed up.\n`
      : renderTable(backups.flatMap(rowsOf), columns, style),
  );
}

export const backup = defineCommand({
  name: 'backup',
  summary: 'Back up the disks of a running machine, and bring them back.',
  details:
    'create: all disks that are written, or those of --disk, as they are at one moment, into new qcow2 files in DIR; the guest goes on.\n' +
    'Where the guest agent answers, file systems are frozen for that moment. --incremental copies only what was written since the last\n' +
    'backup; it needs qcow2 images, and a machine that was not killed since. Each file is checked.\n' +
    'list: which there are.\n' +
    'restore: makes a new image TARGET of the file of a backup, with all that it stands on.',
  arguments: {
    ACTION: { help: `${actions.join(', ')}.`, complete: actions },
    NAME: oneMachine,
    FILE: {
      help: 'restore: the file of the backup, and the new image TARGET.',
      complete: 'file',
      repeated: true,
      optional: true,
    },
  },
  options: {
    to: { kind: 'text', value: 'DIR', complete: 'directory', help: 'create: where the files are made.' },
    disk: {
      kind: 'texts',
      short: 'd',
      value: 'DISK',
      complete: 'none',
      help: 'create: only this disk; several times for several.',
    },
    incremental: { kind: 'flag', short: 'i', help: 'create: only what was written since the last backup.' },
    rate: {
      kind: 'text',
      value: 'SIZE',
      complete: 'none',
      help: 'create: bytes a second at most, such as 50MiB.',
    },
  },
  examples: [
    { line: 'qward backup create web --to ~/backups', meaning: 'all disks, whole' },
    { line: 'qward backup create web --to ~/backups --incremental', meaning: 'what was written since' },
    { line: 'qward backup list web', meaning: 'which there are' },
    {
      line: 'qward backup restore web ~/backups/web-root-2.qcow2 ~/web.qcow2',
      meaning: 'a new image, as it was then',
    },
  ],
  async run(context, { arguments: { ACTION: word, NAME: name, FILE: files }, options }) {
    const action = actions.find((one) => one === word);
    if (action === undefined)
      return usage(`backup: "${word}" is not an action; ${actions.join(', ')} expected`);
    if (action === 'list') return await list(context, name);
    const { to, disk: disks, incremental, rate } = options;
    const fault = relativePath(context, [...files, ...(to === undefined ? [] : [to])]);
    if (fault !== undefined) return usage(`backup: ${fault}`);
    const work = await import('../disk/backup-work.ts');
    if (action === 'restore') {
      const [file, target, ...more] = pathsThere(context, files);
      if (file === undefined || target === undefined || more.length > 0)
        return usage('backup restore: NAME, FILE and TARGET expected');
      return await work.restoreBackup(context, { name, file, target });
    }
    if (to === undefined || files.length > 0) return usage('backup create: NAME and --to DIR expected');
    const [directory = to] = pathsThere(context, [to]);
    const speed = speedOf(rate);
    if (typeof speed === 'string') return usage(`backup: ${speed}`);
    return await work.createBackup(context, { name, directory, disks, incremental, speed });
  },
});
