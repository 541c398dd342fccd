/** One call for each of several machines, side by side, a line for each as it comes. */
import type { Reply } from '../api/client.ts';
import type { ApiFault } from '../api/errors.ts';
import type { CommandResult } from './command.ts';
import type { Context } from './context.ts';
import { withMemoryProgress } from './memory-progress.ts';
import { exitOfFaults, worstExit } from './exit-status.ts';
import { escapeLine } from './render/escape.ts';
import { renderFaults } from './render/faults.ts';
import type { Style } from './render/style.ts';
import { done } from './results.ts';
import { withNearestName } from './select-machines.ts';

/** What the manager works on at once for one command; more would only wait there. */
const atOnce = 16;

type Row<Result> =
  | { readonly name: string; readonly ok: true; readonly result: Result }
  | { readonly name: string; readonly ok: false; readonly faults: readonly ApiFault[] };

export interface EachOptions<Result> {
  readonly names: readonly string[];
  /** For the line of progress: `starting`. */
  readonly doing: string;
  readonly call: (name: string) => Promise<Reply<Result>>;
  /** Memory is written or read, which takes its time: of one machine the line of progress tells how far it is. */
  readonly memory?: boolean;
  /** What to print of a success; without a line feed at its end. */
  readonly line: (result: Result, style: Style) => string;
  /** Exit status of a success; default 0. */
  readonly exit?: (result: Result) => number;
}

/** Runs `work` on every item, `limit` of them at a time; results in the order of the items. */
export async function mapBounded<Item, Result>(
  items: readonly Item[],
  limit: number,
  work: (item: Item) => Promise<Result>,
): Promise<readonly Result[]> {
  const results: Result[] = [];
  const waiting = items.entries();
  const worker = async (): Promise<void> => {
    for (const [index, item] of waiting) results[index] = await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
  return results;
}

function printRow<Result>(context: Context, row: Row<Result>, options: EachOptions<Result>): void {
  if (context.json) return;
  if (!row.ok) {
    const subject = options.names.length > 1 ? row.name : '';
    context.warn(renderFaults(row.faults, context.errorStyle, subject));
  } else if (!context.quiet) {
    context.print(`${options.line(row.result, context.style)}\n`);
  }
}

/** `--json` gives the API's answer for one machine, and for several a list of name, ok, and result or faults. */
export async function eachMachine<Result>(
  context: Context,
  options: EachOptions<Result>,
): Promise<CommandResult> {
  const { names, doing, call, exit = () => 0 } = options;
  let left = names.length;
  const [only] = names;
  const label = (): string => (names.length === 1 ? `${doing} ${only ?? ''}` : `${doing} ${left} machines`);
  const rows = await context.progressing(label(), (progress) =>
    mapBounded(names, atOnce, async (name): Promise<Row<Result>> => {
      const called =
        options.memory === true && names.length === 1
          ? withMemoryProgress(context, name, call(name), (text) => {
              progress.label(label() + text);
            })
          : call(name);
      const reply = await withNearestName(context, name, await called);
      const row: Row<Result> = reply.ok
        ? { name, ok: true, result: reply.result }
        : { name, ok: false, faults: reply.faults };
      printRow(context, row, options);
      left -= 1;
      progress.label(label());
      return row;
    }),
  );
  if (names.length === 0 && !context.json && !context.quiet) context.print('Nothing to do.\n');
  const status = worstExit(rows.map((row) => (row.ok ? exit(row.result) : exitOfFaults(row.faults))));
  const [first] = rows;
  if (context.json && rows.length === 1 && first !== undefined && !first.ok)
    return { ok: false, faults: first.faults, exit: status };
  return done(rows.length === 1 && first?.ok === true ? first.result : rows, () => '', status);
}

/** `web: started`. */
export const outcomeLine = (
  { name, outcome }: { readonly name: string; readonly outcome: string },
  style: Style,
): string => `${style.bold(escapeLine(name))}: ${escapeLine(outcome)}`;
