/** Asking the guest agent to shut the guest down. */
import { AgentSession } from '../../qmp/agent-session.ts';
import { connectQemu } from './connect-qemu.ts';
import type { Run } from './run.ts';

/** An agent that runs answers at once; one that does not costs the guest this much of its time limit. */
const answerWithinMs = 2_000;

/** Whether the agent answers and has not refused. A shutdown that is begun is not answered (qemu-ga-ref, guest-shutdown). */
export async function askAgentToStop(run: Run, timeoutMs: number): Promise<boolean> {
  const { uid, sockets } = run.launched;
  if (sockets.agent === undefined) return false;
  const limit = { timeoutMs: Math.min(timeoutMs, answerWithinMs) };
  const alive = (): boolean => run.process.alive;
  const connected = await connectQemu({ path: sockets.agent, uid, signal: run.released, alive, ...limit });
  if (!connected.ok) return false;
  using session = new AgentSession(connected.socket);
  if (!(await session.execute('guest-ping', undefined, limit)).ok) return false;
  const asked = await session.execute('guest-shutdown', { mode: 'powerdown' }, limit);
  return asked.ok || asked.code !== 'qmp-error';
}
