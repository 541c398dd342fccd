import type { Socket } from 'node:net';
import type { VncStream } from '../../api/vnc-stream.ts';
import type { CommandResult } from '../command.ts';
import type { Context } from '../context.ts';
import { escapeLine } from '../render/escape.ts';
import { failed, printed } from '../results.ts';
import { joinViewer, type ViewEnd } from './join-viewer.ts';

/** One viewer; the result where the command ends with it. */
export async function viewOnce(
  context: Context,
  { name, socket, opened: ready }: { name: string; socket: Socket; opened: VncStream | undefined },
): Promise<CommandResult | undefined> {
  const opened =
    ready === undefined ? await context.client.vnc({ name }) : { ok: true as const, result: ready };
  if (!opened.ok) {
    socket.destroy();
    return failed(opened.faults);
  }
  const end: ViewEnd = await joinViewer(socket, opened.result);
  if (end.kind === 'ended') {
    if (!context.quiet) context.warn(`${escapeLine(end.message)}\n`);
    return printed();
  }
  if (end.kind === 'left') return undefined;
  return failed([{ code: 'manager-unreachable', message: 'the manager closed the view', hint: '' }]);
}
