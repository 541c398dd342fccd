/** The images of each disk of a machine. */
import type { CallResult } from '../../api/calls.ts';
import { commands } from '../../qmp/commands.ts';
import { monitorFailure } from '../lifecycle/give-file.ts';
import type { Machine } from '../lifecycle/machine.ts';
import type { BlockWork } from './block-work.ts';
import { deviceId } from '../media/change-medium.ts';
import { failure, success, type Outcome } from '../outcome.ts';

export async function chainOf(machine: Machine): Promise<Outcome<CallResult<'chain'>>> {
  const { run, record, name } = machine;
  if (run === undefined) {
    if (record === null)
      return failure('machine-unknown', `machine "${name}" is not defined`, '`qward list --all`');
    const disks = record.definition.disks.map(({ id, path, format, backing }) => ({
      disk: id,
      size: null,
      images: [{ path, format }, ...backing],
    }));
    return success({ name, running: false, busy: null, disks });
  }
  const session = machine.session();
  if (!session.ok) return session;
  const drives = await commands.queryBlock(session.value);
  if (!drives.ok) return monitorFailure(machine, drives);
  const disks = run.hotplug.disks.map(({ id, layers }) => ({
    disk: id,
    size: drives.value.find(({ device }) => deviceId(device) === id)?.size ?? null,
    images: layers.map(({ path, format }) => ({ path, format })),
  }));
  return success({ name, running: true, busy: busyWith(run.hotplug.work), disks });
}

const busyWith = (work: BlockWork | undefined): CallResult<'chain'>['busy'] =>
  work === undefined
    ? null
    : { doing: work.doing, disk: work.disk, files: [...new Set(work.files.map(({ file }) => file.path))] };
