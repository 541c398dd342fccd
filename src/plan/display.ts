/** Screen, keyboard, mouse and USB. Nothing listens: viewers come through QMP `add_client`. */
import { inputsOf, usbController, usbCounts, usbPorts } from '../definition/usb-devices.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { boards, busProperties, extraPlace, usbFunction, virtioDevice, type Board } from './boards.ts';
import { jsonOption, keyOption, type JsonValue, type Option } from './options.ts';

const mib = 1024 ** 2;
type Card = 'vga' | 'bochs' | 'virtio' | 'none';

/**
 * The card with the least code behind it that still works everywhere: plain frame buffers, no commands from the guest, no
 * 3D, no module. UEFI needs no VGA registers, so there it is bochs-display; BIOS and its boot loaders do.
 */
export function graphicsCard({ video, vnc, firmware }: MachineDefinition): Card {
  if (video.model !== 'auto') return video.model;
  if (!vnc) return 'none';
  return firmware === 'uefi' ? 'bochs' : 'vga';
}

/** Loadable parts of QEMU that the card is in, where a distribution has them apart. */
export function graphicsModules(definition: MachineDefinition): readonly string[] {
  const first = graphicsCard(definition);
  const more = definition.moreVideo.some(({ model }) => model === 'virtio');
  if (first !== 'virtio') return more ? ['hw-display-virtio-gpu', 'hw-display-virtio-gpu-pci'] : [];
  const parts = ['hw-display-virtio-gpu', 'hw-display-virtio-gpu-pci'];
  return definition.firmware === 'uefi' ? parts : [...parts, 'hw-display-virtio-vga'];
}

function cardOptions(definition: MachineDefinition, board: Board): readonly Option[] {
  const { memory, heads, resolution } = definition.video;
  const size = { xres: resolution?.width, yres: resolution?.height };
  const at = board.pciBus === null ? {} : busProperties(board, { kind: 'single', device: 'graphics' });
  const card = (driver: string, properties: Record<string, JsonValue | undefined>): readonly Option[] => [
    jsonOption('-device', { driver, id: 'graphics.0', ...at, ...properties, ...size }),
  ];
  switch (graphicsCard(definition)) {
    case 'none':
      return [];
    case 'vga':
      return card('VGA', { vgamem_mb: memory && memory / mib });
    case 'bochs':
      return card('bochs-display', { vgamem: memory });
    case 'virtio':
      return card(definition.firmware === 'uefi' ? 'virtio-gpu-pci' : 'virtio-vga', { max_outputs: heads });
  }
}

/** Each with a console of its own, which a viewer turns to by ctrl-alt and its number. */
function moreCards(definition: MachineDefinition, board: Board): readonly Option[] {
  return definition.moreVideo.map(({ model, memory, heads, resolution }, index) => {
    const id = `graphics.${index + 1}`;
    return jsonOption('-device', {
      driver: model === 'bochs' ? 'bochs-display' : 'virtio-gpu-pci',
      id,
      ...busProperties(board, extraPlace(definition, id)),
      ...(model === 'bochs' ? { vgamem: memory } : { max_outputs: heads }),
      xres: resolution?.width,
      yres: resolution?.height,
    });
  });
}

/** Whether something that is planned before the screen is on USB. */
function comesFirst(definition: MachineDefinition): boolean {
  const { disks, serials } = usbCounts(definition);
  return disks + serials > 0;
}

/** Before the drives where one is on it, with the other devices of a screen else. */
export function usbControllerBefore(definition: MachineDefinition): readonly Option[] {
  return comesFirst(definition) ? usbControllers(definition, boards[definition.machine]) : [];
}

function usbControllers(definition: MachineDefinition, board: Board): readonly Option[] {
  const at = { kind: 'single', device: 'usb' } as const;
  const ports = usbPorts(definition);
  switch (usbController(definition)) {
    case 'none':
      return [];
    case 'xhci':
      return [
        jsonOption('-device', {
          driver: 'qemu-xhci',
          id: 'ctl.usb',
          ...busProperties(board, at),
          p2: ports,
          p3: ports,
        }),
      ];
    case 'uhci':
      return [
        jsonOption('-device', { driver: 'piix3-usb-uhci', id: 'ctl.usb', ...busProperties(board, at) }),
      ];
    case 'ehci':
      return [
        jsonOption('-device', { driver: 'ich9-usb-ehci1', id: 'ctl.usb', ...usbFunction(board, 7) }),
        ...[0, 1, 2].map((fn) =>
          jsonOption('-device', {
            driver: `ich9-usb-uhci${fn + 1}`,
            ...usbFunction(board, fn),
            masterbus: 'ctl.usb.0',
            firstport: fn * 2,
          }),
        ),
      ];
  }
}

const usbInputs = { tablet: 'usb-tablet', keyboard: 'usb-kbd', mouse: 'usb-mouse' } as const;

function inputDevices(definition: MachineDefinition, board: Board): readonly Option[] {
  let port = 0;
  return inputsOf(definition).flatMap(({ type, bus }, index) => {
    const id = `${type}.${index}`;
    if (bus === 'ps2') return [];
    if (bus === 'virtio')
      return [
        jsonOption('-device', {
          ...virtioDevice(board, type, extraPlace(definition, `input.${index}`)),
          id,
        }),
      ];
    port += 1;
    return [jsonOption('-device', { driver: usbInputs[type], id, bus: 'ctl.usb.0', port: String(port) })];
  });
}

/** Port of the USB sound card: the one behind the input devices. */
export function soundPort(definition: MachineDefinition): string {
  const { inputs, sound } = usbCounts(definition);
  return String(inputs + sound);
}

/** Keyboard and mouse of the board: with a screen for what boots, and where they are asked for. */
export function hasBoardInputs(definition: MachineDefinition): boolean {
  return definition.vnc || inputsOf(definition).some(({ bus }) => bus === 'ps2');
}

export function displayOptions(definition: MachineDefinition): readonly Option[] {
  const board = boards[definition.machine];
  return [
    ...(definition.vnc ? [keyOption('-vnc', 'none')] : []),
    ...cardOptions(definition, board),
    ...moreCards(definition, board),
    ...(comesFirst(definition) ? [] : usbControllers(definition, board)),
    ...inputDevices(definition, board),
  ];
}
