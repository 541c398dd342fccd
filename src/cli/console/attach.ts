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
  /** Told of the offset of the next byte, as far as the manager says it. */
  readonly seen?: (offset: number) => void;
}

/** detached: by the user. ended: by the machine, as a notice said. left: the manager goes down. broken: it went away. */
export type AttachEnd = 'detached' | 'ended' | 'left' | 'broken';

/** Passes bytes both ways until one side ends. The terminal is as it was afterwards. */
export async function attach(stream: ConsoleStream, options: AttachOptions): Promise<AttachEnd> {
  const { stdin, stdout } = process;
  using terminal = stdin.isTTY
    ? new RawTerminal(stdin, (text) => stdout.isTTY && stdout.write(text))
    : undefined;
  let end: AttachEnd = 'broken';
  let offset: number | undefined;
  const typed = (piece: Buffer): void => {
    const { bytes, escaped } = untilEscape(piece, terminal === undefined ? null : options.escape);
    if (options.writes && bytes.length > 0) stream.write(bytes);
    if (!escaped) return;
    end = 'detached';
    stream.close();
  };
  // A console before it, whose manager went away, has paused it.
  if (terminal !== undefined || options.writes) stdin.on('data', typed).resume();
  try {
    for await (const message of stream) {
      if (message.kind === 'output') {
        terminal?.saw(message.bytes);
        if (offset !== undefined) options.seen?.((offset += message.bytes.length));
        if (!stdout.write(message.bytes)) await once(stdout, 'drain');
      } else {
        offset = message.notice.offset ?? offset;
        options.notice(message.notice);
        if (message.notice.notice === 'ended') end = message.notice.goesOn === true ? 'left' : 'ended';
      }
    }
  } finally {
    stdin.off('data', typed);
    stdin.pause();
    stream.close();
  }
  return end;
}
