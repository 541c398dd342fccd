import { defineCommand } from '../command.ts';
import { done } from '../results.ts';
import { qwardVersion } from '../version.ts';

export const version = defineCommand({
  name: 'version',
  summary: 'Print the version.',
  details: 'That of the CLI; "qward info" also says which manager answers.',
  arguments: {},
  options: {},
  examples: [{ line: 'qward version', meaning: 'also: qward --version' }],
  async run() {
    return done({ version: qwardVersion }, () => `qward ${qwardVersion}\n`);
  },
});
