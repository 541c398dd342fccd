/** The two streams of the API: events and the serial console. */
import type { Duplex } from 'node:stream';
import type { Calls, ConsoleNotice, HistoryEntry, MachineEvent } from './calls.ts';
import { callRequest } from './call-request.ts';
import { readReply, type Reply } from './client.ts';
import { endpoints } from './endpoints.ts';
import { parseTrusted } from './json.ts';
import { noticedMessages, openMessageStream, type MessageStream, type NoticedMessage } from './web-socket.ts';

/** Ends when the manager closes it or `close` is called. */
export interface EventStream<Event> extends AsyncIterable<Event> {
  close(): void;
}

export type ConsoleMessage = NoticedMessage<'output', ConsoleNotice>;

export interface ConsoleStream extends EventStream<ConsoleMessage> {
  /** What the user types; ignored by the manager where this client only watches. */
  write(bytes: Uint8Array): void;
}

type Connect = () => Duplex;

async function open(connect: Connect, path: string): Promise<Reply<MessageStream>> {
  const opened = await openMessageStream(connect, path);
  return 'status' in opened ? readReply(opened) : { ok: true, result: opened };
}

async function* texts<Message>(stream: MessageStream): AsyncGenerator<Message, void> {
  for await (const message of stream) if (message.kind === 'text') yield parseTrusted<Message>(message.text);
}

function eventStream<Message>(reply: Reply<MessageStream>): Reply<EventStream<Message>> {
  if (!reply.ok) return reply;
  const stream = reply.result;
  return {
    ok: true,
    result: { [Symbol.asyncIterator]: () => texts<Message>(stream), close: () => stream.close() },
  };
}

export async function openEvents(connect: Connect): Promise<Reply<EventStream<MachineEvent>>> {
  return eventStream(await open(connect, callRequest(endpoints.events, {}).path));
}

export async function openHistory(
  connect: Connect,
  input: Calls['historyFollow']['input'],
): Promise<Reply<EventStream<HistoryEntry>>> {
  return eventStream(await open(connect, callRequest(endpoints.historyFollow, input).path));
}

export async function openConsole(
  connect: Connect,
  input: Calls['console']['input'],
): Promise<Reply<ConsoleStream>> {
  const reply = await open(connect, callRequest(endpoints.console, input).path);
  if (!reply.ok) return reply;
  const stream = reply.result;
  return {
    ok: true,
    result: {
      [Symbol.asyncIterator]: () => noticedMessages<'output', ConsoleNotice>(stream, 'output'),
      write: (bytes) => stream.write(bytes),
      close: () => stream.close(),
    },
  };
}
