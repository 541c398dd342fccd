/** QMP commands that a definition asks for, given at their time after a start: those of `qemu.qmp`, and those of keys. */
import type { MachineDefinition } from '../../definition/schema.ts';
import { commands } from '../../qmp/commands.ts';
import type { QmpSession } from '../../qmp/session.ts';
import { failure, success, type Outcome } from '../outcome.ts';

const deadlineMs = 30_000;

/** What QEMU has no argument for: cables that are out, before the guest looks. */
export async function pullCables(
  session: QmpSession,
  { name, nics }: MachineDefinition,
): Promise<Outcome<undefined>> {
  for (const { id, link } of nics) {
    if (link === 'up') continue;
    const result = await commands.setLink(session, { id, up: false });
    if (!result.ok)
      return failure(
        'monitor-failed',
        `machine "${name}" was not started: the cable of "${id}" did not come out: ${result.message}`,
        'try again',
      );
  }
  return success(undefined);
}

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
