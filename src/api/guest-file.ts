/** A file of a guest as a stream of bytes, by its agent. */
import type { Duplex } from 'node:stream';
import type { Calls, FileNotice } from './calls.ts';
import { callRequest } from './call-request.ts';
import { readReply, type Reply } from './client.ts';
import { endpoints } from './endpoints.ts';
import type { EventStream } from './streams.ts';
import { noticedMessages, openMessageStream, type NoticedMessage } from './web-socket.ts';

export type GuestFileMessage = NoticedMessage<'part', FileNotice>;

/** The file is whole, there as here, once the notice `done` has come. */
export interface GuestFileStream extends EventStream<GuestFileMessage> {
  /** A part of a file that is written, 64 KiB at most; an empty one ends it. Resolves when it is on its way. */
  write(bytes: Uint8Array): Promise<void>;
}

export async function openGuestFile(
  connect: () => Duplex,
  input: Calls['guestFile']['input'],
): Promise<Reply<GuestFileStream>> {
  const stream = await openMessageStream(connect, callRequest(endpoints.guestFile, input).path);
  if ('status' in stream) return readReply(stream);
  return {
    ok: true,
    result: {
      [Symbol.asyncIterator]: () => noticedMessages<'part', FileNotice>(stream, 'part'),
      write: (bytes) => stream.send(bytes),
      close: () => stream.close(),
    },
  };
}
