import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { renderPlan } from '../render/explain.ts';
import { done, failed } from '../results.ts';
import { asFaults } from '../plan-faults.ts';
import { withNearestName } from '../select-machines.ts';

export const explain = defineCommand({
  name: 'explain',
  summary: 'Show everything that a start would do, and start nothing.',
  details:
    'Prints the command line of QEMU one option a line, every host resource that the machine gets and why, its ' +
    'limits, and the walls around it; or all that stands in the way of a start.',
  arguments: { NAME: oneMachine },
  options: {},
  examples: [
    { line: 'qward explain web', meaning: 'the plan' },
    { line: 'qward explain web --json | jq .plan.launch.argv', meaning: 'as data' },
  ],
  async run(context, { arguments: { NAME: name } }) {
    const reply = await context.during(`planning ${name}`, context.client.call('explain', { name }));
    const known = await withNearestName(context, name, reply);
    if (!known.ok) return failed(known.faults);
    const outcome = known.result;
    if (!outcome.ok) return failed(asFaults(outcome.faults));
    return done(outcome, (style) => renderPlan(outcome.plan, style));
  },
});
