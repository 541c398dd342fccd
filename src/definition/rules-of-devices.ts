/** Screen, input, USB, sound and the like: what goes with what, and with which board. */
import type { Draft } from './draft.ts';
import { extraDevices, extraPlaces } from './extra-devices.ts';
import type { KeyPath } from './key-path.ts';
import { broken, type Broken } from './rule.ts';
import { usbController, usbDevices, usbPorts } from './usb-devices.ts';

function when(condition: boolean, fault: () => Broken): readonly Broken[] {
  return condition ? [fault()] : [];
}

export function microvmHasFewDevices(draft: Draft): readonly Broken[] {
  if (draft.machine !== 'microvm') return [];
  const no = (path: KeyPath, what: string): Broken =>
    broken(path, `microvm has no ${what}`, 'Use machine: q35 for that.');
  return [
    ...when(draft.video !== undefined && !['auto', 'none'].includes(draft.video.model), () =>
      no(['video', 'model'], 'graphics card'),
    ),
    ...when((draft.moreVideo ?? []).length > 0, () => no(['moreVideo'], 'graphics card')),
    ...when((draft.inputs ?? []).length > 0, () => no(['inputs'], 'input devices')),
    ...when(draft.usb !== undefined && !['auto', 'none'].includes(draft.usb.model), () =>
      no(['usb', 'model'], 'USB'),
    ),
    ...when(draft.sound !== undefined && draft.sound.model !== 'none', () => no(['sound', 'model'], 'sound')),
    ...when(draft.watchdog !== undefined && draft.watchdog.model !== 'none', () =>
      no(['watchdog', 'model'], 'watchdog'),
    ),
    ...when(draft.panic === 'isa' || draft.panic === 'pci', () =>
      no(['panic'], 'device by which a guest reports a panic'),
    ),
    ...when(draft.iommu !== undefined && draft.iommu.model !== 'none', () => no(['iommu', 'model'], 'IOMMU')),
    ...when(draft.vsock !== undefined, () => no(['vsock'], 'vsock')),
    ...when((draft.hostDevices ?? []).length > 0, () => no(['hostDevices'], 'PCI devices and USB')),
    ...when(draft.hotplug?.usb === true, () => no(['hotplug', 'usb'], 'USB')),
    ...when((draft.shares ?? []).length > 0, () => no(['shares'], 'shared folders')),
    ...(draft.serials ?? []).flatMap(({ type }, index) =>
      when(type !== 'isa', () => no(['serials', index, 'type'], 'such serial port')),
    ),
  ];
}

export function sharesHaveOwnTags({ shares = [] }: Draft): readonly Broken[] {
  return shares.flatMap(({ tag, path }, index) => {
    const first = shares.findIndex((one) => one.tag === tag);
    return [
      ...when(first < index, () =>
        broken(['shares', index, 'tag'], `"${tag}" is the tag of shares[${first}] too`, 'Give each its own.'),
      ),
      // virtiofsd reads both as its own.
      ...when(/[,\\]/.test(path), () =>
        broken(
          ['shares', index, 'path'],
          'has a comma or a backslash, which virtiofsd does not take',
          'Rename it.',
        ),
      ),
    ];
  });
}

export function screensAreWhole({
  machine,
  video,
  moreVideo,
  vnc,
  clipboard,
  firmware,
}: Draft): readonly Broken[] {
  if (clipboard === true && vnc === false)
    return [broken(['clipboard'], 'there is no screen whose viewer has one', 'Set vnc: true, or remove it.')];
  if (video === undefined) return [];
  const { model, memory, heads, resolution } = video;
  const more = moreVideo ?? [];
  const card = model === 'auto' ? (vnc === true ? (firmware === 'uefi' ? 'bochs' : 'vga') : 'none') : model;
  const lacks = (key: string, what: string): Broken =>
    broken(
      ['video', key],
      card === 'none' ? 'there is no graphics card' : `the card ${card} has ${what}`,
      card === 'none' ? 'Set vnc: true, or name a video.model.' : 'Remove it, or use another video.model.',
    );
  return [
    ...when(memory !== undefined && card !== 'vga' && card !== 'bochs', () =>
      lacks('memory', 'no memory of its own'),
    ),
    ...when(memory !== undefined && !Number.isInteger(Math.log2(memory)), () =>
      broken(['video', 'memory'], 'is no power of two', 'Use 16MiB, 32MiB, 64MiB, 128MiB or 256MiB.'),
    ),
    ...when(heads > 1 && card !== 'virtio', () => lacks('heads', 'one screen')),
    ...when(resolution !== undefined && card === 'none', () => lacks('resolution', '')),
    ...when(more.length > 0 && card === 'none' && machine !== 'microvm', () =>
      broken(['moreVideo'], 'there is no first graphics card', 'Set vnc: true, or name a video.model.'),
    ),
    ...more.flatMap((one, index) => furtherCard(one, ['moreVideo', index])),
  ];
}

