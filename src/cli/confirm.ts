/** The question before something that cannot be undone. */
import type { CommandResult } from './command.ts';
import type { Context } from './context.ts';
import { escapeLine } from './render/escape.ts';
import { failed, usage } from './results.ts';

const shownNames = 8;

/** `web, db and 3 more`. */
export function nameList(names: readonly string[]): string {
  const shown = names.slice(0, shownNames).join(', ');
  return names.length > shownNames ? `${shown} and ${names.length - shownNames} more` : shown;
}

/** Asks on a terminal; off it `--yes` is needed. A result: it is not to be done, and that is what comes of the command. */
export function confirm(context: Context, question: string, yes: boolean): CommandResult | undefined {
  if (yes) return undefined;
  const { io } = context;
  if (!io.isTerminal(0) || !io.isTerminal(2))
    return usage(`${question} This is not a terminal, so nobody can be asked`, 'Add --yes.');
  io.write(2, `${escapeLine(question)} [y/N] `);
  const answer = io.readLine()?.trim().toLowerCase();
  return answer === 'y' || answer === 'yes' ? undefined : failed([{ message: 'nothing was done', hint: '' }]);
}
