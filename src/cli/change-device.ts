/** One change of what a running machine has, with the claims of its files, and what it says when it is done. */
import type { Reply } from '../api/client.ts';
import type { OwnFiles, Owned } from '../api/own-files.ts';
import type { CommandResult } from './command.ts';
import type { Context } from './context.ts';
import { withClaims } from './own-files.ts';
import { escapeLine } from './render/escape.ts';
import { done, failed } from './results.ts';
import { withNearestName } from './select-machines.ts';

export interface DeviceChange<Result> {
  /** `attaching data to web`. */
  readonly doing: string;
  /** `data is attached`. */
  readonly done: string;
  readonly call: () => Promise<Reply<Result>>;
  readonly withFiles: (files: OwnFiles) => Promise<Owned<Result>>;
}

export async function changeDevice<Result>(
  context: Context,
  name: string,
  change: DeviceChange<Result>,
): Promise<CommandResult> {
  const call = withClaims(context, change.call, change.withFiles);
  const { reply, notes } = await context.during(change.doing, call);
  const told = await withNearestName(context, name, reply);
  if (!told.ok) return failed(told.faults);
  const lines = [`${name}: ${change.done}`, ...notes.map((note) => `${name} ${note}`)];
  return done(told.result, () => `${lines.map(escapeLine).join('\n')}\n`);
}
