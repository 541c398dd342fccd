/** The ways in which a handler ends. */
import type { Reply } from '../api/client.ts';
import type { CommandFault, CommandResult } from './command.ts';
import { exitOfFaults } from './exit-status.ts';
import type { Style } from './render/style.ts';

export function done(data: unknown, text: (style: Style) => string, exit = 0): CommandResult {
  return { ok: true, data, text, exit };
}

/** Everything was printed as it came. */
export function printed(exit = 0): CommandResult {
  return { ok: true, data: undefined, text: () => '', exit };
}

export function failed(faults: readonly CommandFault[], exit = exitOfFaults(faults)): CommandResult {
  return { ok: false, faults, exit };
}

export function usage(message: string, hint = ''): CommandResult {
  return { ok: false, faults: [{ message, hint }], exit: 2 };
}

/** The result of one call, printed by `text`, or its faults. */
export function fromReply<Result>(
  reply: Reply<Result>,
  text: (result: Result, style: Style) => string,
): CommandResult {
  return reply.ok ? done(reply.result, (style) => text(reply.result, style)) : failed(reply.faults);
}
