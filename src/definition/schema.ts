/**
 * The definition of a machine: what a user writes in YAML. This one schema gives the types, the validation,
 * the defaults, the JSON Schema for editors and the reference page docs/definition.md. What one key demands of
 * another is in rules.ts.
 */
import * as z from 'zod';
import { byteSize, duration, hostPath, identifier, ipAddress, line, machineName } from './scalars.ts';
import { generationId, machineVersion, platformSchema, smbiosSchema, uuid } from './schema-board.ts';
import { clockSchema } from './schema-clock.ts';
import { mostPorts } from './hotplug-ports.ts';
import { cpuSchema } from './schema-cpu.ts';
import {
  balloonOptionsSchema,
  inputSchema,
  iommuSchema,
  panicDevice,
  rngOptionsSchema,
  soundSchema,
  usbSchema,
  moreVideoSchema,
  videoSchema,
  watchdogSchema,
} from './schema-devices.ts';
import { confinementSchema, qemuSchema } from './schema-confinement.ts';
import { memoryBackingSchema, memoryMaximum, numaCellSchema } from './schema-memory.ts';
import { nicSchema } from './schema-nics.ts';
import { hostDeviceSchema } from './schema-host-devices.ts';
import { channelSchema, serialSchema, vsockSchema } from './schema-ports.ts';
import { shareSchema } from './schema-shares.ts';
import { cdromSchema, diskSchema, scsiControllerSchema } from './schema-disks.ts';

const resourceLimits = z.strictObject({
  cpuWeight: z
    .int()
    .min(1)
    .max(10_000)
    .default(100)
    .describe('Share of the CPU against other machines (cgroup v2 cpu.weight).'),
  cpuQuota: z
    .number()
    .min(0.05)
    .max(1024)
    .optional()
    .describe('CPUs that the machine may use in all, 1.5 for one and a half; unset: no limit.'),
  memory: byteSize({ from: '8MiB', to: '64TiB', examples: ['1GiB', '1536M'] })
    .optional()
    .describe(
      "Memory that the QEMU process may use in all; unset: the guest's memory and what QEMU itself needs.",
    ),
  pids: z
    .int()
    .min(16)
    .max(4096)
    .optional()
    .describe('Threads that QEMU may have; unset: its virtual CPUs, 64 for I/O, and a margin.'),
  ioWeight: z
    .int()
    .min(1)
    .max(10_000)
    .default(100)
    .describe('Share of disk time against other machines (cgroup v2 io.weight).'),
  fileSize: byteSize({ from: '1MiB', to: '4096TiB', examples: ['1TiB'] })
    .optional()
    .describe(
      'Largest size that an image may come to, also one that is attached later; unset: that of the largest disk.',
    ),
});

const hotplug = z.strictObject({
  ports: z
    .int()
    .min(0)
    .max(mostPorts)
    .optional()
    .describe(
      'Places for disks that are attached while the machine runs; each is a PCI Express port of `q35`. Unset: 4 on `q35`, none beside AMD’s IOMMU; `pc` needs none.',
    ),
  usb: z
    .boolean()
    .default(false)
    .describe(
      'USB devices of the host may be attached while the machine runs, though `hostDevices` names none: it has a controller, and the calls with which QEMU looks for such devices.',
    ),
});

const boot = z.strictObject({
  kernel: hostPath
    .optional()
    .describe('Linux kernel to boot directly.')
    .meta({ examples: ['/var/lib/qward/images/vmlinuz'] }),
  initrd: hostPath
    .optional()
    .describe('Initial RAM disk; needs `kernel`.')
    .meta({ examples: ['/var/lib/qward/images/initrd.img'] }),
  cmdline: line(2047)
    .optional()
    .describe('Kernel command line; needs `kernel`.')
    .meta({ examples: ['console=ttyS0 root=/dev/vda1'] }),
  order: z
    .array(identifier)
    .max(32)
    .optional()
    .describe(
      'Ids of disks, CD-ROM drives and network cards in the order to boot from; unset: disks, then CD-ROMs.',
    )
    .meta({ examples: [['root', 'install']] }),
  menu: z.boolean().default(false).describe('Show the firmware menu.'),
});

