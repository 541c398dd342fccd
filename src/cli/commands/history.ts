import type { CallInput } from '../../api/calls.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { escapeJson } from '../render/escape.ts';
import { renderComparison, renderHistoryEntry, type HistoryEntry } from '../render/history.ts';
import { done, failed, fromReply, printed, usage } from '../results.ts';

/** Exit status of --compare where the two differ, as of an audit where a wall does. */
const differs = 1;

export const history = defineCommand({
  name: 'history',
  summary: 'Print who did, or tried to do, what.',
  details:
    "Administrators see everything, owners what concerned their machines while they were theirs, and everybody the own calls. With --compare (administrators) it tells where the manager and the broker, whose log is root's, remember differently, and shows the last of what users said to the broker themselves (claims, and what starts with the host).",
  arguments: { NAME: { help: 'Only this machine.', complete: 'machine', optional: true } },
  options: {
    user: { kind: 'text', short: 'u', value: 'USER', complete: 'none', help: 'Only calls of this user.' },
    refused: { kind: 'flag', help: 'Only what was refused.' },
    since: { kind: 'duration', value: 'TIME', help: 'Only of the last 30m, 1h, 48h.' },
    limit: { kind: 'number', short: 'n', value: 'COUNT', help: 'The last so many. Default: 200.' },
    follow: { kind: 'flag', short: 'f', help: 'Go on as more comes; with --json, one object a line.' },
    compare: { kind: 'flag', help: "Compare with the broker's own log." },
  },
  examples: [
    { line: 'qward history web', meaning: 'what was done with one machine' },
    { line: 'qward history --refused --since 1h', meaning: 'what was refused in the last hour' },
    { line: 'sudo qward history --compare', meaning: 'whether somebody made the broker do something' },
  ],
  exits: { [differs]: 'with --compare: the two logs differ' },
  async run(context, { arguments: { NAME: machine }, options }) {
    const { user, refused, since: sinceMs, limit, follow, compare } = options;
    const since = sinceMs === undefined ? {} : { since: new Date(context.io.now() - sinceMs).toISOString() };
    if (compare) {
      if (machine !== undefined || user !== undefined || refused || follow || limit !== undefined)
        return usage('history --compare: takes --since alone', 'it compares the logs as a whole');
      return await compareLogs(context, since);
    }
    if (limit === 0 && !follow) return printed();
    const filter = {
      ...(machine === undefined ? {} : { machine }),
      ...(user === undefined ? {} : { user }),
      refused,
    };
    const query = { ...filter, ...since, ...(limit === undefined ? {} : { limit }) };
    if (follow) return await followHistory(context, filter, query);
    const reply = await context.client.call('history', query);
    return fromReply(reply, (entries, style) =>
      entries.map((entry) => renderHistoryEntry(entry, style)).join(''),
    );
  },
});

async function compareLogs(context: Context, since: CallInput<'historyCompare'>): Promise<CommandResult> {
  const reply = await context.during('comparing', context.client.call('historyCompare', since));
  if (!reply.ok) return failed(reply.faults);
  const { result } = reply;
  return done(result, (style) => renderComparison(result, style), result.same ? 0 : differs);
}

/** The stream is opened first: what comes while the last entries are read is in it, and printed once. */
async function followHistory(
  context: Context,
  filter: CallInput<'historyFollow'>,
  query: CallInput<'history'>,
): Promise<CommandResult> {
  const opened = await context.client.followHistory(filter);
  if (!opened.ok) return failed(opened.faults);
  try {
    const before = query.limit === 0 ? undefined : await context.client.call('history', query);
    if (before?.ok === false) return failed(before.faults);
    let last = 0;
    const print = (entry: HistoryEntry): void => {
      if (entry.id <= last) return;
      last = entry.id;
      context.print(
        context.json ? `${escapeJson(JSON.stringify(entry))}\n` : renderHistoryEntry(entry, context.style),
      );
    };
    for (const entry of before?.result ?? []) print(entry);
    for await (const entry of opened.result) print(entry);
  } finally {
    opened.result.close();
  }
  return failed([{ code: 'manager-unreachable', message: 'the manager ended the stream', hint: '' }]);
}
