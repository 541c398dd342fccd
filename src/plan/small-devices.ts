/** Sound, watchdog and IOMMU: none of them unless asked for. */
import type { MachineDefinition } from '../definition/schema.ts';
import type { Accelerator } from './accelerator.ts';
import { boards, busProperties, extraPlace, virtioDevice } from './boards.ts';
import { soundPort } from './display.ts';
import { jsonOption, keyOption, type JsonValue, type Option } from './options.ts';

const onOff = (value: boolean | undefined): string | undefined =>
  value === undefined ? undefined : value ? 'on' : 'off';

/** Before the other devices: those behind it ask for it when they are made. */
export function iommuOptions(definition: MachineDefinition, accel: Accelerator): readonly Option[] {
  const { model, interruptRemapping, cachingMode, eim, deviceIotlb, addressWidth } = definition.iommu;
  switch (model) {
    case 'none':
      return [];
    case 'intel':
      return [
        jsonOption('-device', {
          driver: 'intel-iommu',
          id: 'iommu.0',
          intremap: onOff(interruptRemapping),
          'caching-mode': cachingMode,
          // TCG has no such interrupts (QEMU 7.2: `eim=on requires accel=kvm`).
          eim: accel.kind === 'kvm' ? onOff(eim) : undefined,
          'device-iotlb': deviceIotlb,
          'aw-bits': addressWidth,
        }),
      ];
    case 'amd':
      return [
        jsonOption('-device', {
          driver: 'amd-iommu',
          id: 'iommu.0',
          intremap: onOff(interruptRemapping),
          'device-iotlb': deviceIotlb,
        }),
      ];
    case 'virtio': {
      const at = virtioDevice(boards[definition.machine], 'iommu', extraPlace(definition, 'iommu'));
      return [jsonOption('-device', { ...at, id: 'iommu.0' })];
    }
  }
}

const cards = { ac97: 'AC97', es1370: 'ES1370', ich6: 'intel-hda', ich9: 'ich9-intel-hda' } as const;

export function soundOptions(definition: MachineDefinition): readonly Option[] {
  const { model, codec, server } = definition.sound;
  if (model === 'none') return [];
  // SECURITY: promise 2. Without a server the card plays to nobody: no socket and no device of the host's sound is in the jail.
  const backend = jsonOption(
    '-audiodev',
    server === undefined
      ? { driver: 'none', id: 'audio' }
      : { driver: 'pa', id: 'audio', server: `unix:${server}` },
  );
  const card = (properties: Record<string, JsonValue>): Option =>
    jsonOption('-device', { ...properties, audiodev: 'audio' });
  if (model === 'sb16') return [backend, card({ driver: 'sb16', id: 'sound.0' })];
  if (model === 'usb')
    return [
      backend,
      card({ driver: 'usb-audio', id: 'sound.0', bus: 'ctl.usb.0', port: soundPort(definition) }),
    ];
  const at = busProperties(boards[definition.machine], extraPlace(definition, 'sound'));
  const controller = { driver: cards[model], id: 'sound.0', ...at };
  if (model === 'ac97' || model === 'es1370') return [backend, card(controller)];
  return [
    backend,
    jsonOption('-device', controller),
    card({ driver: `hda-${codec}`, id: 'codec.0', bus: 'sound.0.0', cad: 0 }),
  ];
}

/** Parts of QEMU that distributions build apart from it. */
export const soundModules = ({ sound }: MachineDefinition): readonly string[] =>
  sound.model === 'none' || sound.server === undefined ? [] : ['audio-pa'];

export function watchdogOptions(definition: MachineDefinition): readonly Option[] {
  switch (definition.watchdog.model) {
    case 'none':
      return [];
    case 'itco':
      // Without it the board's own watchdog never resets (QEMU 7.2).
      return [keyOption('-global', null, { 'ICH9-LPC.noreboot': 'off' })];
    case 'ib700':
      return [jsonOption('-device', { driver: 'ib700', id: 'watchdog.0' })];
    case 'i6300esb': {
      const at = busProperties(boards[definition.machine], extraPlace(definition, 'watchdog'));
      return [jsonOption('-device', { driver: 'i6300esb', id: 'watchdog.0', ...at })];
    }
  }
}
