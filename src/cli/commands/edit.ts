import type { CallResult } from '../../api/calls.ts';
import { defineCommand, type CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { exitOfFaults } from '../exit-status.ts';
import { EditedFile, withFaultComments, withoutFaultComments } from '../edited-file.ts';
import { oneMachine } from '../machine-arguments.ts';
import { withClaims, withNotes } from '../own-files.ts';
import { renderDefined } from '../render/defined.ts';
import { done, failed } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

/** Opens the editor until the definition is right, unchanged, or given up. */
async function editUntilRight(
  context: Context,
  file: EditedFile,
  original: CallResult<'definition'>,
): Promise<CommandResult> {
  const { name, revision } = original;
  let shown = original.source;
  for (;;) {
    file.write(shown);
    const ended = file.openEditor(context.io.env);
    if (!ended.ok) return failed([{ message: ended.message, hint: file.keep() }]);
    const text = file.read();
    const source = withoutFaultComments(text);
    if (source === original.source)
      return done({ name, outcome: 'unchanged', notes: [] }, () => `${name}: unchanged\n`);
    if (text === shown)
      return failed([{ message: `${name}: given up; the definition stays as it was`, hint: file.keep() }], 2);
    const input = { name, source, revision };
    const reply = withNotes(
      await withClaims(
        context,
        () => context.client.call('edit', input),
        // SECURITY: promise 4. Compared with what the user would have saved without a change, not with what was sent.
        (files) => files.edit(input, withoutFaultComments(original.source)),
      ),
    );
    if (reply.ok) return done(reply.result, (style) => renderDefined(reply.result, style));
    const isWrong = reply.faults.every(({ code }) => code === 'definition-invalid');
    if (!isWrong)
      return failed(
        [...reply.faults, { message: 'nothing was changed', hint: file.keep() }],
        exitOfFaults(reply.faults),
      );
    shown = withFaultComments(source, reply.faults);
  }
}

export const edit = defineCommand({
  name: 'edit',
  summary: 'Edit a definition in your editor.',
  details:
    'Opens VISUAL, else EDITOR, else vi. A wrong definition is opened again with its faults as comments; saving it unchanged ' +
    'gives up. If someone else changed the definition meanwhile, nothing is overwritten. What you wrote is never lost.',
  arguments: { NAME: oneMachine },
  options: {},
  examples: [
    { line: 'qward edit web', meaning: 'in your editor' },
    { line: `EDITOR='sed -i s/1GiB/2GiB/' qward edit web`, meaning: 'by a program' },
  ],
  async run(context, { arguments: { NAME: name } }) {
    const reply = await withNearestName(context, name, await context.client.call('definition', { name }));
    if (!reply.ok) return failed(reply.faults);
    const { source, revision } = reply.result;
    // Who may not change it is told before the work, not after: nothing is changed by saving what is there.
    const allowed = await context.client.call('edit', { name, source, revision });
    if (!allowed.ok && allowed.faults.every(({ code }) => code === 'not-allowed'))
      return failed(allowed.faults);
    const file = EditedFile.create(name, context.io.env);
    try {
      return await editUntilRight(context, file, reply.result);
    } finally {
      file.remove();
    }
  },
});
