/** The drives for discs of a machine, and what is in them. */
import type { CallResult } from '../../api/calls.ts';
import { commands } from '../../qmp/commands.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import type { Machine } from '../lifecycle/machine.ts';
import { success, type Outcome } from '../outcome.ts';
import { deviceId } from './change-medium.ts';

export async function listMedia(machine: Machine): Promise<Outcome<CallResult<'media'>>> {
  const session = machine.session();
  if (!session.ok) return session;
  const answer = await commands.queryBlock(session.value);
  if (!answer.ok) return monitorFailure(machine, answer);
  const drives = answer.value
    .filter(({ tray }) => tray)
    .map(({ device, trayOpen, locked }) => {
      const drive = deviceId(device);
      return { drive, path: machine.run?.media.of(drive)?.file.path ?? null, trayOpen, locked };
    });
  return success({ name: machine.name, drives });
}
