/** open: one more file for a machine that runs, by the rules of a launch. */
import { fstatSync } from 'node:fs';
import { isAlive } from '../../linux/process.ts';
import type { FileRequest } from '../../protocol/broker.ts';
import { refuse, type BrokerContext, type HandlerOutcome } from '../context.ts';
import { openDescriptors } from '../open-descriptors.ts';
import { groundsOf } from '../open-file.ts';
import { placesOf } from '../places.ts';

export async function handleOpen(
  context: BrokerContext,
  machine: string,
  file: FileRequest,
): Promise<HandlerOutcome> {
  const record = context.records.read(machine);
  if (record?.launch.program !== 'qemu' || !isAlive(record.pid, record.startTime))
    return refuse('machine-not-running', `machine "${machine}" does not run`, 'start it');
  const policy = context.readPolicy();
  if (!policy.ok) return policy;
  const opened = await openDescriptors([{ kind: 'file', ...file, reopened: false }], {
    directory: placesOf(context, machine).directory,
    grounds: groundsOf(context, machine, policy.policy),
    ids: { ...record, gid: record.gid ?? record.uid },
    means: context.means,
  });
  if (!opened.ok) return opened;
  const [descriptor = -1] = opened.fds;
  const { dev, ino } = fstatSync(descriptor);
  return { ok: true, result: { device: dev, inode: ino }, descriptor };
}
