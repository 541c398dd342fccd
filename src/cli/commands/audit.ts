import type { CallResult } from '../../api/calls.ts';
import type { Reply } from '../../api/client.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { mapBounded } from '../each-machine.ts';
import { exitOfFaults, worstExit } from '../exit-status.ts';
import { allMachines, manyMachines } from '../machine-arguments.ts';
import { renderAudit } from '../render/audit.ts';
import { renderFaults } from '../render/faults.ts';
import { done, failed, usage } from '../results.ts';
import { isAlive, selectMachines, withNearestName } from '../select-machines.ts';

const atOnce = 4;
const couldNotLook = 2;

interface Looked {
  readonly subject: string;
  readonly reply: Reply<CallResult<'audit'>>;
}

/** 1: a wall differs. 2: it could not be looked at, where no common status says more. */
function exitOf({ reply }: Looked): number {
  if (reply.ok) return reply.result.ok ? 0 : 1;
  const status = exitOfFaults(reply.faults);
  return status === 1 ? couldNotLook : status;
}

function conclude(context: Context, looked: readonly Looked[]): CommandResult {
  const [only] = looked;
  const exit = worstExit(looked.map(exitOf));
  if (looked.length === 1 && only !== undefined && !only.reply.ok) return failed(only.reply.faults, exit);
  const reports = looked.flatMap(({ reply }) => (reply.ok ? [reply.result] : []));
  for (const { subject, reply } of looked)
    if (!reply.ok) context.warn(renderFaults(reply.faults, context.errorStyle, subject));
  const data = looked.length === 1 ? reports[0] : reports;
  return done(
    data,
    (style) => reports.map((report) => renderAudit(report, style)).join('\n') || 'Nothing runs.\n',
    exit,
  );
}

export const audit = defineCommand({
  name: 'audit',
  summary: 'Check every wall on live processes.',
  details:
    'Reads the running QEMU process and compares it with the plan, wall by wall. --pid looks at any QEMU process of ' +
    'this host, whoever started it, and says which walls it lacks.',
  arguments: { NAME: manyMachines },
  options: {
    all: { ...allMachines, help: 'Every machine that runs.' },
    pid: { kind: 'number', short: 'p', value: 'PID', help: 'A process, also one that is not of qward.' },
  },
  examples: [
    { line: 'qward audit web', meaning: 'one machine' },
    { line: 'qward audit --all --json', meaning: 'everything that runs, for monitoring' },
    { line: 'sudo qward audit --pid 4711', meaning: 'a QEMU that something else started' },
  ],
  exits: { 0: 'every wall stands', 1: 'a wall differs', 2: 'could not look (also: usage)' },
  async run(context, { arguments: { NAME: words }, options: { all, pid } }) {
    const { client } = context;
    if (pid !== undefined) {
      if (words.length > 0 || all) return usage('audit: --pid together with machines; give one of them');
      const reply = await context.during(`auditing process ${pid}`, client.call('auditPid', { pid }));
      return conclude(context, [{ subject: `process ${pid}`, reply }]);
    }
    const selection = await selectMachines(context, { words, all, concerns: isAlive });
    if (!selection.ok) return failed(selection.faults);
    const looked = await context.during(
      'auditing',
      mapBounded(selection.names, atOnce, async (name) => ({
        subject: name,
        reply: await withNearestName(context, name, await client.call('audit', { name })),
      })),
    );
    return conclude(context, looked);
  },
});
