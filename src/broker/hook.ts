/** Hooks: the administrator's own programs, each in a jail that shows the operating system and the hook, and nothing else. */
import { realpathSync } from 'node:fs';
import { faultOfOwnProgram } from '../linux/own-file.ts';
import { policyRefusal } from '../policy/refusals.ts';
import type { Refusal } from '../protocol/broker.ts';
import { hookProgram, hookStatusMark } from '../protocol/hook.ts';
import type { LaunchRequest } from '../protocol/launch.ts';

/** $0 and its arguments are the hook's; no word of a request is ever read as shell. */
const script = `"$0" "$@"; printf '\\n${hookStatusMark} %s\\n' "$?"`;

/** SECURITY: promise 4. A hook that any other than root could change, or put another file in the place of, is not run. */
export function refuseHook({ program, binary }: LaunchRequest): Refusal[] {
  const fault = program === 'hook' ? faultOfOwnProgram(binary) : undefined;
  return fault === undefined
    ? []
    : [policyRefusal(`the hook ${binary} is not run: ${fault.message}`, fault.cure, 'hooks')];
}

/** SECURITY: promise 1. What the jail shows and how the hook is run is the broker's alone to say. */
export function withShell(launch: LaunchRequest): LaunchRequest {
  if (launch.program !== 'hook') return launch;
  return {
    ...launch,
    binary: realpathSync('/bin/sh'),
    argv: ['-c', script, hookProgram, ...launch.argv],
    env: { PATH: '/usr/sbin:/usr/bin' },
    root: [
      { source: '/usr', target: '/usr' },
      { source: launch.binary, target: hookProgram },
    ],
  };
}
