/**
 * QEMU's command line, one option at a time. Whatever reaches a value passes through here, so that no string of a user
 * can become a second key, a second option or an escape.
 */
import { withoutValue } from './passthrough/qemu-options.ts';

/** An option of QEMU and its value, where it takes one. */
export type Option = readonly [name: string, value?: string];

/** Text of a user in a value of an option: any printable character. */
export class FreeText {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }

  toJSON(): string {
    return this.text;
  }
}

export const freeText = (text: string | undefined): FreeText | undefined =>
  text === undefined ? undefined : new FreeText(text);

/** What an option in JSON holds; a bigint is a number of 64 bits. */
export type JsonValue =
  | string
  | FreeText
  | number
  | bigint
  | boolean
  | null
  | readonly JsonValue[]
  | { readonly [key: string]: JsonValue | undefined };

/** A string that would be more than one value. A definition that passed its schema has none, so this is a bug. */
export class UnsafeTokenError extends Error {
  constructor(option: string, text: string) {
    super(`${option}: ${JSON.stringify(text.slice(0, 80))} is not a plain value of QEMU's command line`);
    this.name = 'UnsafeTokenError';
  }
}

// SECURITY: rule YAML. No comma, equals sign, quote, space or control character: nothing here can start another key.
const plain = /^[A-Za-z0-9._:/+-]*$/;
const controls = /[\u0000-\u001f\u007f]/;

function checkPlain(option: string, text: string): string {
  if (!plain.test(text)) throw new UnsafeTokenError(option, text);
  return text;
}

function checkText(option: string, text: string): string {
  // SECURITY: rule YAML. NUL would end the argument, a newline would forge a line in the log.
  if (controls.test(text)) throw new UnsafeTokenError(option, text);
  return text;
}

/** `-name value` where the value is one free text (the kernel's command line): control characters are refused. */
export function textOption(name: string, text: string): Option {
  return [name, checkText(name, text)];
}

/** SECURITY: rule YAML. A comma is doubled, by which QEMU's parser takes it for text (util/qemu-option.c, get_opt_value). */
function valueOf(name: string, value: string | number | FreeText): string {
  if (!(value instanceof FreeText)) return checkPlain(name, String(value));
  return checkText(name, value.text).replaceAll(',', ',,');
}

/** `-name first,key=value,…` for options that take no JSON in QEMU 7.2. Unset values are left out, a list is its key again and again. */
export function keyOption(
  name: string,
  first: string | null,
  values: Readonly<Record<string, string | number | FreeText | readonly string[] | undefined>> = {},
): Option {
  const pairs = Object.entries(values)
    .flatMap(([key, value]) =>
      value === undefined || typeof value !== 'object' || value instanceof FreeText
        ? [[key, value] as const]
        : value.map((one) => [key, one] as const),
    )
    .flatMap(([key, value]) =>
      value === undefined ? [] : [`${checkPlain(name, key)}=${valueOf(name, value)}`],
    );
  return [name, [...(first === null ? [] : [checkPlain(name, first)]), ...pairs].join(',')];
}

function checkJson(option: string, value: JsonValue | undefined): void {
  if (typeof value === 'string') checkPlain(option, value);
  else if (value instanceof FreeText) checkText(option, value.text);
  else if (typeof value === 'object' && value !== null)
    for (const [key, child] of Object.entries<JsonValue | undefined>(value)) {
      checkPlain(option, key);
      checkJson(option, child);
    }
}

/** `-name {JSON}` (QEMU 6.1 and later for -device, -object, -netdev and -blockdev). Unset values are left out. */
export function jsonOption(name: string, value: { readonly [key: string]: JsonValue | undefined }): Option {
  checkJson(name, value);
  // No text has a NUL, so what stands between two of them is a number of ours.
  const text = JSON.stringify(value, (_, child: unknown) =>
    typeof child === 'bigint' ? `\0${child}\0` : child,
  );
  return [name, text.replaceAll(/"\\u0000(\d+)\\u0000"/g, '$1')];
}

function shellQuoted(word: string): string {
  return /^[A-Za-z0-9._:/+=,@%-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The command line for a reader: the binary, then one option with its value on a line, quoted for a shell. */
export function argvLines(launch: { readonly binary: string; readonly argv: readonly string[] }): string[] {
  const lines = [shellQuoted(launch.binary)];
  const words = [...launch.argv];
  for (let word = words.shift(); word !== undefined; word = words.shift()) {
    const value = withoutValue.has(word.replace(/^--?/, '')) ? undefined : words.shift();
    lines.push(value === undefined ? word : `${word} ${shellQuoted(value)}`);
  }
  return lines;
}
