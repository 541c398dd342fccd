import { defineCommand } from '../command.ts';
import { readKernelDenials } from '../kernel-denials.ts';
import { oneMachine } from '../machine-arguments.ts';
import { renderDenials } from '../render/denials.ts';
import { done, failed } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const why = defineCommand({
  name: 'why',
  summary: 'Say what was denied to a machine, and which grant would allow it.',
  details:
    "Looks through QEMU's own output and how it ended, and, as root, through the kernel's log for AppArmor's and seccomp's denials. " +
    'Each is told with the line of the definition, and of the policy where it needs one.',
  arguments: { NAME: oneMachine },
  options: {},
  examples: [
    { line: 'qward why web', meaning: 'what it was refused' },
    { line: 'sudo qward why web', meaning: "also what the kernel's log says" },
  ],
  async run(context, { arguments: { NAME: name } }) {
    const kernel = [...readKernelDenials()];
    const reply = await withNearestName(
      context,
      name,
      await context.during(
        `looking for what ${name} was denied`,
        context.client.call('why', { name, kernel }),
      ),
    );
    if (!reply.ok) return failed(reply.faults);
    return done(reply.result, (style) => renderDenials(reply.result, style));
  },
});
