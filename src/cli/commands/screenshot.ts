import { writeFileSync } from 'node:fs';
import { defineCommand } from '../command.ts';
import { errnoText } from '../../api/errno-text.ts';
import { oneMachine } from '../machine-arguments.ts';
import { done, failed, printed, usage } from '../results.ts';
import { withNearestName } from '../select-machines.ts';

export const screenshot = defineCommand({
  name: 'screenshot',
  summary: 'Save what the screen of a machine shows, as PNG.',
  details:
    'The machine needs `vnc: true`. "-" is standard output. A file that is there already is kept, but for --force.',
  arguments: {
    NAME: oneMachine,
    FILE: { help: 'The picture.', complete: 'file' },
  },
  options: { force: { kind: 'flag', short: 'f', help: 'Replace a file that is there.' } },
  examples: [
    { line: 'qward screenshot web web.png', meaning: 'into a file' },
    { line: 'qward screenshot web - | display', meaning: 'to another program' },
  ],
  async run(context, { arguments: { NAME: name, FILE: file }, options: { force } }) {
    if (file === '-' && context.io.isTerminal(1))
      return usage('screenshot: standard output is a terminal', 'name a file, or pipe it to a program');
    const reply = await withNearestName(
      context,
      name,
      await context.during(`taking a picture of ${name}`, context.client.call('screenshot', { name })),
    );
    if (!reply.ok) return failed(reply.faults);
    const { png, width, height } = reply.result;
    const bytes = Buffer.from(png, 'base64');
    if (file === '-') {
      context.io.write(1, bytes);
      return printed();
    }
    try {
      writeFileSync(file, bytes, { flag: force ? 'w' : 'wx' });
    } catch (error) {
      const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST';
      return failed([
        {
          message: `${file} was not written: ${errnoText(error)}`,
          hint: exists ? 'name another file, or replace it with --force' : '',
        },
      ]);
    }
    return done({ name, file, width, height }, () => `${file}: ${width} × ${height}\n`);
  },
});
