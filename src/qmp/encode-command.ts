import { nestsWithin } from './json-depth.ts';
import { maxCommandBytes, maxDepth } from './limits.ts';
import { printable } from './printable.ts';
import type { Fields } from './shape.ts';

export type EncodedCommand =
  | { readonly ok: true; readonly text: string }
  | { readonly ok: false; readonly message: string };

/**
 * One command as compact JSON: QEMU 7.2 reads its monitor one byte per system call. No newline follows: QEMU needs
 * none, and one left unread when it quits would turn its orderly close into a reset. The id comes last. What QEMU's
 * JSON reader would refuse is refused here, because QEMU answers it without an id, and that would end the session.
 */
export function encodeCommand(id: string, command: string, args?: Fields): EncodedCommand {
  if (!/^[A-Za-z0-9_.-]{1,128}$/.test(command))
    return refused(
      printable(command, 128),
      'a name has letters, digits, "-", "_" and ".", and 1 to 128 of them',
    );
  let readable = true;
  const check = (key: string, value: unknown): unknown => {
    if (!isReadable(key) || (typeof value === 'string' && !isReadable(value))) readable = false;
    return value;
  };
  const hasArgs = args !== undefined && Object.keys(args).length > 0;
  const message = hasArgs ? { execute: command, arguments: args, id } : { execute: command, id };
  const bytes = Buffer.from(JSON.stringify(message, check), 'utf8');
  if (!readable)
    return refused(command, 'its arguments contain NUL, half a surrogate pair or a Unicode noncharacter');
  if (bytes.length > maxCommandBytes)
    return refused(command, `it has ${bytes.length} bytes, at most ${maxCommandBytes} are sent`);
  if (!nestsWithin(bytes, maxDepth))
    return refused(command, `its arguments nest deeper than ${maxDepth} levels`);
  return { ok: true, text: bytes.toString('utf8') };
}

/** Facts of QEMU 7.2: surrogates and noncharacters are "not a valid Unicode character"; NUL would cut its C strings. */
function isReadable(text: string): boolean {
  return !/[\0\p{Surrogate}\p{Noncharacter_Code_Point}]/u.test(text);
}

function refused(command: string, why: string): EncodedCommand {
  return { ok: false, message: `QMP command "${command}" was not sent: ${why}` };
}
