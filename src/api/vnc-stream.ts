/** The screen of a machine as bytes of RFB (RFC 6143), to be joined to a viewer. */
import type { Duplex } from 'node:stream';
import type { Calls, ConsoleNotice } from './calls.ts';
import { callRequest } from './call-request.ts';
import { readReply, type Reply } from './client.ts';
import { endpoints } from './endpoints.ts';
import type { EventStream } from './streams.ts';
import { noticedMessages, openMessageStream, type NoticedMessage } from './web-socket.ts';

export type VncMessage = NoticedMessage<'screen', ConsoleNotice>;

export interface VncStream extends EventStream<VncMessage> {
  /** What the viewer says. Resolves when it is on its way: who waits for it is held up by a machine that does not read. */
  write(bytes: Uint8Array): Promise<void>;
}

export async function openVnc(
  connect: () => Duplex,
  input: Calls['vnc']['input'],
): Promise<Reply<VncStream>> {
  const stream = await openMessageStream(connect, callRequest(endpoints.vnc, input).path);
  if ('status' in stream) return readReply(stream);
  return {
    ok: true,
    result: {
      [Symbol.asyncIterator]: () => noticedMessages<'screen', ConsoleNotice>(stream, 'screen'),
      write: (bytes) => stream.send(bytes),
      close: () => stream.close(),
    },
  };
}
