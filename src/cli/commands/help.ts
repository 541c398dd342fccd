import { defineCommand } from '../command.ts';
import { commandGroups, commandNames, findCommand } from '../command-table.ts';
import { nearest } from '../../definition/suggest.ts';
import { commandHelp, programHelp } from '../render/help.ts';
import { done, usage } from '../results.ts';

export const help = defineCommand({
  name: 'help',
  summary: 'Show help.',
  arguments: {
    COMMAND: { help: 'A command; none: all of them.', complete: commandNames, optional: true },
  },
  options: {},
  examples: [{ line: 'qward help console', meaning: 'one command, with examples' }],
  async run(_, { arguments: { COMMAND: name } }) {
    if (name !== undefined) {
      const command = await findCommand(name)?.();
      if (command !== undefined) return done({ help: commandHelp(command) }, () => commandHelp(command));
      const near = nearest(name, commandNames);
      return usage(`help: no command "${name}"`, near === undefined ? '' : `Did you mean "${near}"?`);
    }
    const groups = await Promise.all(
      Object.entries(commandGroups).map(
        async ([title, group]) =>
          [title, await Promise.all(Object.values(group).map((load) => load()))] as const,
      ),
    );
    const text = programHelp(Object.fromEntries(groups));
    return done({ help: text }, () => text);
  },
});
