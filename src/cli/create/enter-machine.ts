/** What follows a machine that was made and started: a login in its guest, or a window with its screen. */
import type { Command, CommandResult } from '../command.ts';
import { ssh } from '../commands/ssh.ts';
import { vnc } from '../commands/vnc.ts';
import type { Context } from '../context.ts';

/** A guest without KVM needs minutes for its first start. */
const firstStartMs = 600_000;

/** What was made is told first. */
async function then(
  context: Context,
  made: CommandResult,
  command: Command,
  input: Parameters<Command['run']>[1],
): Promise<CommandResult> {
  if (made.ok) context.warn(made.text(context.errorStyle));
  return await command.run(context, input);
}

export const logIn = (context: Context, made: CommandResult, name: string): Promise<CommandResult> =>
  then(context, made, ssh, {
    arguments: { NAME: name, COMMAND: [] },
    options: { config: false, wait: firstStartMs },
  });

export const showScreen = (context: Context, made: CommandResult, name: string): Promise<CommandResult> =>
  then(context, made, vnc, {
    arguments: { NAME: name },
    options: { status: false, viewer: false, noViewer: false },
  });
