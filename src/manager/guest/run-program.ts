/** A program in the guest, run by its agent until it ends. */
import { agentCommands, type ProgramRequest, type ProgramState } from '../../qmp/agent-commands.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';
import { pause } from '../pause.ts';
import { agentFailure, agentOf } from './agent-of.ts';

/** The agent tells of an end only when it is asked. */
const [firstPollMs, lastPollMs] = [20, 500];

export type ProgramEnd = Extract<ProgramState, { exited: true }>;

export interface ProgramLimits {
  readonly timeoutMs: number;
  /** The caller has gone. */
  readonly signal: AbortSignal;
}

/** The agent has no command that ends a program: one that is not waited for any more runs on. */
export async function runProgram(
  machine: Machine,
  request: ProgramRequest,
  { timeoutMs, signal }: ProgramLimits,
): Promise<Outcome<ProgramEnd>> {
  const found = agentOf(machine);
  if (!found.ok) return found;
  const agent = found.value;
  const giveUpAt = performance.now() + timeoutMs;
  const begun = await agentCommands.exec(agent, request);
  if (!begun.ok) return agentFailure(machine, begun);
  const pid = begun.value;
  for (let waitMs = firstPollMs; !signal.aborted; waitMs = Math.min(2 * waitMs, lastPollMs)) {
    await pause(waitMs, signal);
    const state = await agentCommands.execStatus(agent, { pid });
    if (!state.ok) return agentFailure(machine, state);
    if (state.value.exited) return success(state.value);
    if (performance.now() >= giveUpAt) break;
  }
  return failure(
    'timed-out',
    `machine "${machine.name}": the program runs on as process ${pid} of the guest; it had not ended within ${timeoutMs / 1000} s`,
    'wait longer with --timeout, or let it go to the background by itself',
  );
}
