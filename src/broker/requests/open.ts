/** open: one more file for a machine that runs, by the rules of a launch. */
import { fstatSync } from 'node:fs';
import { isAlive } from '../../linux/process.ts';
import type { FileRequest } from '../../protocol/broker.ts';
import { admitRawIo } from '../../policy/admit-relaxations.ts';
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
  const grounds = groundsOf(context, machine, policy.policy);
  const descriptors = [{ kind: 'file', ...file, reopened: false }] as const;
  // SECURITY: promise 6. What has the capability gets no block device later that it would not have got at its launch.
  const refusals = admitRawIo({ ...record.launch, descriptors }, policy.policy, grounds.roots);
  if (refusals.length > 0) return { ok: false, refusals };
  const opened = await openDescriptors(descriptors, {
    directory: placesOf(context, machine).directory,
    grounds,
    ids: { ...record, gid: record.gid ?? record.uid },
    means: context.means,
  });
  if (!opened.ok) return opened;
  const [descriptor = -1] = opened.fds;
  const { dev, ino } = fstatSync(descriptor);
  return { ok: true, result: { device: dev, inode: ino }, descriptor };
}
