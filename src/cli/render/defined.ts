/** What came of a definition. */
import type { CallResult } from '../../api/calls.ts';
import { escapeLine } from './escape.ts';
import type { Style } from './style.ts';

type Defined = Omit<CallResult<'define'>, 'outcome'> & { readonly outcome: string };

/** `web: defined`, and its notes beneath it. */
export function renderDefined({ name, outcome, notes }: Defined, style: Style, dryRun = false): string {
  const would = dryRun && outcome !== 'unchanged' ? 'would be ' : '';
  const said = outcome === 'unchanged' ? style.dim(outcome) : style.green(would + escapeLine(outcome));
  const lines = notes.map((note) => `  ${style.dim(escapeLine(note))}\n`);
  return `${style.bold(escapeLine(name))}: ${said}\n${lines.join('')}`;
}
