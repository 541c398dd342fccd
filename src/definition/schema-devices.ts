/** Keys of devices that a machine has once: screen, input, USB, sound, watchdog and the like. */
import * as z from 'zod';
import { byteSize, duration, socketPath } from './scalars.ts';

const pixels = z.int().min(320).max(7680);

const frameMemory = byteSize({ from: '1MiB', to: '256MiB', step: '1MiB', examples: ['16MiB', '64MiB'] });
const resolution = z
  .strictObject({
    width: pixels.describe('Pixels in a line.'),
    height: z.int().min(200).max(4320).describe('Lines.'),
  })
  .optional()
  .describe('The resolution that the screen prefers; unset: as QEMU has it.');

export const videoSchema = z.strictObject({
  model: z
    .enum(['auto', 'vga', 'bochs', 'virtio', 'none'])
    .default('auto')
    .describe(
      'Graphics card. `auto`: with `vnc` the one with the least code, and none without. `vga` is known to every guest, `bochs` has no registers of VGA, `virtio` is for guests with its driver.',
    ),
  memory: frameMemory
    .optional()
    .describe('Memory of the frame, a power of two, for `vga` and `bochs`; unset: 16 MiB.'),
  heads: z.int().min(1).max(16).default(1).describe('Screens; more than one for `virtio` only.'),
  resolution,
});

export const moreVideoSchema = z.strictObject({
  model: z
    .enum(['bochs', 'virtio'])
    .default('bochs')
    .describe('A further card has no registers of VGA; the guest needs a driver for either.'),
  memory: frameMemory.optional().describe('Memory of the frame, a power of two, for `bochs`; unset: 16 MiB.'),
  heads: z.int().min(1).max(16).default(1).describe('Screens; more than one for `virtio` only.'),
  resolution,
});

export const inputSchema = z.strictObject({
  type: z.enum(['tablet', 'keyboard', 'mouse']).describe('A tablet gives positions and needs no grab.'),
  bus: z
    .enum(['usb', 'virtio', 'ps2'])
    .default('usb')
    .describe('How it is plugged in; keyboard and mouse on `ps2` are of the board.'),
});

export const usbSchema = z.strictObject({
  model: z
    .enum(['auto', 'none', 'xhci', 'ehci', 'uhci'])
    .default('auto')
    .describe(
      'USB controller. `auto`: `xhci` where something is plugged into it, and none else. `ehci` is USB 2 with its companions, `uhci` USB 1 for old guests.',
    ),
  ports: z
    .int()
    .min(1)
    .max(15)
    .optional()
    .describe('Ports of `xhci`; unset: 4, or as many as are needed. `ehci` has 6 and `uhci` 2.'),
});

export const soundSchema = z.strictObject({
  model: z
    .enum(['none', 'ich6', 'ich9', 'ac97', 'es1370', 'sb16', 'usb'])
    .default('none')
    .describe(
      'Sound card. The guest can use it; nothing is heard without `server`: the jail has no way to the sound of the host.',
    ),
  server: socketPath
    .optional()
    .describe(
      "Socket of a PulseAudio server, or of PipeWire's that speaks as one, which plays for the guest and lets it record; the jail shows it at its own path. In a session that of its user; else the policy lists it in `sockets`.",
    )
    .meta({ examples: ['/run/user/1000/pulse/native'] }),
  codec: z
    .enum(['duplex', 'output', 'micro'])
    .default('duplex')
    .describe('For `ich6` and `ich9`: line in and out, out only, or microphone and speaker.'),
});

export const watchdogSchema = z.strictObject({
  model: z
    .enum(['none', 'i6300esb', 'itco', 'ib700'])
    .default('none')
    .describe('Watchdog that the guest must feed; `itco` is that of the board `q35`.'),
  action: z
    .enum(['reset', 'shutdown', 'poweroff', 'pause', 'inject-nmi', 'none'])
    .default('reset')
    .describe('What follows when it was not fed: `shutdown` asks the guest, `poweroff` ends it.'),
});

export const panicDevice = z
  .enum(['auto', 'none', 'isa', 'pci'])
  .default('auto')
  .describe(
    'Device by which a guest tells of its panic; `auto`: where `onCrash` is not `stop`, on the ISA bus.',
  );

export const iommuSchema = z.strictObject({
  model: z
    .enum(['none', 'intel', 'amd', 'virtio'])
    .default('none')
    .describe('IOMMU that the guest sees; `intel` and `amd` on `q35` only.'),
  interruptRemapping: z
    .boolean()
    .optional()
    .describe('For `intel` and `amd`; needs `platform.irqchip: split`; unset: as QEMU has it.'),
  cachingMode: z.boolean().optional().describe('For `intel`; unset: as QEMU has it.'),
  eim: z.boolean().optional().describe('Extended interrupt mode, for `intel`; unset: as QEMU has it.'),
  deviceIotlb: z.boolean().optional().describe('For `intel` and `amd`; unset: as QEMU has it.'),
  addressWidth: z
    .union([z.literal(39), z.literal(48)])
    .optional()
    .describe('Bits of an address, 39 or 48, for `intel`; unset: as QEMU has it.'),
});

export const balloonOptionsSchema = z.strictObject({
  deflateOnOom: z
    .boolean()
    .default(true)
    .describe('A guest that runs out of memory takes back what the host took.'),
  freePageReporting: z
    .boolean()
    .default(true)
    .describe('What the guest frees goes back to the host at once.'),
  statsPeriod: duration.optional().describe('How often the guest tells of its memory; unset: never.'),
});

export const rngOptionsSchema = z.strictObject({
  bytes: z.int().min(1).max(0x7fff_ffff).describe('Bytes that the guest gets in each `period`.'),
  period: duration.describe('The time in which `bytes` are counted.'),
});
