/** One end of a move between hosts, at either manager: frames that are carried to the other as they are. */
import type { Duplex } from 'node:stream';
import type { Calls } from './calls.ts';
import { callRequest } from './call-request.ts';
import { readReply, type Reply } from './client.ts';
import { endpoints } from './endpoints.ts';
import { openMessageStream, type MessageStream } from './web-socket.ts';

export type MoveStream = MessageStream;

export async function openMoveStream<Name extends 'migrate' | 'arrive'>(
  connect: () => Duplex,
  name: Name,
  input: Calls[Name]['input'],
): Promise<Reply<MoveStream>> {
  const stream = await openMessageStream(connect, callRequest(endpoints[name], input).path);
  return 'status' in stream ? readReply(stream) : { ok: true, result: stream };
}
