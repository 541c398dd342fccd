/** Keys of ports by which a guest speaks: further serial ports, virtio-serial, vsock. */
import * as z from 'zod';
import { identifier, textLike } from './scalars.ts';

export const serialSchema = z.strictObject({
  id: identifier.describe('Name of the port within the machine; `qward qmp` reads it by `ringbuf-read`.'),
  type: z
    .enum(['isa', 'pci', 'usb'])
    .default('isa')
    .describe('How the guest sees it; with `console` three more `isa` fit.'),
});

export const channelSchema = z.strictObject({
  id: identifier.describe('Name of the channel within the machine; `qward qmp` reads it by `ringbuf-read`.'),
  name: textLike(
    'name',
    /^(?!org\.qemu\.guest_agent\.0$)[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'a name such as org.example.port.0; the guest agent has its own key, agent',
  )
    .describe('Name by which the guest finds it, under /dev/virtio-ports.')
    .meta({ examples: ['org.example.port.0'] }),
});

export const vsockSchema = z.strictObject({
  cid: z
    .int()
    .min(3)
    .max(0xffff_fffe)
    .describe('Address of the guest, of this host alone.')
    .meta({ examples: [3] }),
});
