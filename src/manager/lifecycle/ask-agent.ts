/** Asking the guest agent to shut the guest down. */
import { agentCommands } from '../../qmp/agent-commands.ts';
import type { Run } from './run.ts';

/** An agent that runs answers at once; one that does not costs the guest this much of its time limit. */
const answerWithinMs = 2_000;

/** Whether the agent answers and has not refused. A shutdown that is begun is not answered (qemu-ga-ref, guest-shutdown). */
export async function askAgentToStop({ agent }: Run, timeoutMs: number): Promise<boolean> {
  if (!agent.there) return false;
  const limit = { timeoutMs: Math.min(timeoutMs, answerWithinMs) };
  if (!(await agentCommands.ping(agent, undefined, limit)).ok) return false;
  const asked = await agent.execute('guest-shutdown', { mode: 'powerdown' }, limit);
  return asked.ok || asked.code !== 'qmp-error';
}
