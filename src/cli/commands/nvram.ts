import { defineCommand } from '../command.ts';
import { oneMachine } from '../machine-arguments.ts';
import { readVariables } from '../import/foreign-files.ts';
import { escapeLine } from '../render/escape.ts';
import { failed, fromReply, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const nvram = defineCommand({
  name: 'nvram',
  summary: 'Replace the UEFI variables of a stopped machine.',
  details:
    'They say what the guest boots. A machine that comes from elsewhere brings its own: the raw file of its flash chip, which\n' +
    'libvirt keeps as /var/lib/libvirt/qemu/nvram/NAME_VARS.fd. "qward import libvirt --define" does that by itself where it can\n' +
    'read the file. The file is read here, with your rights, and stays as it is.',
  arguments: {
    NAME: oneMachine,
    FILE: { help: 'Raw variables of OVMF.', complete: 'file', optional: true },
  },
  options: { reset: { kind: 'flag', help: 'Throw them away: the next start begins with empty ones.' } },
  examples: [
    {
      line: 'sudo qward nvram mail /var/lib/libvirt/qemu/nvram/mail_VARS.fd',
      meaning: 'as it was under libvirt',
    },
    { line: 'qward nvram mail --reset', meaning: 'the firmware as new' },
  ],
  async run(context, { arguments: { NAME: name, FILE: file }, options: { reset } }) {
    if ((file === undefined) !== reset) return usage('nvram: one of FILE and --reset expected');
    const packed = file === undefined ? null : readVariables(file);
    if (packed !== null && 'message' in packed) return failed([packed], 1);
    const variables = packed?.variables ?? null;
    const reply = await context.during(
      `putting the variables of ${name} in place`,
      context.client.call('setVariables', { name, variables }),
    );
    return fromReply(
      await withNearestName(context, name, reply),
      (done) => `${escapeLine(done.name)}: UEFI variables ${done.outcome}\n`,
    );
  },
});
