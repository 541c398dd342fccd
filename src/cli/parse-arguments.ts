/** Words of the command line → typed input, or one line that says what is wrong with them. Pure. */
import type { ArgumentSpec, ArgumentSpecs, OptionSpec, OptionSpecs, ParsedInput } from './command.ts';
import { nearest } from '../definition/suggest.ts';
import { parseDuration } from './duration.ts';

type Value = string | number | boolean | readonly string[];

export interface Parsed extends ParsedInput {
  readonly globals: Readonly<Record<string, Value | undefined>>;
}
export type ParseOutcome =
  | { readonly ok: true; readonly input: Parsed }
  | { readonly ok: false; readonly message: string };

/** What is wrong with the words; caught where parsing begins. */
class UsageFault extends Error {}

/** `timeoutMs`-style keys of the data are `--timeout-ms` on the command line. */
export const optionFlag = (name: string): string =>
  `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

function optionValue(flag: string, spec: OptionSpec, text: string): string | number {
  if (spec.kind === 'number') {
    const number = /^\d+$/.test(text) ? Number(text) : undefined;
    if (!Number.isSafeInteger(number) || number === undefined)
      throw new UsageFault(`${flag}: a whole number is expected, not "${text}"`);
    return number;
  }
  if (spec.kind === 'duration') {
    const milliseconds = parseDuration(text);
    if (milliseconds === undefined)
      throw new UsageFault(`${flag}: a time such as 30s, 500ms or 2m is expected, not "${text}"`);
    return milliseconds;
  }
  if (spec.kind === 'text' && Array.isArray(spec.complete) && !spec.complete.includes(text)) {
    const expected = spec.complete.join(', ');
    throw new UsageFault(`${flag}: "${text}" is not one of ${expected}`);
  }
  return text;
}

class Words {
  readonly positionals: string[] = [];
  readonly values: Record<string, Value> = {};
  readonly #specs: ReadonlyMap<string, readonly [string, OptionSpec]>;
  readonly #rest: string[];
  readonly #verbatimFrom: number;
  /** Behind so many words "--" is one itself. */
  readonly #separatedUntil: number;

  constructor(words: readonly string[], specs: OptionSpecs, args: readonly ArgumentSpec[]) {
    this.#rest = [...words];
    const verbatim = args.findIndex((spec) => spec.verbatim !== undefined);
    this.#separatedUntil = verbatim === -1 ? Number.POSITIVE_INFINITY : verbatim;
    this.#verbatimFrom = this.#separatedUntil + (args[verbatim]?.verbatim === 'rest' ? 1 : 0);
    this.#specs = new Map(
      Object.entries(specs).flatMap(([name, spec]) => {
        const flags = spec.short === undefined ? [optionFlag(name)] : [optionFlag(name), `-${spec.short}`];
        return flags.map((flag) => [flag, [name, spec] as const] as const);
      }),
    );
  }

  read(): this {
    for (let word = this.#rest.shift(); word !== undefined; word = this.#rest.shift()) {
      const isOption = word.length > 1 && word.startsWith('-');
      if (word === '--' && this.positionals.length <= this.#separatedUntil)
        this.positionals.push(...this.#rest.splice(0));
      else if (!isOption || this.positionals.length >= this.#verbatimFrom) this.positionals.push(word);
      else if (word.startsWith('--')) this.#long(word);
      else this.#short(word);
    }
    return this;
  }

  #long(word: string): void {
    const equals = word.indexOf('=');
    const flag = equals === -1 ? word : word.slice(0, equals);
    const given = equals === -1 ? undefined : word.slice(equals + 1);
    const [name, spec] = this.#find(flag);
    if (spec.kind === 'flag' && given !== undefined) throw new UsageFault(`${flag} takes no value`);
    this.#set(flag, name, spec, given);
  }

  #short(word: string): void {
    for (let at = 1; at < word.length; at += 1) {
      const flag = `-${word[at] ?? ''}`;
      const [name, spec] = this.#find(flag);
      if (spec.kind === 'flag') this.#set(flag, name, spec, undefined);
      else return this.#set(flag, name, spec, word.slice(at + 1) || undefined);
    }
  }

  #find(flag: string): readonly [string, OptionSpec] {
    const found = this.#specs.get(flag);
    if (found !== undefined) return found;
    const near = flag.startsWith('--') ? nearest(flag, [...this.#specs.keys()]) : undefined;
    throw new UsageFault(`no option ${flag}${near === undefined ? '' : `; did you mean ${near}?`}`);
  }

  #set(flag: string, name: string, spec: OptionSpec, given: string | undefined): void {
    if (spec.kind === 'flag') {
      this.values[name] = true;
      return;
    }
    const text = given ?? this.#rest.shift();
    if (text === undefined) throw new UsageFault(`${flag} needs a value: ${flag} ${spec.value}`);
    const value = optionValue(flag, spec, text);
    const before = this.values[name];
    if (spec.kind === 'texts') this.values[name] = [...(Array.isArray(before) ? before : []), String(value)];
    else this.values[name] = value;
  }
}

function nameArguments(specs: ArgumentSpecs, positionals: readonly string[]): Parsed['arguments'] {
  const rest = [...positionals];
  const named: Record<string, string | readonly string[] | undefined> = {};
  for (const [name, spec] of Object.entries<ArgumentSpec>(specs)) {
    if (spec.optional !== true && rest.length === 0) throw new UsageFault(`${name} is missing: ${spec.help}`);
    named[name] = spec.repeated === true ? rest.splice(0) : rest.shift();
  }
  if (rest.length > 0) throw new UsageFault(`"${rest[0] ?? ''}" is one word too many`);
  return named;
}

function withDefaults(specs: OptionSpecs, values: Readonly<Record<string, Value>>): Parsed['options'] {
  return Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => {
      const absent = spec.kind === 'flag' ? false : spec.kind === 'texts' ? [] : undefined;
      return [name, values[name] ?? absent];
    }),
  );
}

/** `--help` wins over everything that is missing or wrong. */
export function parseArguments(
  command: { readonly arguments: ArgumentSpecs; readonly options: OptionSpecs },
  globals: OptionSpecs,
  words: readonly string[],
): ParseOutcome {
  const specs = Object.values<ArgumentSpec>(command.arguments);
  try {
    const read = new Words(words, { ...globals, ...command.options }, specs).read();
    const given = withDefaults(globals, read.values);
    const named = given['help'] === true ? {} : nameArguments(command.arguments, read.positionals);
    return {
      ok: true,
      input: { arguments: named, options: withDefaults(command.options, read.values), globals: given },
    };
  } catch (error) {
    if (error instanceof UsageFault) return { ok: false, message: error.message };
    throw error;
  }
}
