/** open: one more file, or one more TAP device, card on a managed network or USB device, for a machine that runs, by the rules of a launch. */
import { fstatSync } from 'node:fs';
import { isAlive } from '../../linux/process.ts';
import type { BrokerRequest } from '../../protocol/broker.ts';
import { admitDescriptor } from '../../policy/admit.ts';
import { admitRawIo, admitRelaxations } from '../../policy/admit-relaxations.ts';
import { refuse, type BrokerContext, type HandlerOutcome } from '../context.ts';
import { openDescriptors } from '../open-descriptors.ts';
import { groundsOf } from '../open-file.ts';
import { placesOf } from '../places.ts';

type OpenRequest = Extract<BrokerRequest, { readonly call: 'open' }>;

export async function handleOpen(context: BrokerContext, request: OpenRequest): Promise<HandlerOutcome> {
  const { machine } = request;
  const record = context.records.read(machine);
  if (record?.launch.program !== 'qemu' || !isAlive(record.pid, record.startTime))
    return refuse('machine-not-running', `machine "${machine}" does not run`, 'start it');
  const policy = context.readPolicy();
  if (!policy.ok) return policy;
  const grounds = groundsOf(context, machine, policy.policy);
  const descriptors = [request.descriptor];
  // SECURITY: promise 6. What has the capability gets no block device later that it would not have got at its launch.
  const barred = [
    ...admitRawIo({ ...record.launch, descriptors }, policy.policy, grounds.roots),
    ...admitRelaxations({ ...record.launch, descriptors, relaxed: [] }, policy.policy, grounds.roots),
  ];
  const refusals = [...admitDescriptor(request.descriptor, grounds), ...barred];
  if (refusals.length > 0) return { ok: false, refusals };
  // The network stays as long as the machine runs.
  const network = request.descriptor.kind === 'card' ? request.descriptor.network : '';
  if (context.networks.find(network) !== undefined) {
    const joined = [...new Set([...(record.joined ?? []), network])];
    context.records.write({ ...record, joined });
  }
  const opened = await openDescriptors(descriptors, {
    directory: placesOf(context, machine).directory,
    grounds,
    ids: { ...record, gid: record.gid ?? record.uid },
    means: context.means,
    records: context.records.list,
  });
  if (!opened.ok) return opened;
  const [descriptor = -1] = opened.fds;
  const { dev, ino } = fstatSync(descriptor);
  return { ok: true, result: { device: dev, inode: ino }, descriptor };
}
