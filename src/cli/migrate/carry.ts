/** Carries the frames of a move between the two managers, unread, until it is over; the last word of the one it leaves is for us. */
import type { MoveEnd } from '../../api/migration-contract.ts';
import type { MoveStream } from '../../api/move-stream.ts';

const isEnd = (value: unknown): value is MoveEnd =>
  typeof value === 'object' &&
  value !== null &&
  ['done', 'ended'].includes(String(Reflect.get(value, 'kind')));

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The last word of the side that takes it; the other one has an answer to it. */
const isLast = (value: unknown): boolean =>
  ['running', 'failed'].includes(String(Reflect.get(Object(value), 'kind')));

/** Undefined: one of the two connections ended before it was said how it ends. */
export async function carry(from: MoveStream, to: MoveStream): Promise<MoveEnd | undefined> {
  let end: MoveEnd | undefined;
  let answered = false;
  const out = async (): Promise<void> => {
    for await (const message of from) {
      if (message.kind === 'bytes') await to.send(message.bytes);
      else {
        const value = parse(message.text);
        if (isEnd(value)) {
          end = value;
          break;
        }
        to.sendText(message.text);
      }
    }
    to.close();
  };
  const back = async (): Promise<void> => {
    for await (const message of to)
      if (message.kind === 'text') {
        answered ||= isLast(parse(message.text));
        from.sendText(message.text);
      }
    if (answered) from.closeSoon();
    else from.close();
  };
  await Promise.all([out(), back()]);
  from.close();
  return end;
}
