/** Network cards: each is one TAP, or one socket for passt, that the broker made: QEMU needs no network of its own. */
import type { NicDefinition } from '../definition/schema.ts';
import {
  firstDescriptor,
  netSocketNames,
  type LaunchRequest,
  type NetSocketName,
} from '../protocol/launch.ts';
import { boards, busProperties, virtioDevice, type Place } from './boards.ts';
import type { SettledDefinition, SettledNic } from './default-cards.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import { stableMacAddress } from './mac-address.ts';
import { jsonOption, type JsonValue, type Option } from './options.ts';

interface Card {
  readonly machine: string;
  readonly nic: SettledNic;
  readonly index: number;
}

export const macOf = (machine: string, { id, mac }: NicDefinition): string =>
  mac ?? stableMacAddress(machine, id);

function backend({ machine, nic, index }: Card, table: DescriptorTable, vhostNet: boolean): Option {
  const subject = `nic ${nic.id}`;
  if (nic.kind === 'user') return userBackend({ machine, nic, index }, table);
  const fd =
    nic.kind === 'bridge'
      ? table.addTap(nic.bridge, { subject, reason: 'packets to and from the bridge' })
      : table.addCard(
          { network: nic.network, nic: nic.id, mac: macOf(machine, nic) },
          { subject, reason: 'packets to and from the network, with its own addresses alone' },
        );
  const more = Array.from({ length: (nic.queues ?? 1) - 1 }, () =>
    table.addQueue(fd, { subject, reason: 'packets of further CPUs of the guest' }),
  );
  const fds = [fd, ...more];
  const vhosts =
    vhostNet && nic.model === 'virtio'
      ? fds.map(() => table.addVhostNet({ subject, reason: 'the kernel carries the packets' }))
      : [];
  const several = fds.length > 1 ? 's' : '';
  return jsonOption('-netdev', {
    type: 'tap',
    id: `net.${nic.id}`,
    [`fd${several}`]: fds.join(':'),
    ...(vhosts.length === 0 ? {} : { vhost: true, [`vhostfd${several}`]: vhosts.join(':') }),
  });
}

/** One interrupt for each direction of each queue, one for its changes, and one for the device's; virtio-mmio has but one. */
function queueProperties(nic: SettledNic, isPci: boolean): Record<string, JsonValue> {
  const queues = 'queues' in nic ? (nic.queues ?? 1) : 1;
  if (queues === 1) return {};
  return { mq: true, ...(isPci ? { vectors: 2 * queues + 2 } : {}) };
}

/** QEMU listens, and the network helper comes, goes and comes again. */
function userBackend({ nic, index }: Card, table: DescriptorTable): Option {
  const name = netSocketNames[index];
  if (name === undefined)
    throw new RangeError(`${index}: a machine has ${netSocketNames.length} cards at most`);
  const fd = table.addSocket(name, { subject: `nic ${nic.id}`, reason: 'packets to and from passt' });
  return jsonOption('-netdev', {
    type: 'stream',
    id: `net.${nic.id}`,
    server: true,
    addr: { type: 'fd', str: String(fd) },
  });
}

export function nicOptions(
  definition: SettledDefinition,
  table: DescriptorTable,
  facts: { readonly vhostNet: boolean; readonly bootIndexes: ReadonlyMap<string, number> },
): readonly Option[] {
  const board = boards[definition.machine];
  return definition.nics.flatMap((nic, index) => {
    const place: Place = { kind: 'nic', index, count: definition.nics.length };
    const device: Record<string, JsonValue> =
      nic.model === 'virtio'
        ? virtioDevice(board, 'net', place)
        : { driver: nic.model, ...busProperties(board, place) };
    const bootindex = facts.bootIndexes.get(nic.id);
    return [
      backend({ machine: definition.name, nic, index }, table, facts.vhostNet),
      jsonOption('-device', {
        ...device,
        id: nic.id,
        netdev: `net.${nic.id}`,
        mac: macOf(definition.name, nic),
        bootindex,
        // Without a boot ROM where the machine does not boot from the card: less code that runs, a faster start.
        ...(board.pciBus !== null && !(nic.rom ?? bootindex !== undefined) ? { romfile: '' } : {}),
        rx_queue_size: nic.rxRing,
        tx_queue_size: nic.txRing,
        ...queueProperties(nic, board.pciBus !== null),
        host_mtu: nic.kind === 'bridge' ? nic.mtu : undefined,
      }),
    ];
  });
}

/** The cards of a launch on bridges of the host. The arguments are qward's own. */
export function bridgeCards({ argv, descriptors }: Pick<LaunchRequest, 'argv' | 'descriptors'>): readonly {
  readonly bridge: string;
  readonly mac: string;
}[] {
  const macs = new Map(
    argv.flatMap((word) => {
      const [, nic, mac] = /"netdev":"net\.([a-z0-9-]+)","mac":"([0-9a-f:]{17})"/.exec(word) ?? [];
      return nic === undefined || mac === undefined ? [] : [[nic, mac] as const];
    }),
  );
  return argv.flatMap((word) => {
    const [, nic = '', fd] = /^{"type":"tap","id":"net\.([a-z0-9-]+)","fds?":"(\d+)/.exec(word) ?? [];
    const descriptor = descriptors[Number(fd) - firstDescriptor];
    const mac = macs.get(nic);
    return descriptor?.kind === 'tap' && mac !== undefined ? [{ bridge: descriptor.bridge, mac }] : [];
  });
}

/** The cards of a launch that wait for a network helper, each with its socket. The arguments are qward's own. */
export function streamCards({
  argv,
  descriptors,
}: LaunchRequest): readonly { readonly nic: string; readonly socket: NetSocketName }[] {
  return argv.flatMap((word, index) => {
    const [, nic, fd] = /^{"type":"stream","id":"net\.([a-z0-9-]+)",.*"str":"(\d+)"}}$/.exec(word) ?? [];
    if (argv[index - 1] !== '-netdev' || nic === undefined) return [];
    const descriptor = descriptors[Number(fd) - firstDescriptor];
    const socket = netSocketNames.find((name) => descriptor?.kind === 'socket' && descriptor.name === name);
    return socket === undefined ? [] : [{ nic, socket }];
  });
}