const autostart = z.strictObject({
  after: z
    .array(machineName)
    .max(32)
    .default([])
    .describe(
      'Machines that must be ready before this one is started with the host. Where one of them does not start, this one does not either.',
    )
    .meta({ examples: [['db']] }),
  delay: duration
    .prefault('0s')
    .describe('How long to wait before this machine is started, once those in `after` are ready.'),
  ready: z
    .enum(['qmp', 'guest-agent', 'port', 'delay'])
    .default('qmp')
    .describe(
      'When machines that come after this one may start: `qmp` once it runs, `guest-agent` once the agent in the guest answers, `port` once a TCP port of the guest accepts a connection, `delay` after `settle`.',
    ),
  address: ipAddress
    .optional()
    .describe('Address of the guest; for `ready: port`.')
    .meta({ examples: ['192.168.100.10'] }),
  port: z
    .int()
    .min(1)
    .max(65_535)
    .optional()
    .describe('TCP port of the guest; for `ready: port`.')
    .meta({ examples: [5432] }),
  settle: duration.prefault('10s').describe('How long the machine is given; for `ready: delay`.'),
  timeout: duration
    .prefault('120s')
    .describe('How long to wait until it is ready; after that those that come after it are not started.'),
});

const restart = z.strictObject({
  delay: duration.prefault('1s').describe('Wait before the first restart; doubled with each further one.'),
  maxDelay: duration.prefault('60s').describe('The longest wait between two restarts.'),
  attempts: z
    .int()
    .min(1)
    .max(1000)
    .default(5)
    .describe('Restarts within `within`; after so many the machine stays as it is.'),
  within: duration.prefault('10m').describe('The time in which `attempts` are counted.'),
});

const hookName = identifier.describe('Name of a hook of the policy.');
const hooks = z.strictObject({
  start: hookName
    .optional()
    .describe(
      'Program of the administrator to run before each start; where it fails, the machine is not started.',
    )
    .meta({ examples: ['prepare'] }),
  stop: hookName
    .optional()
    .describe('Program of the administrator to run after each end of the machine, however it came.')
    .meta({ examples: ['tidy'] }),
});

