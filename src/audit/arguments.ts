/** QEMU's command line taken apart, as far as an audit needs it. The process may have rewritten it: nothing here throws. */
import { withoutValue } from '../plan/passthrough/qemu-options.ts';

export interface Argument {
  /** Without dashes. */
  readonly name: string;
  readonly value: string;
}

/** `args`: what follows the binary. A word that is no option is a disk image (`qemu disk.img`). */
export function parseArguments(args: readonly string[]): readonly Argument[] {
  const parsed: Argument[] = [];
  for (let index = 0; index < args.length; index += 1) {
    const word = args[index] ?? '';
    const name = /^--?(.+)$/.exec(word)?.[1];
    if (name === undefined) parsed.push({ name: 'hda', value: word });
    else if (withoutValue.has(name)) parsed.push({ name, value: '' });
    else {
      index += 1;
      parsed.push({ name, value: args[index] ?? '' });
    }
  }
  return parsed;
}

/** Keys of `first,key=value,…` (the first under `implied`) or of a JSON object, as text; `,,` is a comma. */
export function parseKeys(value: string, implied: string): ReadonlyMap<string, string> {
  if (value.startsWith('{')) return parseJson(value);
  const keys = new Map<string, string>();
  for (const [index, part] of value.replaceAll(',,', '\0').split(',').entries()) {
    const text = part.replaceAll('\0', ',');
    const equals = text.indexOf('=');
    if (equals > 0) keys.set(text.slice(0, equals), text.slice(equals + 1));
    else keys.set(index === 0 ? implied : text, index === 0 ? text : 'on');
  }
  return keys;
}

function parseJson(value: string): Map<string, string> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(value);
  } catch {
    return new Map();
  }
  if (typeof parsed !== 'object' || parsed === null) return new Map();
  return new Map(
    Object.entries(parsed).map(([key, child]) => [
      key,
      typeof child === 'string' ? child : (JSON.stringify(child) ?? ''),
    ]),
  );
}
