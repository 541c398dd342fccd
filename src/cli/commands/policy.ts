import { runUnderNode } from '../under-node.ts';
import { defineCommand, type CommandFault, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { renderAdmission, renderCheck, renderPolicy } from '../render/policy.ts';
import { done, failed, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';
import type { PolicyFinding } from '../../host/check-policy.ts';
import { pathsBelow, systemRoots } from '../../protocol/paths.ts';

const actions = ['check', 'show', 'explain'] as const;

export const policy = defineCommand({
  name: 'policy',
  summary: 'Check and show the policy, and say what it admits.',
  details:
    '`check` looks for faults in a policy, the installed one or any FILE, and for what this host does not have of it; it needs ' +
    'no daemon. `show` prints every key in force, with its line or `default`. `explain` says grant by grant what the ' +
    'policy admits of a machine and which line decides; nothing is started.',
  arguments: {
    ACTION: { help: 'check, show or explain.', complete: actions },
    SUBJECT: { help: 'check: a file. explain: a machine.', complete: 'machine', optional: true },
  },
  options: {},
  examples: [
    { line: 'qward policy check new-policy.json', meaning: 'is this draft a policy?' },
    { line: 'qward policy show', meaning: 'what is in force, and where it is said' },
    { line: 'qward policy explain web', meaning: 'what of the machine web is admitted' },
  ],
  exits: { 1: 'check, show: the policy has faults. explain: it would be refused' },
  async run(context, { arguments: { ACTION: action, SUBJECT: subject } }) {
    // Names of users and groups are looked up in the system's database, by a call of the C library.
    if (action === 'check') return 'bun' in process.versions ? await runUnderNode() : await check(subject);
    if (action === 'show' && subject === undefined) return await show(context);
    if (action === 'explain' && subject !== undefined) return await explain(context, subject);
    if (action === 'show') return usage('policy: show takes nothing more');
    if (action === 'explain') return usage('policy: explain takes the name of a machine');
    return usage(`policy: "${action}" is not an action; check, show or explain expected`);
  },
});

async function check(file: string | undefined): Promise<CommandResult> {
  const { checkPolicy } = await import('../../host/check-policy.ts');
  const { nearest } = await import('../../definition/suggest.ts');
  const paths = pathsBelow(systemRoots);
  const path = file ?? paths.policy;
  const found = checkPolicy(path, file === undefined, paths.own);
  const toFault = ({ key, message, cure, known, line, column }: PolicyFinding): CommandFault => {
    const meant = known && nearest(key.slice(key.lastIndexOf('.') + 1), known);
    const hint = meant === undefined ? `there are ${(known ?? []).join(', ')}` : `did you mean "${meant}"?`;
    return {
      file: path,
      message: key === '' ? message : `${key}: ${message}`,
      hint: known === undefined ? (cure ?? '') : hint,
      ...(line === undefined ? {} : { line }),
      ...(column === undefined ? {} : { column }),
    };
  };
  const warnings = found.warnings.map(toFault);
  if (found.faults.length > 0) return failed(found.faults.map(toFault), 1);
  return done({ path, ok: true, warnings }, (style) => renderCheck(path, warnings, style));
}

async function show(context: Context): Promise<CommandResult> {
  const reply = await context.client.call('policy');
  if (!reply.ok) return failed(reply.faults);
  return done(reply.result, (style) => renderPolicy(reply.result, style), reply.result.ok ? 0 : 1);
}

async function explain(context: Context, name: string): Promise<CommandResult> {
  const reply = await context.during(`looking at ${name}`, context.client.call('policyExplain', { name }));
  const known = await withNearestName(context, name, reply);
  if (!known.ok) return failed(known.faults);
  const { result } = known;
  return done(result, (style) => renderAdmission(result, style), result.admitted ? 0 : 1);
}
