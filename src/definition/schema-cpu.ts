/** Keys of the virtual CPUs. */
import * as z from 'zod';
import { textLike } from './scalars.ts';
import { numberRanges } from './schema-memory.ts';

const most = 255;
/** In one dimension of the topology. */
const count = z.int().min(1).max(most).default(1);

const topology = z.strictObject({
  sockets: count.describe('Sockets.'),
  dies: count.describe('Dies in each socket.'),
  cores: count.describe('Cores in each die.'),
  threads: count.describe('Threads of each core.'),
});

const featureExpected = 'the name of a CPU feature as QEMU has it, such as aes or kvm-pv-eoi';
// SECURITY: rule YAML. No separator of QEMU's CPU string; `hv-…` and `kvm` have keys of their own.
const feature = textLike('feature', /^(?!hv[-_]|kvm$)[a-z0-9][a-z0-9._-]{0,62}$/, featureExpected);
const featureList = z.array(feature).max(128).default([]);

const features = z.strictObject({
  enable: featureList
    .describe(
      'Features that the guest is to have; one that this host cannot give is left out with a line in the log, unless `enforce` is set.',
    )
    .meta({ examples: [['aes', 'pcid']] }),
  disable: featureList
    .describe('Features that the guest does not have.')
    .meta({ examples: [['hypervisor']] }),
});

/** Names of QEMU's properties, without `hv-` (QEMU, docs/system/i386/hyperv.rst). Not evmcs: it needs nested virtualisation. */
export const enlightenments = [
  'relaxed',
  'vapic',
  'vpindex',
  'runtime',
  'crash',
  'synic',
  'stimer',
  'stimer-direct',
  'time',
  'reset',
  'frequencies',
  'reenlightenment',
  'tlbflush',
  'tlbflush-ext',
  'tlbflush-direct',
  'ipi',
  'avic',
  'xmm-input',
  'emsr-bitmap',
] as const;

const vendorExpected = '1 to 12 letters, digits, spaces, ".", "_" and "-"';
const hyperv = z.strictObject({
  enlightenments: z
    .array(z.enum(enlightenments))
    .max(enlightenments.length)
    .default([])
    .describe('What a Windows guest is told of its hypervisor; under KVM only.')
    .meta({ examples: [['relaxed', 'vapic', 'time']] }),
  spinlocks: z
    .int()
    .min(4095)
    .max(0xffff_ffff)
    .optional()
    .describe('How often a guest tries a lock before it tells the hypervisor.')
    .meta({ examples: [8191] }),
  vendorId: textLike('text', /^[A-Za-z0-9 ._-]{1,12}$/, vendorExpected)
    .optional()
    .describe('Name of the hypervisor as the guest reads it.'),
  passthrough: z.boolean().default(false).describe('All that the KVM of this host can, whatever is listed.'),
});

const pinning = z.strictObject({
  machine: numberRanges
    .optional()
    .describe('For every thread of the machine that has none of its own below; unset: all that there are.')
    .meta({ examples: ['0-3'] }),
  emulator: numberRanges
    .optional()
    .describe('For the threads of QEMU that are no virtual CPU and none of `iothreads`.'),
  vcpus: z
    .array(
      z.strictObject({
        vcpu: z
          .int()
          .min(0)
          .max(most - 1)
          .describe('The virtual CPU, counted from 0.'),
        cpus: numberRanges.describe('For this one.').meta({ examples: ['2'] }),
      }),
    )
    .max(most)
    .default([])
    .describe('Virtual CPUs one by one.'),
  iothreads: z
    .array(
      z.strictObject({
        iothread: z.int().min(1).max(64).describe('The thread of `iothreads`, counted from 1.'),
        cpus: numberRanges.describe('For this one.').meta({ examples: ['0'] }),
      }),
    )
    .max(64)
    .default([])
    .describe('Threads of `iothreads` one by one.'),
});

export const cpuSchema = z.strictObject({
  model: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, { error: 'the name of a CPU model of QEMU, host or max' })
    .optional()
    .describe('CPU model as QEMU names it; unset: `host` under KVM, `max` under TCG.')
    .meta({ examples: ['host', 'max', 'EPYC-Rome'] }),
  count: z
    .int()
    .min(1)
    .max(most)
    .default(1)
    .describe('Virtual CPUs. More than 255 need an IOMMU in the guest.'),
  maximum: z
    .int()
    .min(1)
    .max(most)
    .optional()
    .describe(
      'Virtual CPUs that there is room for, to be attached later; limits and quotas count them. Unset: `count`.',
    ),
  topology: topology
    .optional()
    .describe('How the CPUs are arranged, those for which there is room too; unset: cores of one socket.'),
  features: features.prefault({}).describe('Features beside those of the model.'),
  enforce: z
    .boolean()
    .default(false)
    .describe('QEMU refuses to start where this host cannot give a feature of the model or of `features`.'),
  vendor: textLike('text', /^[A-Za-z0-9]{12}$/, '12 letters and digits such as AuthenticAMD')
    .optional()
    .describe('Maker of the CPU as the guest reads it.')
    .meta({ examples: ['GenuineIntel', 'AuthenticAMD'] }),
  cache: z
    .enum(['emulate', 'host', 'none'])
    .optional()
    .describe(
      "Caches that the guest is told of: QEMU's with a third level, those of the host, none of the third level; unset: as the model has it.",
    ),
  addressBits: z
    .int()
    .min(32)
    .max(52)
    .optional()
    .describe('Width of physical addresses; unset: as the model has it.'),
  hostAddressBits: z
    .boolean()
    .optional()
    .describe("Physical addresses as wide as the host's; unset: as the model has it."),
  migratable: z
    .boolean()
    .optional()
    .describe('For `host` and `max`: only what another host could give too; unset: as QEMU has it.'),
  pmu: z.boolean().optional().describe('Performance counters; unset: as the model has it.'),
  hidden: z.boolean().default(false).describe('The guest is not told that it runs under KVM.'),
  dedicated: z
    .boolean()
    .default(false)
    .describe('The guest is told that its CPUs are not shared: it spins where it would yield.'),
  pollControl: z.boolean().default(false).describe('The guest may switch off that KVM waits by polling.'),
  pinning: pinning
    .prefault({})
    .describe('CPUs of the host that the machine may run on, as ranges; others may run there too.'),
  hyperv: hyperv.prefault({}).describe("Microsoft's interface between guest and hypervisor, for Windows."),
  nested: z
    .literal(false)
    .default(false)
    .describe('Virtualisation inside the guest; off, since it opens the widest part of KVM to the guest.'),
});
