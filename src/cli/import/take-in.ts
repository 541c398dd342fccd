/** What is done with definitions that were made of foreign files: printed, checked, defined, started. */
import { existsSync } from 'node:fs';
import type { CallResult } from '../../api/calls.ts';
import type { Account } from '../../import/account.ts';
import type { CommandFault, CommandResult } from '../command.ts';
import { defineSource } from '../commands/define.ts';
import type { Context } from '../context.ts';
import { placeFaults } from '../definition-faults.ts';
import { exitOfFaults, worstExit } from '../exit-status.ts';
import { readVariables } from './foreign-files.ts';
import { renderAccount } from '../render/account.ts';
import { renderDefined } from '../render/defined.ts';
import { escapeLine, escapeLines } from '../render/escape.ts';
import { renderFaults } from '../render/faults.ts';
import { done, failed } from '../results.ts';

/** One machine of a foreign file. */
export interface Foreign {
  /** Empty for standard input. */
  readonly file: string;
  readonly name: string;
  /** The definition as YAML. */
  readonly source: string;
  readonly account: Account;
  /** The file of its UEFI variables elsewhere, as its document names it. */
  readonly variables?: string;
  /** What the numbers of the account count; default line. */
  readonly places?: 'line' | 'argument';
}

export interface TakeInOptions {
  readonly define: boolean;
  readonly start: boolean;
  readonly replace: boolean;
  readonly dryRun: boolean;
  /** Something left out is a failure. */
  readonly strict: boolean;
}

interface Row extends Foreign {
  readonly defined?: CallResult<'define'>;
  readonly started?: CallResult<'start'>;
  readonly faults?: readonly CommandFault[];
}

/** Names that two machines would have: which of them would count depends on chance. */
function doubles(found: readonly Foreign[]): readonly CommandFault[] {
  const first = new Map<string, Foreign>();
  return found.flatMap((one) => {
    const before = first.get(one.name);
    first.set(one.name, before ?? one);
    if (before === undefined) return [];
    const where = before.file === one.file ? 'an earlier document of it' : before.file;
    const message = `is called "${one.name}" here, as ${where} is`;
    return [{ file: one.file, message, hint: 'Import one of them by itself, with --name.' }];
  });
}

async function checkOrDefine(context: Context, one: Foreign, options: TakeInOptions): Promise<Row> {
  const { source, name, file } = one;
  const reply = options.dryRun
    ? await context.client.call('define', { source, replace: options.replace, dryRun: true })
    : await defineSource(context, source, options.replace);
  if (!reply.ok)
    return {
      ...one,
      faults: placeFaults(reply.faults, file === '' ? `${name}.yaml` : `${file} as YAML`, source),
    };
  if (options.dryRun) return { ...one, defined: reply.result };
  // A machine that was defined before has its own, which are newer.
  const lost = reply.result.outcome === 'defined' ? await takeVariables(context, one) : [];
  if (lost.length > 0) return { ...one, defined: reply.result, faults: lost };
  if (!options.start) return { ...one, defined: reply.result };
  const started = await context.client.call('start', { name });
  return started.ok
    ? { ...one, defined: reply.result, started: started.result }
    : { ...one, defined: reply.result, faults: started.faults };
}

/** Without them the guest may not find what it boots: a machine is not started then. */
async function takeVariables(context: Context, one: Foreign): Promise<readonly CommandFault[]> {
  if (one.variables === undefined || !existsSync(one.variables)) return [];
  const read = readVariables(one.variables);
  if ('message' in read) return [{ ...read, hint: `As root: qward nvram ${one.name} ${one.variables}` }];
  const reply = await context.client.call('setVariables', { name: one.name, variables: read.variables });
  return reply.ok ? [] : reply.faults;
}

function print(context: Context, row: Row, options: TakeInOptions): void {
  if (context.json) return;
  if (!context.quiet) context.warn(renderAccount(row, context.errorStyle));
  if (!context.quiet && row.defined !== undefined)
    context.print(renderDefined(row.defined, context.style, options.dryRun));
  if (!context.quiet && row.started !== undefined)
    context.print(`${context.style.bold(escapeLine(row.name))}: ${escapeLine(row.started.outcome)}\n`);
  if (row.faults !== undefined) context.warn(renderFaults(row.faults, context.errorStyle));
}

/** Every machine of the files; `faults` are of files of which nothing could be made. */
export async function takeIn(
  context: Context,
  found: readonly Foreign[],
  faults: readonly CommandFault[],
  options: TakeInOptions,
): Promise<CommandResult> {
  const twice = options.define ? doubles(found) : [];
  if (twice.length > 0) return failed([...faults, ...twice], 2);
  const rows: Row[] = [];
  for (const one of found) {
    const row = options.define
      ? await context.during(`importing ${one.name}`, checkOrDefine(context, one, options))
      : one;
    print(context, row, options);
    rows.push(row);
  }
  const wrong = rows.flatMap((row) => row.faults ?? []);
  const lost = options.strict && rows.some(({ account }) => account.unsupported > 0) ? [1] : [];
  const ofFiles = faults.length > 0 ? [exitOfFaults(faults)] : [];
  const exit = worstExit([...ofFiles, ...(wrong.length > 0 ? [exitOfFaults(wrong)] : []), ...lost]);
  if (context.json) return done({ machines: rows, faults }, () => '', exit);
  if (faults.length > 0) context.warn(renderFaults(faults, context.errorStyle));
  if (options.define) return done(undefined, () => '', exit);
  return done(undefined, () => found.map(({ source }) => escapeLines(source)).join('---\n'), exit);
}
