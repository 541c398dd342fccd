/** The words of a command as another host's shell is given them. Pure. */
import type { Command, OptionSpec } from '../command.ts';
import { globalOptions } from '../global-options.ts';
import { optionFlag, type Parsed } from '../parse-arguments.ts';

/** Without what is this host's: the name of the other one. */
export function wordsOf(command: Pick<Command, 'name' | 'options'>, input: Parsed): string[] {
  const specs: Readonly<Record<string, OptionSpec>> = { ...globalOptions, ...command.options };
  const options = Object.entries({ ...input.globals, ...input.options }).flatMap(([name, value]) => {
    if (name === 'host' || value === undefined || value === false) return [];
    const flag = optionFlag(name);
    if (value === true) return [flag];
    const texts = typeof value === 'object' ? value : [textOf(value, specs[name])];
    return texts.map((text) => `${flag}=${text}`);
  });
  return [command.name, ...options, '--', ...Object.values(input.arguments).flatMap((value) => value ?? [])];
}

function textOf(value: string | number, spec: OptionSpec | undefined): string {
  if (spec?.kind !== 'duration' || typeof value === 'string') return String(value);
  return value % 1000 === 0 ? `${value / 1000}s` : `${value}ms`;
}

/** SECURITY: promise 4. Each is one word to the login shell there, with nothing in it that the shell reads; fish reads `\\` between quotes, too. */
export const quotedForShell = (words: readonly string[]): string =>
  words
    .map((word) =>
      /^[\w./-][\w./:=@%+,-]*$/.test(word)
        ? word
        : `'${word.replaceAll(/['\\]/g, (found) => `'\\${found}'`)}'`,
    )
    .join(' ');
