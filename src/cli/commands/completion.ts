import { defineCommand } from '../command.ts';
import { loadCommands } from '../command-table.ts';
import { completionScript, shells } from '../complete/script.ts';
import { done, usage } from '../results.ts';

export const completion = defineCommand({
  name: 'completion',
  summary: 'Print a completion script for a shell.',
  arguments: { SHELL: { help: 'bash, zsh or fish.', complete: shells } },
  options: {},
  examples: [
    { line: 'source <(qward completion bash)', meaning: 'bash, in ~/.bashrc' },
    { line: 'source <(qward completion zsh)', meaning: 'zsh, in ~/.zshrc behind compinit' },
    { line: 'qward completion fish | source', meaning: 'fish, in ~/.config/fish/config.fish' },
  ],
  async run(_, { arguments: { SHELL: word } }) {
    const shell = shells.find((one) => one === word);
    if (shell === undefined) return usage(`completion: "${word}" is not one of ${shells.join(', ')}`);
    const script = completionScript(shell, await loadCommands());
    return done({ script }, () => script);
  },
});
