/** What the QEMU process may use of the host. Numbers measured with QEMU 7.2 on Debian 12. */
import { hotplugPorts } from '../definition/hotplug-ports.ts';
import { mostCpus } from '../definition/most-cpus.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { LaunchLimits } from '../protocol/launch.ts';
import { translationBufferMib, type Accelerator } from './accelerator.ts';
import { variableStorePath } from './boot.ts';
import { mostMemoryMib } from './guest-memory.ts';
import { graphicsCard } from './display.ts';
import type { HostFacts } from './launch-plan.ts';

const mib = 1024 ** 2;

/** Threads of the pool that carries file I/O (QEMU's own ceiling). */
const ioThreads = 64;
/** Main, RCU, VNC, migration: 4 measured at rest, the rest is room. */
const otherThreads = 16;
/** With fewer, QEMU aborts before its monitor greets. */
export function threadsAtStart(cpus: number): number {
  return cpus + 4;
}

/**
 * Memory that QEMU needs beside the guest's, bytes. A ceiling and not a forecast: beyond it the kernel kills the machine.
 */
export function memoryOverhead(definition: MachineDefinition, accel: Accelerator): number {
  // What is attached later has its room from the start on: a limit is not raised while the machine runs.
  const later = hotplugPorts(definition);
  const drives = definition.disks.length + definition.cdroms.length + later;
  const layers = definition.disks.reduce((sum, disk) => sum + 1 + disk.backing.length, later);
  const parts = [
    // Heap, ROMs and firmware: 40 MiB measured with three disks after the boot; the rest is room for I/O in flight.
    192,
    accel.kind === 'tcg' ? translationBufferMib + 64 : 0,
    // Stack, and under KVM the kernel's page tables and state of the CPU.
    mostCpus(definition.cpu) * 8,
    // Requests in flight: 1 MiB for each of the queue's larger ones.
    drives * 32,
    // qcow2's table cache is 32 MiB at most for each layer.
    layers * 33,
    definition.nics.length * 8,
    // Frame buffer 16 MiB, the server's copies of it for its viewers.
    definition.vnc ? 96 : 0,
    graphicsCard(definition) === 'none' ? 0 : Math.max(0, (definition.video.memory ?? 0) / mib - 16) * 4,
    // Of each further card the frame buffer and a copy of what is on its screens.
    definition.moreVideo.reduce((sum, { memory }) => sum + 80 + Math.max(0, (memory ?? 0) / mib - 16) * 4, 0),
    // Page tables: 8 bytes a page here and in the kernel's own for the guest, dirty bitmaps.
    mostMemoryMib(definition) / 64,
  ];
  return Math.ceil(parts.reduce((sum, part) => sum + part, 0)) * mib;
}

/** Largest size that a file of the machine can come to: a qcow2 image also holds tables, at worst a tenth. */
function largestFile(definition: MachineDefinition, facts: HostFacts): number {
  const sizes = definition.disks
    .filter((disk) => !disk.readonly)
    .map((disk) => {
      const file = facts.files[disk.path];
      if (file?.ok !== true) return 0;
      if (disk.format === 'raw') return file.size;
      return Math.ceil(Math.max(file.size, file.image.virtualSize) * 1.1);
    });
  const vars = facts.files[variableStorePath(facts.varsDirectory, definition)];
  // Huge pages, and what is shared, are a file of the kernel's own, in memory.
  const { memoryBacking, shares } = definition;
  const pages =
    memoryBacking.hugePages === 'none' && shares.length === 0 ? 0 : mostMemoryMib(definition) * mib;
  return Math.max(0, pages, ...sizes, vars?.ok === true ? vars.size : 0);
}

/** Beyond the images: the machine's log, and tables of small images. */
export const fileMargin = 64 * mib;

/** Descriptors: what the plan gives, twice again for those that QEMU makes of them, and event descriptors of the queues. */
function openFiles(definition: MachineDefinition, descriptors: number): number {
  const later = hotplugPorts(definition);
  const devices = 8 + definition.disks.length + definition.nics.length + later;
  return Math.min(65_536, 256 + (descriptors + later * 2) * 3 + mostCpus(definition.cpu) * (1 + 4 * devices));
}

export function planLimits(
  definition: MachineDefinition,
  facts: HostFacts,
  from: { readonly accel: Accelerator; readonly descriptors: number },
): LaunchLimits {
  const { limits, cpu } = definition;
  return {
    memory: limits.memory ?? mostMemoryMib(definition) * mib + memoryOverhead(definition, from.accel),
    pids: limits.pids ?? mostCpus(cpu) + definition.iothreads + ioThreads + otherThreads,
    cpuWeight: limits.cpuWeight,
    cpuQuota: limits.cpuQuota === undefined ? null : Math.round(limits.cpuQuota * 100_000),
    ioWeight: limits.ioWeight,
    openFiles: openFiles(definition, from.descriptors),
    fileSize: Math.min(
      Number.MAX_SAFE_INTEGER,
      Math.max(limits.fileSize ?? 0, largestFile(definition, facts) + fileMargin),
    ),
  };
}
