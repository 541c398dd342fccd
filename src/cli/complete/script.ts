/** Completion scripts by shell, from the data of the commands. */
import type { CommandData } from '../command.ts';
import { bashCompletion } from './bash.ts';
import { describeCommand } from './describe.ts';
import { fishCompletion } from './fish.ts';
import { zshCompletion } from './zsh.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

const writers = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

export function completionScript(shell: Shell, commands: readonly CommandData[]): string {
  return writers[shell](commands.map(describeCommand));
}
