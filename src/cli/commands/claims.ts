import { defineCommand } from '../command.ts';
import { escapeLine } from '../render/escape.ts';
import { renderTable, type Column } from '../render/table.ts';
import { fromReply } from '../results.ts';
import type { Claim } from '../../protocol/claims.ts';

const columns: readonly Column<Claim>[] = [
  { title: 'MACHINE', cell: ({ machine }) => machine },
  { title: 'UID', cell: ({ uid }) => String(uid), align: 'right' },
  { title: 'ACCESS', cell: ({ access }) => access },
  { title: 'SINCE', cell: ({ at }) => at },
  { title: 'PATH', cell: ({ path }) => path, fold: true },
];

export const claims = defineCommand({
  name: 'claims',
  summary: 'List the files that machines may open with your rights.',
  details:
    'The list comes from the broker itself, which alone keeps it; the manager has no part in it.\n' +
    'Root sees the claims of all users.',
  arguments: {
    NAME: { help: 'Name of the machine; without it, of every machine.', complete: 'machine', optional: true },
  },
  options: {},
  examples: [
    { line: 'qward claims', meaning: 'everything that you agreed to' },
    { line: 'qward claims web --json', meaning: 'of one machine, as data' },
  ],
  async run(context, { arguments: { NAME: name } }) {
    const broker = await context.client.claims();
    const reply = await context.during('asking the broker', broker.claims(name ?? null));
    return fromReply(reply, (found, style) => {
      if (context.quiet) return found.map(({ path }) => `${escapeLine(path)}\n`).join('');
      return found.length === 0 ? 'No claims.\n' : renderTable(found, columns, style);
    });
  },
});
