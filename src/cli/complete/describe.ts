/** The commands as a completion script needs them. */
import type { CommandData, Completion, OptionSpecs } from '../command.ts';
import { globalOptions } from '../global-options.ts';
import { optionFlag } from '../parse-arguments.ts';

export interface CompletedOption {
  /** `--timeout`, `-t`. */
  readonly flags: readonly string[];
  readonly help: string;
  /** Undefined for a flag. */
  readonly value: Completion | undefined;
}

export interface CompletedCommand {
  readonly name: string;
  readonly summary: string;
  /** What each word may be; the last also those behind it, where `repeated`. */
  readonly words: readonly Completion[];
  readonly repeated: boolean;
  readonly options: readonly CompletedOption[];
}

export function describeCommand(command: CommandData): CompletedCommand {
  const options: OptionSpecs = { ...command.options, ...globalOptions };
  const specs = Object.values(command.arguments);
  return {
    name: command.name,
    summary: command.summary,
    words: specs.map(({ complete }) => complete),
    repeated: specs.at(-1)?.repeated === true,
    options: Object.entries(options).map(([name, spec]) => ({
      flags: [optionFlag(name), ...(spec.short === undefined ? [] : [`-${spec.short}`])],
      help: spec.help,
      value: spec.kind === 'flag' ? undefined : (spec.complete ?? 'none'),
    })),
  };
}