export const machineSchema = z.strictObject({
  name: machineName.describe('Name of the machine on this host.').meta({ examples: ['web'] }),
  title: line(120).default('').describe('A few words for people.'),
  description: line(1024).default('').describe('A line for people.'),
  uuid: uuid
    .optional()
    .describe('UUID that the guest reads in its SMBIOS; unset: zeroes.')
    .meta({ examples: ['4dea22b3-1d52-d8f3-2516-782e98ab3fa0'] }),
  tags: z
    .array(identifier)
    .max(32)
    .default([])
    .describe('Words to find machines by: `qward start tag:web`.')
    .meta({ examples: [['web', 'production']] }),
  machine: z
    .enum(['q35', 'microvm', 'pc'])
    .default('q35')
    .describe(
      'Board that QEMU emulates: `q35` for all of today, `pc` for guests of before 2010. `microvm` has no PCI, no firmware menu, and boots a kernel directly.',
    ),
  machineVersion: machineVersion
    .optional()
    .describe(
      "Version of the board, so that the guest finds the same hardware with a later QEMU; unset: QEMU's latest.",
    )
    .meta({ examples: ['7.2'] }),
  platform: platformSchema.prefault({}).describe('What the board has beside devices.'),
  accel: z
    .enum(['auto', 'kvm', 'tcg'])
    .default('auto')
    .describe(
      '`kvm` runs guest code on the CPU, `tcg` translates it; `auto` takes KVM where it was proved to work.',
    ),
  cpu: cpuSchema.prefault({}).describe('Virtual CPUs.'),
  clock: clockSchema.prefault({}).describe('Clocks that the guest sees.'),
  smbios: smbiosSchema
    .prefault({})
    .describe('What the guest reads about its hardware in SMBIOS; unset: as QEMU has it.'),
  generationId: generationId
    .optional()
    .describe(
      'Number that tells Windows and Linux that they were copied or went back in time (ACPI vmgenid); `auto`: another with each start.',
    ),
  memory: byteSize({ from: '8MiB', to: '64TiB', step: '1MiB', examples: ['512M', '2GiB'] })
    .prefault('1GiB')
    .describe("The guest's memory."),
  memoryMaximum: memoryMaximum
    .optional()
    .describe(
      'Memory that there is room for, to be attached later; limits and quotas count it. Needs `memorySlots`.',
    ),
  memorySlots: z
    .int()
    .min(1)
    .max(256)
    .optional()
    .describe('Modules of memory that can be attached; needs `memoryMaximum`.'),
  memoryBacking: memoryBackingSchema.prefault({}).describe('What the memory is made of.'),
  numa: z
    .array(numaCellSchema)
    .max(32)
    .default([])
    .describe('Cells of memory and CPUs that the guest sees; none: it is all one.'),
  firmware: z
    .enum(['bios', 'uefi'])
    .default('bios')
    .describe('`uefi` is OVMF with a variable store of its own for each machine.'),
  secureBoot: z
    .boolean()
    .default(false)
    .describe(
      'UEFI that starts only what the keys of its variables vouch for, which are those of Microsoft and of Debian’s package at first; needs `firmware: uefi` and `machine: q35`. The store is another one than without.',
    ),
  boot: boot.prefault({}).describe('What the guest boots from.'),
  disks: z.array(diskSchema).max(64).prefault([]).describe('Disks.'),
  cdroms: z.array(cdromSchema).max(8).default([]).describe('CD-ROM drives.'),
  scsiControllers: z
    .array(scsiControllerSchema)
    .min(1)
    .max(8)
    .optional()
    .describe('Controllers of virtio-scsi; unset: one where a drive is on `scsi`.'),
  iothreads: z
    .int()
    .min(0)
    .max(64)
    .default(0)
    .describe('Threads of QEMU for the data of disks, counted from 1 where a disk or controller names one.'),
  nics: z.array(nicSchema).max(32).prefault([]).describe('Network cards; none: the machine has no network.'),
  hostDevices: z
    .array(hostDeviceSchema)
    .max(8)
    .default([])
    .describe(
      'PCI devices of the host that the machine has to itself (VFIO); each needs a line of the policy.',
    ),
  shares: z
    .array(shareSchema)
    .max(8)
    .default([])
    .describe(
      'Folders of the host, by virtiofsd in a jail of its own for each. Root of the guest is the owner of the folder in it, and other users of the guest make nothing there.',
    ),
  console: z.boolean().default(true).describe('Serial console, reached by `qward console`.'),
  serials: z
    .array(serialSchema)
    .max(3)
    .default([])
    .describe('Serial ports beside `console`. What the guest writes is kept in QEMU, 64 KiB of each.'),
  channels: z
    .array(channelSchema)
    .max(8)
    .default([])
    .describe(
      'Ports of virtio-serial beside that of `agent`. What the guest writes is kept in QEMU, 64 KiB of each.',
    ),
  vsock: vsockSchema
    .optional()
    .describe(
      'Sockets between guest and host (AF_VSOCK); /dev/vhost-vsock must be among `devices` of the policy.',
    ),
  vnc: z
    .boolean()
    .default(false)
    .describe('Graphics card and VNC; nothing listens, viewers come through the manager.'),
  clipboard: z
    .boolean()
    .default(false)
    .describe(
      'The guest and the viewer of its screen have one clipboard, where the guest runs spice-vdagent. It then sees what is copied on your desktop while the viewer is open; needs `vnc`.',
    ),
  video: videoSchema.prefault({}).describe('Graphics card.'),
  moreVideo: z
    .array(moreVideoSchema)
    .max(4)
    .default([])
    .describe(
      'Further graphics cards beside `video`, each with its own screens. A viewer turns to them by ctrl-alt-2, ctrl-alt-3 and so on.',
    ),
  inputs: z
    .array(inputSchema)
    .max(8)
    .optional()
    .describe(
      'Keyboards, mice and tablets; unset: with `vnc` a tablet on USB, and the keyboard and mouse of the board.',
    ),
  usb: usbSchema.prefault({}).describe('USB controller.'),
  sound: soundSchema.prefault({}).describe('Sound card.'),
  watchdog: watchdogSchema.prefault({}).describe('Watchdog.'),
  tpm: z
    .boolean()
    .default(false)
    .describe(
      'TPM 2.0, by swtpm in a jail of its own beside the machine; its state is kept for each machine, and in saved states and snapshots.',
    ),
  tpmModel: z
    .enum(['crb', 'tis'])
    .default('crb')
    .describe('How the guest speaks to its TPM: `crb`, or `tis` as guests of before 2016 do.'),
  panic: panicDevice,
  iommu: iommuSchema.prefault({}).describe('IOMMU in the guest.'),
  rng: z.boolean().default(true).describe('Random numbers of the host for the guest (virtio-rng).'),
  balloon: z
    .boolean()
    .default(true)
    .describe('Lets the host take back memory and see how much is in use (virtio-balloon).'),
  rngOptions: rngOptionsSchema
    .optional()
    .describe('How much of `rng` the guest gets; unset: as much as it asks for.'),
  balloonOptions: balloonOptionsSchema.prefault({}).describe('How `balloon` behaves.'),
  agent: z.boolean().default(false).describe('Channel for the guest agent (virtio-serial).'),
  runner: z
    .boolean()
    .default(false)
    .describe('Channel by which `qward run` gives commands to its throwaway machine (virtio-serial).'),
  stop: z
    .strictObject({
      timeout: duration
        .prefault('60s')
        .describe('How long the guest may take to shut down before it is killed.'),
    })
    .prefault({})
    .describe('How the machine is stopped.'),
  autostart: autostart
    .prefault({})
    .describe(
      'Order and readiness at the start of the host. Whether it is started then is the administrator’s: `qward autostart on`.',
    ),
  onHostShutdown: z
    .enum(['stop', 'save', 'kill', 'leave'])
    .default('stop')
    .describe(
      'What becomes of the machine when the host goes down: `stop` lets the guest shut down within `stop.timeout`, `save` keeps its memory, so that the next start goes on there, and stops it where that fails or takes too long, `kill` ends it at once, `leave` does nothing, and the host ends it with the last processes.',
    ),
  onCrash: z
    .enum(['stop', 'restart', 'pause'])
    .default('stop')
    .describe(
      'When QEMU crashes, or the guest reports a panic: `restart` starts it again, as `restart` says; `pause` keeps a guest that panicked, paused, to look into.',
    ),
  onReboot: z
    .enum(['reset', 'stop'])
    .default('reset')
    .describe('When the guest reboots: `reset` lets it, `stop` ends the machine.'),
  onPowerOff: z
    .enum(['stop', 'restart'])
    .default('stop')
    .describe('When the guest powers itself off: `stop`, or `restart` it, as `restart` says.'),
  restart: restart.prefault({}).describe('How often and how soon a machine is started again by itself.'),
  hooks: hooks.prefault({}).describe('Programs of the administrator around the life of the machine.'),
  limits: resourceLimits.prefault({}).describe('What the QEMU process may use of the host.'),
  rawio: z
    .enum(['none', 'reserve'])
    .default('none')
    .describe(
      '`reserve`: QEMU keeps CAP_SYS_RAWIO although no disk needs it yet, since a running process cannot be given it.',
    ),
  hotplug: hotplug.prefault({}).describe('Room for what is attached while the machine runs.'),
  qemu: qemuSchema.prefault({}).describe("Passthrough to QEMU's command line, environment and monitor."),
  confinement: confinementSchema
    .prefault({})
    .describe('What this machine is given beyond the walls of every machine; see docs/relaxations.md.'),
  onAuditFailure: z
    .enum(['stop', 'warn'])
    .default('stop')
    .describe(
      'What follows when a wall differs on the live process: `stop` ends it before its guest runs; `warn` lets it run, marked in `qward list`, where the policy has `allowAuditWarning`.',
    ),
});

/** A definition with every default filled in. Sizes are bytes, durations milliseconds. */
export type MachineDefinition = z.output<typeof machineSchema>;
export type DiskDefinition = MachineDefinition['disks'][number];
export type CdromDefinition = MachineDefinition['cdroms'][number];
export type NicDefinition = MachineDefinition['nics'][number];
export type HostDeviceDefinition = MachineDefinition['hostDevices'][number];
export type UserNic = Extract<NicDefinition, { kind: 'user' }>;
