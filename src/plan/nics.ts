/** Network cards: each is one TAP that the broker made, so QEMU needs no network of its own. */
import type { MachineDefinition, NicDefinition } from '../definition/schema.ts';
import { boards, busProperties, virtioDevice, type Place } from './boards.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import { stableMacAddress } from './mac-address.ts';
import { jsonOption, type JsonValue, type Option } from './options.ts';

function backend(nic: NicDefinition, table: DescriptorTable, vhostNet: boolean): Option {
  const subject = `nic ${nic.id}`;
  const fd = table.addTap(nic.bridge, { subject, reason: 'packets to and from the bridge' });
  const vhost =
    vhostNet && nic.model === 'virtio'
      ? table.addVhostNet({ subject, reason: 'the kernel carries the packets' })
      : undefined;
  return jsonOption('-netdev', {
    type: 'tap',
    id: `net.${nic.id}`,
    fd: String(fd),
    ...(vhost === undefined ? {} : { vhost: true, vhostfd: String(vhost) }),
  });
}

export function nicOptions(
  definition: MachineDefinition,
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
      backend(nic, table, facts.vhostNet),
      jsonOption('-device', {
        ...device,
        id: nic.id,
        netdev: `net.${nic.id}`,
        mac: nic.mac ?? stableMacAddress(definition.name, nic.id),
        bootindex,
        // Without a boot ROM where the machine does not boot from the card: less code that runs, a faster start.
        ...(board.pciBus !== null && !(nic.rom ?? bootindex !== undefined) ? { romfile: '' } : {}),
        rx_queue_size: nic.rxRing,
        tx_queue_size: nic.txRing,
      }),
    ];
  });
}
