import type { CallResult } from '../../api/calls.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { oneMachine } from '../machine-arguments.ts';
import { withClaims } from '../own-files.ts';
import { pathsThere, relativePath } from '../remote-paths.ts';
import { escapeLine } from '../render/escape.ts';
import { renderTable, type Column } from '../render/table.ts';
import { done, failed, fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

type Drive = CallResult<'media'>['drives'][number];

const columns: readonly Column<Drive>[] = [
  { title: 'DRIVE', cell: ({ drive }) => drive },
  {
    title: 'TRAY',
    cell: ({ trayOpen, locked }) => (trayOpen ? 'open' : locked ? 'locked by the guest' : 'closed'),
  },
  { title: 'DISC', cell: ({ path }) => path ?? '', fold: true },
];

async function show(context: Context, name: string): Promise<CommandResult> {
  const reply = await withNearestName(
    context,
    name,
    await context.during(`asking for the discs of ${name}`, context.client.call('media', { name })),
  );
  return fromReply(reply, ({ drives }, style) =>
    drives.length === 0
      ? `${escapeLine(name)} has no drive for discs.\n`
      : renderTable(drives, columns, style),
  );
}

interface Order {
  readonly name: string;
  readonly drive: string;
  readonly path: string | null;
  readonly force: boolean;
  readonly persist: boolean;
}

async function change(context: Context, { persist, ...input }: Order): Promise<CommandResult> {
  const { name, drive, path } = input;
  const call = withClaims(
    context,
    () => context.client.call('setMedium', input),
    (files) => files.setMedium(input),
  );
  const { reply, notes } = await context.during(`changing the disc of ${name}`, call);
  const told = await withNearestName(context, name, reply);
  if (!told.ok) return failed(told.faults);
  if (persist) {
    const changes = [{ key: `cdroms.${drive}.path`, value: path }];
    const kept = await withClaims(
      context,
      () => context.client.call('set', { name, changes }),
      (files) => files.set({ name, changes }),
    );
    if (!kept.reply.ok)
      return failed([
        { message: `the disc was changed, and the definition of ${name} was not`, hint: '' },
        ...kept.reply.faults,
      ]);
  }
  const what = path === null ? `${drive} is empty` : `${path} is in ${drive}`;
  const until = persist ? 'from now on' : 'until the machine stops';
  const lines = [`${name}: ${what}, ${until}`, ...notes.map((note) => `${name} ${note}`)];
  return done({ ...told.result, persisted: persist }, () => `${lines.map(escapeLine).join('\n')}\n`);
}

export const media = defineCommand({
  name: 'media',
  summary: 'Show and change the discs in the drives of a running machine.',
  details:
    'Without FILE and --eject shows what is in the drives. A disc is opened as for a start, with the same rights and claims, and QEMU\n' +
    'gets its descriptor; of the disc before nothing stays open, which is looked at. A guest that uses the disc is asked for it first.\n' +
    'The definition keeps its own disc for the next start, but with --persist.',
  arguments: {
    NAME: oneMachine,
    DRIVE: { help: 'Id of the drive in `cdroms`.', complete: 'none', optional: true },
    FILE: { help: 'Image of the disc.', complete: 'file', optional: true },
  },
  options: {
    eject: { kind: 'flag', short: 'e', help: 'Take the disc out.' },
    force: { kind: 'flag', short: 'f', help: 'Take it out although the guest uses it.' },
    persist: { kind: 'flag', short: 'p', help: 'Write it into the definition too.' },
  },
  examples: [
    { line: 'qward media web', meaning: 'what is in the drives' },
    { line: 'qward media web install ~/debian-12.iso', meaning: 'another disc' },
    { line: 'qward media web install --eject --persist', meaning: 'none, for good' },
  ],
  async run(context, { arguments: { NAME: name, DRIVE: drive, FILE: file }, options }) {
    const { eject, force, persist } = options;
    if (eject && file !== undefined) return usage('media: FILE and --eject exclude each other');
    if (drive === undefined || (file === undefined && !eject)) {
      if (drive === undefined && !eject && !force && !persist) return await show(context, name);
      return usage(
        'media: DRIVE and FILE expected, or DRIVE and --eject',
        '`qward media NAME` shows the drives',
      );
    }
    const files = file === undefined ? [] : [file];
    const fault = relativePath(context, files);
    if (fault !== undefined) return usage(`media: ${fault}`);
    const [path = null] = pathsThere(context, files);
    return await change(context, { name, drive, path, force, persist });
  },
});
