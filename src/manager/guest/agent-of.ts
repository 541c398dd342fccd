/** The guest agent of a machine, for calls of users, and its failures in words for them. */
import type { CommandFailure, CommandResult } from '../../qmp/command-result.ts';
import type { Agent } from '../lifecycle/agent.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { failure, success, type Outcome } from '../outcome.ts';

/** SECURITY: promise 5. Nobody is in a guest whose start may not have been finished. */
export function agentOf(machine: Machine): Outcome<Agent> {
  const session = machine.session();
  if (!session.ok) return session;
  const agent = machine.run?.agent;
  if (agent?.there === true) return success(agent);
  return failure(
    'request-invalid',
    `machine "${machine.name}" has no channel for a guest agent`,
    'set `agent: true` in its definition, and start it anew',
  );
}

export function agentFailure(
  machine: Machine,
  { code, message }: CommandFailure,
): ReturnType<typeof failure> {
  const hint =
    code === 'qmp-error'
      ? 'these are the words of the agent in the guest'
      : 'is the agent there and does it run? In Debian: apt install qemu-guest-agent';
  return failure('agent-failed', `machine "${machine.name}": ${message}`, hint);
}

/** What the agent answered, as the answer of a call. */
export async function askAgent<Value, Result>(
  machine: Machine,
  ask: (agent: Agent) => Promise<CommandResult<Value>>,
  answer: (value: Value) => Result,
): Promise<Outcome<Result>> {
  const agent = agentOf(machine);
  if (!agent.ok) return agent;
  const result = await ask(agent.value);
  return result.ok ? success(answer(result.value)) : agentFailure(machine, result);
}
