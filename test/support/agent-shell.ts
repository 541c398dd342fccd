/** Commands in a guest by its agent, as a user gives them. */
import assert from 'node:assert/strict';
import type { Instance } from './instance.ts';

export async function untilAgentAnswers(instance: Instance, name: string): Promise<void> {
  for (let times = 0; (await instance.qward(['guest', name])).status !== 0; times += 1)
    assert.ok(times < 20, 'the agent does not come up');
}

/** What it prints; it must succeed. */
export async function agentShell(instance: Instance, name: string, script: string): Promise<string> {
  const { status, stdout, stderr } = await instance.qward(['exec', name, '/bin/sh', '-c', script]);
  assert.equal(status, 0, `${script}: ${stderr}`);
  return stdout.trim();
}
