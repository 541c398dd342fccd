/** The screen of a machine as bytes of RFB (RFC 6143), to be joined to a viewer. */
import type { Duplex } from 'node:stream';
import type { Calls, ConsoleNotice } from './calls.ts';
import { callRequest } from './call-request.ts';
import { readReply, type Reply } from './client.ts';
import { endpoints } from './endpoints.ts';
import { parseTrusted } from './json.ts';
import type { EventStream } from './streams.ts';
import { openMessageStream } from './web-socket.ts';

export type VncMessage =
  | { readonly kind: 'screen'; readonly bytes: Uint8Array }
  | { readonly kind: 'notice'; readonly notice: ConsoleNotice };

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
      async *[Symbol.asyncIterator]() {
        for await (const message of stream) {
          if (message.kind === 'bytes') yield { kind: 'screen', bytes: message.bytes };
          else yield { kind: 'notice', notice: parseTrusted<ConsoleNotice>(message.text) };
        }
      },
      write: (bytes) => stream.send(bytes),
      close: () => stream.close(),
    },
  };
}
