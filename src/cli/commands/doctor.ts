import { defineCommand } from '../command.ts';
import { renderDoctor } from '../render/doctor.ts';
import { done, failed } from '../results.ts';

export const doctor = defineCommand({
  name: 'doctor',
  summary: 'Say what this host can and cannot give, with the cure.',
  arguments: {},
  options: {},
  examples: [{ line: 'qward doctor', meaning: 'check this host' }],
  exits: { 1: 'something mandatory is missing' },
  async run(context) {
    const reply = await context.during('examining the host', context.client.call('doctor'));
    if (!reply.ok) return failed(reply.faults);
    return done(reply.result, (style) => renderDoctor(reply.result, style), reply.result.ok ? 0 : 1);
  },
});
