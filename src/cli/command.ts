/** A command is data and a handler that returns data: help, parsing, completion and the manual page come from the data. */
import type { ApiFault } from '../api/errors.ts';
import type { Context } from './context.ts';
import type { Style } from './render/style.ts';

/** What a word may be, for completion. */
export type Completion = 'machine' | 'host' | 'file' | 'directory' | 'none' | readonly string[];

export interface ArgumentSpec {
  readonly help: string;
  readonly complete: Completion;
  readonly optional?: boolean;
  /** Takes this word and all that follow. */
  readonly repeated?: boolean;
  /** From here on every word is taken as it is, also one that begins with "-"; `rest`: from the word behind its first on. */
  readonly verbatim?: boolean | 'rest';
}
export type ArgumentSpecs = Readonly<Record<string, ArgumentSpec>>;

export type OptionSpec = {
  readonly help: string;
  readonly short?: string;
} & (
  | { readonly kind: 'flag' }
  | {
      /** `texts` may be given several times; `duration` is milliseconds. */
      readonly kind: 'text' | 'texts' | 'number' | 'duration';
      /** What stands for the value in the help: `TIME`. */
      readonly value: string;
      readonly complete?: Completion;
    }
);
export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

type ArgumentValue<Spec extends ArgumentSpec> = Spec extends { repeated: true }
  ? readonly string[]
  : Spec extends { optional: true }
    ? string | undefined
    : string;

type OptionValue<Spec extends OptionSpec> = Spec['kind'] extends 'flag'
  ? boolean
  : Spec['kind'] extends 'texts'
    ? readonly string[]
    : (Spec['kind'] extends 'text' ? string : number) | undefined;

export interface Input<Arguments extends ArgumentSpecs, Options extends OptionSpecs> {
  readonly arguments: { readonly [Name in keyof Arguments]: ArgumentValue<Arguments[Name]> };
  readonly options: { readonly [Name in keyof Options]: OptionValue<Options[Name]> };
}

/** The same when the command is not known by its type. */
export interface ParsedInput {
  readonly arguments: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly options: Readonly<Record<string, string | number | boolean | readonly string[] | undefined>>;
}

/** A fault as the API gives it, or one that the CLI found itself. */
export type CommandFault = Pick<ApiFault, 'message' | 'hint'> &
  Partial<ApiFault> & {
    readonly file?: string;
    /** Lines of the file around the fault. */
    readonly excerpt?: string;
  };

/** What came of a command. `data` is what `--json` prints; undefined where all was printed as it came. */
export type CommandResult =
  | {
      readonly ok: true;
      readonly data: unknown;
      readonly exit: number;
      readonly text: (style: Style) => string;
    }
  | { readonly ok: false; readonly exit: number; readonly faults: readonly CommandFault[] };

export interface Example {
  readonly line: string;
  readonly meaning: string;
}

export interface CommandData<
  Arguments extends ArgumentSpecs = ArgumentSpecs,
  Options extends OptionSpecs = OptionSpecs,
> {
  readonly name: string;
  readonly summary: string;
  /** More than the summary, where there is more to say. */
  readonly details?: string;
  readonly arguments: Arguments;
  readonly options: Options;
  readonly examples: readonly Example[];
  /** Exit statuses that this command has beside the common ones. */
  readonly exits?: Readonly<Record<number, string>>;
}

interface TypedCommand<Arguments extends ArgumentSpecs, Options extends OptionSpecs> extends CommandData<
  Arguments,
  Options
> {
  run(context: Context, input: Input<Arguments, Options>): Promise<CommandResult>;
}

export interface Command extends CommandData {
  run(context: Context, input: ParsedInput): Promise<CommandResult>;
}

/** Gives the handler its typed input: what parsing by this very data yields. */
export function defineCommand<const Arguments extends ArgumentSpecs, const Options extends OptionSpecs>(
  command: TypedCommand<Arguments, Options>,
): Command {
  return command;
}
