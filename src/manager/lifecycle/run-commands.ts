/** The QMP commands of a definition (`qemu.qmp`), given at their time after a start. */
import type { MachineDefinition } from '../../definition/schema.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { failure, success, type Outcome } from '../outcome.ts';

const deadlineMs = 30_000;

/** In their order; the first that fails ends it. What of them is refused, the plan has said. */
export async function runCommands(
  session: QmpSession,
  { name, qemu }: MachineDefinition,
  when: 'paused' | 'running',
): Promise<Outcome<undefined>> {
  for (const [index, command] of qemu.qmp.entries()) {
    if (command.when !== when) continue;
    const result = await session.execute(command.execute, command.arguments, { timeoutMs: deadlineMs });
    if (result.ok) continue;
    return failure(
      'qemu-refused',
      `machine "${name}" was not started: qemu.qmp[${index}] (${command.execute}): ${result.message}`,
      '`qward show` has the command; QMP tells what it takes: `qward qmp NAME query-qmp-schema`',
    );
  }
  return success(undefined);
}
