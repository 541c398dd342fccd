/** The reset button, also where a reboot of the guest ends the machine. */
import { commands } from '../../qmp/commands.ts';
import type { CommandResult } from '../../qmp/command-result.ts';
import type { QmpSession } from '../../qmp/session.ts';
import type { Run } from './run.ts';

/** SeaBIOS answers a warm reset with a reset of its own, in the first instants of the next boot; UEFI does not. */
const firmwareWithinMs = 10_000;
/** It may be more than one, close together. */
const settledAfterMs = 2_000;

/**
 * `stopsAtReboot`: as the definition says now. QEMU decides what a reset does when it is asked for, a user's as the
 * guest's (qemu_system_reset_request); so it is told to reset until the firmware has had its turn.
 */
export async function resetGuest(
  session: QmpSession,
  run: Run | undefined,
  stopsAtReboot: boolean,
): Promise<CommandResult<unknown>> {
  const told = run?.launched.launch.argv.some((argument) => argument.includes('reboot=shutdown')) === true;
  if (!told && !stopsAtReboot) return await commands.systemReset(session);
  const allowed = await commands.setAction(session, { reboot: 'reset' });
  if (!allowed.ok) return allowed;
  if (run !== undefined && stopsAtReboot) allowFirmware(run);
  return await commands.systemReset(session);
}

/** A guest that resets without end has no longer than the firmware. */
function allowFirmware(run: Run): void {
  const until = performance.now() + firmwareWithinMs;
  const end = (): void => {
    // Another reset of the user's has its own time.
    if (run.onGuestReset !== onGuestReset) return;
    run.onGuestReset = undefined;
    if (run.session !== undefined) void commands.setAction(run.session, { reboot: 'shutdown' });
  };
  let timer = setTimeout(end, firmwareWithinMs).unref();
  const onGuestReset = (): void => {
    clearTimeout(timer);
    timer = setTimeout(end, Math.max(0, Math.min(settledAfterMs, until - performance.now()))).unref();
  };
  run.onGuestReset = onGuestReset;
}
