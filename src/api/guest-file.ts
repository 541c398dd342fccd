/** A file of a guest as a stream of bytes, by its agent. */
import type { Duplex } from 'node:stream';
import type { Calls, FileNotice } from './calls.ts';
import { callRequest } from './call-request.ts';
import { readReply, type Reply } from './client.ts';
import { endpoints } from './endpoints.ts';
import { parseTrusted } from './json.ts';
import type { EventStream } from './streams.ts';
import { openMessageStream } from './web-socket.ts';

export type GuestFileMessage =
  | { readonly kind: 'part'; readonly bytes: Uint8Array }
  | { readonly kind: 'notice'; readonly notice: FileNotice };

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
      async *[Symbol.asyncIterator]() {
        for await (const message of stream) {
          if (message.kind === 'bytes') yield { kind: 'part', bytes: message.bytes };
          else yield { kind: 'notice', notice: parseTrusted<FileNotice>(message.text) };
        }
      },
      write: (bytes) => stream.send(bytes),
      close: () => stream.close(),
    },
  };
}
