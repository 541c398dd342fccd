/** The first line that `qward dial-stdio` prints: that it is one, and for whom it acts. Pure. */
import { parseTrusted } from '../../api/json.ts';

export interface Greeting {
  /** The user that the sockets there see. */
  readonly uid: number;
  /** Whether it makes files for image jobs; not for accounts that may only use the sockets. */
  readonly files: boolean;
}

const protocol = 1;
const maxLineBytes = 4096;

export const greetingLine = (greeting: Greeting): string =>
  `qward-dial ${protocol} ${JSON.stringify(greeting)}\n`;

export type ReadGreeting =
  | { readonly kind: 'more' }
  | { readonly kind: 'greeting'; readonly greeting: Greeting; readonly rest: Buffer }
  | { readonly kind: 'wrong'; readonly message: string; readonly hint: string };

/** From all that has come so far. */
export function readGreeting(bytes: Buffer): ReadGreeting {
  const end = bytes.indexOf('\n');
  if (end === -1 && bytes.length < maxLineBytes) return { kind: 'more' };
  const line = bytes.toString('utf8', 0, Math.min(end === -1 ? bytes.length : end, maxLineBytes));
  const words = /^qward-dial (\d{1,4}) (\{.*\})$/.exec(line);
  if (words === null) return wrongLine(line);
  if (words[1] !== String(protocol))
    return {
      kind: 'wrong',
      message: `the qward there speaks version ${words[1] ?? ''} of the protocol, this one ${protocol}`,
      hint: 'Use the same version of qward on both hosts.',
    };
  const said = parseGreeting(words[2] ?? '');
  if (said === undefined) return wrongLine(line);
  const { uid, files } = said;
  const greeting = { uid: typeof uid === 'number' ? uid : -1, files: files === true };
  return { kind: 'greeting', greeting, rest: bytes.subarray(end + 1) };
}

function wrongLine(line: string): ReadGreeting {
  return {
    kind: 'wrong',
    message: `something else than qward answers there: ${JSON.stringify(line.slice(0, 60))}`,
    hint: 'Nothing may print anything before it: see the start files of the login shell there (.bashrc).',
  };
}

function parseGreeting(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    return parseTrusted<Record<string, unknown>>(text);
  } catch {
    return undefined;
  }
}
