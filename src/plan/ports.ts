/** Ports by which a guest speaks: further serial ports, virtio-serial, vsock. The serial console is in devices.ts. */
import { usbPort } from '../definition/usb-devices.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { boards, busProperties, extraPlace } from './boards.ts';
import { freeText, jsonOption, keyOption, type Option } from './options.ts';

/** Bytes of a guest's words that QEMU keeps, the last ones; a power of two. */
const ringBytes = 65_536;

/** SECURITY: promise 2. Nothing of the host is behind such a port: QEMU keeps what comes in memory of its own. */
function ring(id: string): Option {
  return keyOption('-chardev', 'ringbuf', { id: `port.${id}`, size: ringBytes });
}

function serialOptions(definition: MachineDefinition): readonly Option[] {
  let index = definition.console ? 1 : 0;
  return definition.serials.flatMap(({ id, type }) => {
    const chardev = `port.${id}`;
    switch (type) {
      case 'isa':
        index += 1;
        return [ring(id), jsonOption('-device', { driver: 'isa-serial', id, index: index - 1, chardev })];
      case 'usb': {
        const port = String(usbPort(definition, id));
        return [
          ring(id),
          jsonOption('-device', { driver: 'usb-serial', id, bus: 'ctl.usb.0', port, chardev }),
        ];
      }
      case 'pci': {
        const at = busProperties(boards[definition.machine], extraPlace(definition, `serial.${id}`));
        return [ring(id), jsonOption('-device', { driver: 'pci-serial', id, ...at, chardev })];
      }
    }
  });
}

function channelOptions({ channels }: MachineDefinition): readonly Option[] {
  return channels.flatMap(({ id, name }, index) => [
    ring(id),
    jsonOption('-device', {
      driver: 'virtserialport',
      id,
      bus: 'ctl.serial.0',
      // 0 is a console's, and 1 the agent's.
      nr: 2 + index,
      chardev: `port.${id}`,
      name: freeText(name),
    }),
  ]);
}

/** SECURITY: promise 2. The agent of the screen is heard by QEMU, in its jail, for the clipboard alone: its mouse is not taken. */
function clipboardOptions({ clipboard, channels, runner }: MachineDefinition): readonly Option[] {
  if (!clipboard) return [];
  const options = { id: 'clipboard', name: 'vdagent', clipboard: 'on', mouse: 'off' };
  return [
    keyOption('-chardev', 'qemu-vdagent', options),
    jsonOption('-device', {
      driver: 'virtserialport',
      id: 'clipboard.0',
      bus: 'ctl.serial.0',
      nr: 2 + channels.length + (runner ? 1 : 0),
      chardev: 'clipboard',
      name: 'com.redhat.spice.0',
    }),
  ];
}

function vsockOptions(definition: MachineDefinition): readonly Option[] {
  const { vsock } = definition;
  if (vsock === undefined) return [];
  const at = busProperties(boards[definition.machine], extraPlace(definition, 'vsock'));
  return [jsonOption('-device', { driver: 'vhost-vsock-pci', id: 'vsock.0', ...at, 'guest-cid': vsock.cid })];
}

export function portOptions(definition: MachineDefinition): readonly Option[] {
  return [
    ...serialOptions(definition),
    ...channelOptions(definition),
    ...clipboardOptions(definition),
    ...vsockOptions(definition),
  ];
}
