/** Standard input and output joined to a serial console. */
import { once } from 'node:events';
import type { ConsoleNotice } from '../../api/calls.ts';
import type { ConsoleStream } from '../../api/streams.ts';
import { untilEscape } from './escape-key.ts';
import { RawTerminal } from './raw-terminal.ts';

export interface AttachOptions {
  /** Byte of the key that detaches; null: none. */
  readonly escape: number | null;
  /** Whether what the user types goes to the guest. The escape key is obeyed in any case. */
  readonly writes: boolean;
  readonly notice: (notice: ConsoleNotice) => void;
}

/** detached: by the user. ended: by the machine, as a notice said. broken: the manager went away. */
export type AttachEnd = 'detached' | 'ended' | 'broken';

/** Passes bytes both ways until one side ends. The terminal is as it was afterwards. */
export async function attach(stream: ConsoleStream, options: AttachOptions): Promise<AttachEnd> {
  const { stdin, stdout } = process;
  using terminal = stdin.isTTY
    ? new RawTerminal(stdin, (text) => stdout.isTTY && stdout.write(text))
    : undefined;
  let end: AttachEnd = 'broken';
  const typed = (piece: Buffer): void => {
    const { bytes, escaped } = untilEscape(piece, terminal === undefined ? null : options.escape);
    if (options.writes && bytes.length > 0) stream.write(bytes);
    if (!escaped) return;
    end = 'detached';
    stream.close();
  };
  if (terminal !== undefined || options.writes) stdin.on('data', typed);
  try {
    for await (const message of stream) {
      if (message.kind === 'output') {
        terminal?.saw(message.bytes);
        if (!stdout.write(message.bytes)) await once(stdout, 'drain');
      } else {
        options.notice(message.notice);
        if (message.notice.notice === 'ended') end = 'ended';
      }
    }
  } finally {
    stdin.off('data', typed);
    stdin.pause();
    stream.close();
  }
  return end;
}
