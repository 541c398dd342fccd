/** Arguments and options that many commands share. */
import type { ArgumentSpec, OptionSpec } from './command.ts';

export const oneMachine = {
  help: 'Name of the machine.',
  complete: 'machine',
} as const satisfies ArgumentSpec;

export const manyMachines = {
  help: 'Names, patterns such as "web*", or tag:TAG.',
  complete: 'machine',
  repeated: true,
  optional: true,
} as const satisfies ArgumentSpec;

/** For commands that watch. */
export const anyMachines = {
  help: 'Names or patterns such as "web*"; none: every machine that you may see.',
  complete: 'machine',
  repeated: true,
  optional: true,
} as const satisfies ArgumentSpec;

export const allMachines = {
  kind: 'flag',
  short: 'a',
  help: 'Every machine that you may see.',
} as const satisfies OptionSpec;

export const withoutAsking = { kind: 'flag', short: 'y', help: 'Do not ask.' } as const satisfies OptionSpec;
