/** A moment at which the file systems of a guest are at rest, where its agent is there and does it. */
import { agentCommands } from '../../qmp/agent-commands.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { Run } from '../lifecycle/run.ts';
import { failure, type Outcome } from '../outcome.ts';

/** An agent that runs answers at once. */
const answerWithinMs = 3_000;

/** Whether they are frozen: before `work`, and never after it. A guest that was frozen by others stays so. */
export async function whileFrozen<Result>(
  machine: Machine,
  run: Run,
  work: (frozen: boolean) => Promise<Outcome<Result>>,
): Promise<Outcome<Result>> {
  const { agent } = run;
  const limit = { timeoutMs: answerWithinMs };
  if (!agent.there || !(await agentCommands.ping(agent, undefined, limit)).ok) return await work(false);
  // Noted first: a manager that dies is followed by one that thaws.
  if (run.hotplug.work !== undefined) run.hotplug.work = { ...run.hotplug.work, frozen: true };
  const kept = await machine.life.keepNote();
  if (!kept.ok) {
    if (run.hotplug.work !== undefined) run.hotplug.work = { ...run.hotplug.work, frozen: false };
    return kept;
  }
  const frozen = await agentCommands.freeze(agent, undefined);
  try {
    if (!frozen.ok) {
      // Some agents have no file system to freeze, and say so by their own words.
      if (frozen.code === 'qmp-error') return await work(false);
      return failure(
        'agent-failed',
        `machine "${machine.name}": ${frozen.message}`,
        'look at the agent in the guest',
      );
    }
    return await work(true);
  } finally {
    await thaw(run);
    if (run.hotplug.work !== undefined) run.hotplug.work = { ...run.hotplug.work, frozen: false };
  }
}

export async function thaw({ agent }: Run): Promise<void> {
  if (agent.there) await agentCommands.thaw(agent, undefined);
}
