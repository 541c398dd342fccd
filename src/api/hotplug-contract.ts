/** The calls on what comes and goes while a machine runs: rows of the contract. */
import * as z from 'zod';
import { endpoints } from './endpoints.ts';

const onMachine = z.strictObject({ name: z.string().min(1).max(63) });
const name = z.string();
const id = z.string().min(1).max(31);
const persist = z.boolean().default(false).describe('Write it into the definition too.');
const done = z.object({
  name,
  id: z.string().describe('Of several CPUs all, with commas.'),
  outcome: z.enum(['attached', 'detached']),
  persisted: z.boolean().describe('The definition was changed.'),
});

export const hotplugRoutes = {
  devices: {
    ...endpoints.devices,
    right: 'see',
    summary: 'The disks, CPUs and memory of a running machine, and its room for more.',
    params: onMachine,
    result: z.object({
      name,
      disks: z.array(
        z.object({
          id,
          bus: z.string().describe('Where it sits in QEMU: `port.0`, `ctl.scsi.0`.'),
          attached: z.boolean().describe('Since the machine was started.'),
          detachable: z.boolean().describe('It can be taken away while the machine runs.'),
          files: z
            .array(z.object({ path: z.string(), access: z.enum(['ro', 'rw']) }))
            .describe('Its image, and those below it.'),
        }),
      ),
      cards: z
        .array(
          z.object({
            id,
            bus: z.string(),
            bridge: z.string().describe('Empty: it is in a managed network.'),
            network: z.string().describe('Empty: it is on a bridge.'),
          }),
        )
        .describe('Network cards that were attached since the machine was started.'),
      usb: z
        .array(
          z.object({
            id,
            device: z.string().describe('Vendor and product, or port.'),
            plugged: z.boolean().describe('False: the machine gets it when it is plugged in.'),
          }),
        )
        .describe('USB devices of the host.'),
      cpus: z.object({
        now: z.int(),
        most: z.int().describe('As many as there is room for.'),
        attached: z.array(z.string()).describe('Ids of those that came since the machine was started.'),
      }),
      memory: z.object({
        now: z.int().describe('Bytes.'),
        most: z.int().describe('Bytes that there is room for.'),
        modules: z
          .array(z.object({ id: z.string(), size: z.int() }))
          .describe('What came since the machine was started.'),
        slots: z.object({ all: z.int(), free: z.int() }).describe('Places for modules.'),
      }),
      ports: z
        .object({ all: z.int(), free: z.int() })
        .describe(
          'Of PCI Express, for disks on virtio and for cards; a machine on `pc` has none and needs none.',
        ),
    }),
  },
  attach: {
    ...endpoints.attach,
    right: 'define',
    logged: true,
    summary:
      'Gives a disk, a network card, a USB device, CPUs or memory to a running machine; the walls are looked at afterwards.',
    params: onMachine,
    body: z.strictObject({
      disk: z
        .looseObject({ id })
        .optional()
        .describe(
          'As in `disks` of a definition, on `bus: virtio` or `scsi`. The id alone: the disk that the definition has by it.',
        ),
      nic: z
        .looseObject({ id })
        .optional()
        .describe('As in `nics` of a definition, of `kind: bridge` or `network`; in place of `disk`.'),
      usb: z
        .looseObject({ id })
        .optional()
        .describe('As in `hostDevices` of a definition, with `usb`; in place of `disk`.'),
      cpus: z
        .int()
        .min(1)
        .max(254)
        .optional()
        .describe('So many virtual CPUs more, as far as `cpu.maximum` has room; in place of `disk`.'),
      memory: z
        .int()
        .min(1)
        .max(Number.MAX_SAFE_INTEGER)
        .optional()
        .describe('A module of so many bytes, as far as `memoryMaximum` has room; in place of `disk`.'),
      persist,
    }),
    result: done,
  },
  resizeDisk: {
    ...endpoints.resizeDisk,
    right: 'define',
    logged: true,
    summary: 'Makes a disk of a running machine larger; the guest is told.',
    params: onMachine,
    body: z.strictObject({
      disk: id,
      size: z.int().min(512).max(Number.MAX_SAFE_INTEGER).describe('Bytes that the guest is to see.'),
      more: z.boolean().default(false).describe('`size` is beyond what it sees now.'),
    }),
    result: z.object({ name, disk: id, before: z.int().describe('Bytes.'), size: z.int() }),
  },
  detach: {
    ...endpoints.detach,
    right: 'define',
    logged: true,
    summary:
      'Takes a disk, or what else was attached, from a running machine: the guest is asked to let go of it.',
    params: onMachine,
    body: z.strictObject({
      id,
      timeoutMs: z.int().min(1).max(600_000).default(20_000).describe('How long the guest may take.'),
      persist,
    }),
    result: done,
  },
} as const;