function furtherCard(
  { model, memory, heads }: NonNullable<Draft['moreVideo']>[number],
  path: KeyPath,
): readonly Broken[] {
  return [
    ...when(memory !== undefined && model !== 'bochs', () =>
      broken([...path, 'memory'], `the card ${model} has no memory of its own`, 'Remove it.'),
    ),
    ...when(memory !== undefined && !Number.isInteger(Math.log2(memory)), () =>
      broken([...path, 'memory'], 'is no power of two', 'Use 16MiB, 32MiB, 64MiB, 128MiB or 256MiB.'),
    ),
    ...when(heads > 1 && model !== 'virtio', () =>
      broken([...path, 'heads'], `the card ${model} has one screen`, 'Remove it, or use model: virtio.'),
    ),
  ];
}

export function inputsAreKnown({ inputs }: Draft): readonly Broken[] {
  return (inputs ?? []).flatMap(({ type, bus }, index) =>
    when(type === 'tablet' && bus === 'ps2', () =>
      broken(['inputs', index, 'bus'], 'there are no tablets on ps2', 'Use usb or virtio.'),
    ),
  );
}

export function usbHasRoom({
  vnc,
  inputs,
  sound,
  usb,
  disks,
  serials,
  hostDevices,
  hotplug,
}: Draft): readonly Broken[] {
  if (vnc === undefined || sound === undefined || usb === undefined) return [];
  const parts = {
    serials: serials ?? [],
    vnc,
    inputs,
    sound,
    usb,
    disks: disks.map(({ value }) => value),
    hostDevices: hostDevices ?? [],
    hotplug,
  };
  const [devices, ports, controller] = [usbDevices(parts), usbPorts(parts), usbController(parts)];
  return [
    ...when(devices > ports, () =>
      broken(
        ['usb', controller === 'xhci' ? 'ports' : 'model'],
        `${controller === 'none' ? 'there is no controller' : `${controller} has ${ports} ports`}, and ${devices} devices are on USB`,
        controller === 'xhci' ? 'Leave usb.ports out, or raise it.' : 'Use usb.model: xhci.',
      ),
    ),
    ...when(controller === 'none' && hotplug?.usb === true, () =>
      broken(['hotplug', 'usb'], 'there is no USB controller', 'Leave usb.model out.'),
    ),
    ...when(usb.ports !== undefined && controller !== 'xhci', () =>
      broken(['usb', 'ports'], `counts for xhci only, and the controller is ${controller}`, 'Remove it.'),
    ),
  ];
}

export function soundHasACard({ sound }: Draft): readonly Broken[] {
  return when(sound?.server !== undefined && sound.model === 'none', () =>
    broken(['sound', 'server'], 'there is no sound card', 'Set sound.model: ich9.'),
  );
}

export function watchdogsAreOfTheBoard({ machine, watchdog }: Draft): readonly Broken[] {
  return when(watchdog?.model === 'itco' && machine === 'pc', () =>
    broken(['watchdog', 'model'], 'itco is the watchdog of q35', 'Use i6300esb, or machine: q35.'),
  );
}

export function portsAreOfTheBoard({ machine, hotplug, iommu }: Draft): readonly Broken[] {
  if (hotplug?.ports === undefined || hotplug.ports === 0) return [];
  return [
    ...when(machine === 'pc', () =>
      broken(['hotplug', 'ports'], 'pc needs none: each of its free slots is one', 'Remove it.'),
    ),
    ...when(machine === 'microvm', () =>
      broken(['hotplug', 'ports'], 'microvm has no PCI Express', 'Remove it, or use machine: q35.'),
    ),
    ...when(machine === 'q35' && iommu?.model === 'amd', () =>
      broken(
        ['hotplug', 'ports'],
        'the IOMMU of AMD is in their slot',
        'Remove it, or use iommu.model: intel.',
      ),
    ),
  ];
}

