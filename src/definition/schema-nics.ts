/** Keys of network cards, by what is at the other end. */
import * as z from 'zod';
import { forward } from './forward.ts';
import { identifier, ipAddress, macAddress, textLike } from './scalars.ts';

const nicId = identifier.describe('Name of the network card within the machine.').meta({ examples: ['lan'] });
const ring = z.literal([256, 512, 1024]).optional();
const nicCommon = {
  mac: macAddress
    .optional()
    .describe(
      'MAC address; unset: a stable, locally administered one made from the name of the machine and card.',
    )
    .meta({ examples: ['52:54:00:12:34:56'] }),
  model: z
    .enum(['virtio', 'e1000e', 'e1000', 'rtl8139'])
    .default('virtio')
    .describe('The card that the guest sees.'),
  link: z
    .enum(['up', 'down'])
    .default('up')
    .describe('Whether the cable is in; with `down` the guest sees its card, and nothing comes through.'),
  rxRing: ring.describe('Places in the queue of packets for the guest, for `virtio`; unset: 256.'),
  txRing: ring.describe('Places in the queue of packets of the guest, for `virtio`; unset: 256.'),
  rom: z
    .boolean()
    .optional()
    .describe('Boot ROM of the card; unset: only where the machine boots from the card.'),
};

const queues = z
  .int()
  .min(1)
  .max(16)
  .optional()
  .describe(
    'Queues for packets, for `virtio`: as many CPUs of the guest send and receive at the same time; unset: 1. For `kind: bridge` and `network`.',
  )
  .meta({ examples: [4] });

const interfaceName = 'the name of a network interface such as br0, 15 characters at most';

export const nicSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    id: nicId,
    kind: z
      .literal('bridge')
      .describe(
        'What is at the other end; unset, or `default`: as the host has it, the default bridge of its policy, else `user`.  `bridge` is a TAP device on a bridge of the host; `network` is a managed network of qward, with addresses and names; `user` is a network of its own by passt, from which the guest reaches what the host reaches.',
      ),
    bridge: z
      .string({ error: interfaceName })
      .regex(/^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/, { error: interfaceName })
      .describe('Bridge on the host that the card is joined to; the policy lists which.')
      .meta({ examples: ['br0'] }),
    mtu: z
      .int()
      .min(68)
      .max(65_535)
      .optional()
      .describe(
        'MTU that the guest is told, for `virtio`; unset: none. The TAP device has that of the bridge. For `kind: bridge`.',
      )
      .meta({ examples: [9000] }),
    queues,
    ...nicCommon,
  }),
  z.strictObject({
    id: nicId,
    kind: z.literal('network'),
    network: textLike(
      'name',
      /^[a-z][a-z0-9-]{0,9}$/,
      'the name of a network such as lan, 10 characters at most',
    )
      .describe('Managed network of qward that the card is in: `qward network list`. For `kind: network`.')
      .meta({ examples: ['lan'] }),
    queues,
    ...nicCommon,
  }),
  z.strictObject({
    id: nicId,
    kind: z.literal('user'),
    forward: z
      .array(forward)
      .max(64)
      .prefault([])
      .describe(
        'Ports of the host that lead to the guest: `[tcp|udp] [ADDRESS:]PORT [-> PORT]`. Without an address it is 127.0.0.1, without a second port the same. The policy says which ports there are to have. For `kind: user`.',
      )
      .meta({ examples: [['127.0.0.1:2222 -> 22', 'udp 5353']] }),
    dns: z
      .array(ipAddress)
      .max(3)
      .optional()
      .describe(
        'Name servers that the guest is told; unset: those of the host, as far as a guest can reach them. For `kind: user`.',
      )
      .meta({ examples: [['192.168.1.1']] }),
    ...nicCommon,
  }),
  z.strictObject({ id: nicId, kind: z.literal('default').optional(), ...nicCommon }),
]);
