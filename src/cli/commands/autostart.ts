import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { eachMachine, outcomeLine } from '../each-machine.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { renderAutostart } from '../render/autostart.ts';
import { done, failed, usage } from '../results.ts';
import { globExpression, selectMachines } from '../select-machines.ts';
import type { CallResult } from '../../api/calls.ts';
import type { Reply } from '../../api/client.ts';

const actions = ['on', 'off', 'list'];

export const autostart = defineCommand({
  name: 'autostart',
  summary: 'Say which machines start with the host, and see what became of it.',
  details:
    '`on` is for administrators, `off` for whoever may stop the machine. In which order they start, and when each is ready\n' +
    'for those that come after it, is in its definition (`qward set web autostart.after=db`). What starts with the host\n' +
    'stands in a file of root’s that the manager cannot write.',
  arguments: {
    ACTION: { help: 'on, off or list.', complete: actions },
    NAME: manyMachines,
  },
  options: { all: allMachines },
  examples: [
    { line: 'qward autostart on db web', meaning: 'start both with the host' },
    { line: 'qward autostart off "web*"', meaning: 'no longer' },
    {
      line: 'qward autostart list',
      meaning: 'what starts, in what order, and what became of it the last time',
    },
  ],
  async run(context, { arguments: { ACTION: action, NAME: words }, options: { all } }) {
    if (action === 'list') return await list(context, words);
    if (action !== 'on' && action !== 'off')
      return usage(`autostart: "${action}" is not an action; on, off or list expected`);
    const selection = await selectMachines(context, { words, all });
    if (!selection.ok) return failed(selection.faults);
    if (action === 'off')
      return await eachMachine(context, {
        names: selection.names,
        doing: 'disabling',
        call: (name) => context.client.call('autostartOff', { name }),
        line: ({ name, outcome }, style) =>
          outcomeLine(
            {
              name,
              outcome:
                outcome === 'disabled' ? 'no longer starts with the host' : 'did not start with the host',
            },
            style,
          ),
      });
    return await enable(context, selection.names);
  },
});

type Enabled = { readonly name: string; readonly outcome: 'enabled' | 'known' };

/** Past the manager: the broker takes nobody's word but the caller's own for it. */
async function enable(context: Context, names: readonly string[]): Promise<CommandResult> {
  const broker = await context.client.claims();
  const call = async (name: string): Promise<Reply<Enabled>> => {
    const known = await context.client.call('status', { name });
    if (!known.ok) return known;
    const reply = await broker.enableAutostart(name);
    return reply.ok ? { ok: true, result: { name, outcome: reply.result.outcome } } : reply;
  };
  const result = await eachMachine(context, {
    names,
    doing: 'enabling',
    call,
    line: ({ name, outcome }, style) =>
      outcomeLine(
        { name, outcome: outcome === 'enabled' ? 'starts with the host' : 'starts with the host already' },
        style,
      ),
  });
  // The manager hears of it: `qward list` shows it from now on.
  await context.client.call('autostart');
  return result;
}

async function list(context: Context, words: readonly string[]): Promise<CommandResult> {
  const reply = await context.during('asking what starts with the host', context.client.call('autostart'));
  if (!reply.ok) return failed(reply.faults);
  const { booting, machines } = reply.result;
  const chosen = await named(context, words, machines);
  if ('faults' in chosen) return failed(chosen.faults);
  return done(chosen, (style) => {
    if (context.quiet) return chosen.map(({ name }) => `${name}\n`).join('');
    if (chosen.length > 0) return renderAutostart(chosen, { booting }, style);
    return machines.length > 0
      ? 'No such machine starts with the host.\n'
      : 'Nothing starts with the host: qward autostart on NAME\n';
  });
}

type Entry = CallResult<'autostart'>['machines'][number];

/** Tags are the manager's to know. */
async function named(
  context: Context,
  words: readonly string[],
  entries: readonly Entry[],
): Promise<readonly Entry[] | Extract<Awaited<ReturnType<typeof selectMachines>>, { ok: false }>> {
  if (words.length === 0) return entries;
  if (!words.some((word) => word.startsWith('tag:'))) {
    const wanted = words.map(globExpression);
    return entries.filter(({ name }) => wanted.some((one) => one.test(name)));
  }
  const selection = await selectMachines(context, { words, all: false });
  return selection.ok ? entries.filter(({ name }) => selection.names.includes(name)) : selection;
}