export function iommusAreWhole({ machine, iommu, platform }: Draft): readonly Broken[] {
  if (iommu === undefined) return [];
  const keysOf = {
    none: [],
    intel: ['interruptRemapping', 'cachingMode', 'eim', 'deviceIotlb', 'addressWidth'],
    amd: ['interruptRemapping', 'deviceIotlb'],
    virtio: [],
  } as const;
  const known: readonly string[] = keysOf[iommu.model];
  return [
    ...when((iommu.model === 'intel' || iommu.model === 'amd') && machine === 'pc', () =>
      broken(['iommu', 'model'], `pc has no ${iommu.model} IOMMU`, 'Use virtio, or machine: q35.'),
    ),
    ...keysOf.intel
      .filter((key) => iommu[key] !== undefined && !known.includes(key))
      .map((key) =>
        broken(['iommu', key], `the IOMMU ${iommu.model} has no such thing`, 'Remove it, or use intel.'),
      ),
    ...when(iommu.interruptRemapping === true && platform !== undefined && platform.irqchip !== 'split', () =>
      broken(
        ['iommu', 'interruptRemapping'],
        'needs the I/O APIC in QEMU, and platform.irqchip is not split',
        'Set platform.irqchip: split.',
      ),
    ),
    ...when(iommu.eim === true && iommu.interruptRemapping !== true, () =>
      broken(['iommu', 'eim'], 'needs interruptRemapping, which is not on', 'Set interruptRemapping: true.'),
    ),
  ];
}

export function panicHasADevice({ panic, onCrash }: Draft): readonly Broken[] {
  return when(panic === 'none' && onCrash === 'pause', () =>
    broken(
      ['panic'],
      'onCrash: pause needs a device by which the guest reports its panic',
      'Remove panic: none, or use onCrash: stop or restart.',
    ),
  );
}

export function devicesHavePlaces(draft: Draft): readonly Broken[] {
  const {
    iommu,
    sound,
    watchdog,
    panic,
    inputs,
    scsiControllers,
    serials = [],
    vsock,
    hostDevices = [],
    shares = [],
    moreVideo = [],
  } = draft;
  if (iommu === undefined || sound === undefined || watchdog === undefined || panic === undefined) return [];
  const parts = {
    iommu,
    sound,
    watchdog,
    panic,
    inputs,
    scsiControllers,
    serials,
    vsock,
    hostDevices,
    shares,
    moreVideo,
  };
  const count = extraDevices(parts).length;
  return when(count > extraPlaces, () =>
    broken(
      ['inputs'],
      `sound, watchdog, panic, IOMMU, vsock, shared folders, virtio inputs, PCI serial ports, further SCSI controllers and graphics cards, and devices of the host are ${count} devices, and there are ${extraPlaces} places`,
      'Use bus: usb for inputs.',
    ),
  );
}

export function hostDevicesOnce({ hostDevices = [] }: Draft): readonly Broken[] {
  return hostDevices.flatMap(({ id, pci, usb, rom, optional }, index) => {
    const [key, device = ''] = pci === undefined ? ['usb', usb] : ['pci', pci];
    const path = ['hostDevices', index];
    return [
      ...when((pci === undefined) === (usb === undefined), () =>
        broken(
          path,
          `${id} is ${pci === undefined ? 'no device' : 'two devices'}`,
          'Give one of pci and usb.',
        ),
      ),
      ...when(hostDevices.findIndex((other) => (other.pci ?? other.usb) === device) < index, () =>
        broken([...path, key], `${device} is named twice`, 'Name each device once.'),
      ),
      ...when(usb !== undefined && !rom, () =>
        broken([...path, 'rom'], 'a USB device has no ROM', 'Remove it.'),
      ),
      ...when(pci !== undefined && optional, () =>
        broken([...path, 'optional'], 'counts for USB devices only', 'Remove it.'),
      ),
    ];
  });
}

export function serialsHavePlaces({ machine, console, serials = [] }: Draft): readonly Broken[] {
  const most = machine === 'microvm' ? 1 : 4;
  const isa = serials.flatMap(({ type }, index) => (type === 'isa' ? [index] : []));
  const room = most - (console === false ? 0 : 1);
  return isa
    .slice(room)
    .map((index) =>
      broken(
        ['serials', index, 'type'],
        `there is room for ${most} ISA serial ports, the console among them`,
        machine === 'microvm' ? 'Use machine: q35 for more.' : 'Use type: pci or usb.',
      ),
    );
}
