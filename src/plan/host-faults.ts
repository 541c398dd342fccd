/** Faults of the host: QEMU, firmware, memory. */
import type { Fault } from '../definition/fault.ts';
import type { KeyPath } from '../definition/key-path.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { maxDescriptors } from '../protocol/launch.ts';
import { uefiFor } from './boot.ts';
import type { HostFacts } from './launch-plan.ts';
import { guestMemoryMib } from './guest-memory.ts';
import { threadsAtStart } from './limits.ts';
import { managedNetworkFaults } from './network-server.ts';
import { usbHostModules } from './host-devices.ts';
import { soundModules } from './small-devices.ts';
import { shareFaults } from './shares.ts';
import { tpmFaults } from './tpm.ts';
import { userNetworkFaults } from './user-network.ts';

/** Options in JSON, `-add-fd` with `locking`, machine properties: 7.2 is the oldest that was tried. */
const oldestQemu = { major: 7, minor: 2 } as const;

function qemuFaults({ qemu }: HostFacts): readonly Fault[] {
  if (qemu === null)
    return [
      {
        code: 'qemu-missing',
        message: 'there is no QEMU for x86-64 on this host that the policy lists',
        hint: 'Install it: `apt install qemu-system-x86`; one elsewhere than /usr/bin must be listed in qemuBinaries of the policy.',
      },
    ];
  const { major, minor, micro } = qemu.version;
  if (major > oldestQemu.major || (major === oldestQemu.major && minor >= oldestQemu.minor)) return [];
  return [
    {
      code: 'qemu-too-old',
      message: `"${qemu.binary}" is QEMU ${major}.${minor}.${micro}; ${oldestQemu.major}.${oldestQemu.minor} or later is needed`,
      hint: 'Upgrade QEMU, or list a newer binary in qemuBinaries of the policy.',
    },
  ];
}

const gib = (bytes: number): string => `${(bytes / 1024 ** 3).toFixed(1)} GiB`;

function resourceFaults(definition: MachineDefinition, facts: HostFacts): readonly Fault[] {
  const faults: Fault[] = [];
  if (guestMemoryMib(definition) * 1024 ** 2 > facts.hostMemory)
    faults.push({
      code: 'resources-short',
      message: `the guest is to have ${gib(definition.memory)} of memory, and the host has ${gib(facts.hostMemory)}`,
      hint: 'Lower `memory`.',
      path: ['memory'],
    });
  const threads = threadsAtStart(definition.cpu.count);
  if (definition.limits.pids !== undefined && definition.limits.pids < threads)
    faults.push({
      code: 'resources-short',
      message: `a limit of ${definition.limits.pids} threads, and QEMU needs ${threads} to start with ${definition.cpu.count} virtual CPUs`,
      hint: `Leave \`limits.pids\` unset, or raise it to ${threads + 64} or more.`,
      path: ['limits', 'pids'],
    });
  return faults;
}

/** A QEMU without loadable parts has built in what it has, and says so itself. */
function partFaults(definition: MachineDefinition, { qemu }: HostFacts): readonly Fault[] {
  const modules = qemu?.modules ?? {};
  if (Object.keys(modules).length === 0) return [];
  const missing = (names: readonly string[]): readonly string[] =>
    names.filter((name) => !Object.hasOwn(modules, name));
  const fault = (names: readonly string[], what: string, hint: string, path: KeyPath): readonly Fault[] =>
    names.length === 0
      ? []
      : [{ code: 'helper-missing', message: `QEMU has no part that ${what} (${names.join()})`, hint, path }];
  return [
    ...fault(
      missing(soundModules(definition)),
      'speaks to a server of sound',
      'Install it: `apt install qemu-system-gui`; or leave `sound.server` out.',
      ['sound', 'server'],
    ),
    ...fault(
      missing(usbHostModules(definition)),
      'passes on USB devices of the host',
      'Install it with its libraries: `apt install qemu-system-x86 libusb-1.0-0`.',
      ['hostDevices'],
    ),
  ];
}

export function hostFaults(definition: MachineDefinition, facts: HostFacts): readonly Fault[] {
  const firmware: Fault[] = [];
  if (definition.firmware === 'uefi' && uefiFor(definition, facts) === null)
    firmware.push({
      code: 'firmware-missing',
      message: `UEFI firmware${definition.secureBoot ? ' with Secure Boot' : ''} for QEMU is not installed`,
      hint: 'Install it: `apt install ovmf`; or use `firmware: bios`.',
      path: ['firmware'],
    });
  return [
    ...qemuFaults(facts),
    ...firmware,
    ...resourceFaults(definition, facts),
    ...partFaults(definition, facts),
    ...userNetworkFaults(definition, facts.userNetwork),
    ...managedNetworkFaults(definition, facts.networks),
    ...tpmFaults(definition, facts),
    ...shareFaults(definition, facts),
  ];
}

/** More descriptors than one launch carries. */
export function descriptorFaults(count: number): readonly Fault[] {
  if (count <= maxDescriptors) return [];
  return [
    {
      code: 'definition-invalid',
      message: `the machine needs ${count} open files, and one launch carries ${maxDescriptors}`,
      hint: 'Use fewer disks or shorter backing chains.',
      path: ['disks'],
    },
  ];
}
