/** On which CPUs of the host the threads of QEMU run. */
import { numbersOf } from '../definition/number-ranges.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { LaunchRequest, Pin } from '../protocol/launch.ts';
import type { Accelerator } from './accelerator.ts';

/** By the names that QEMU 7.2 gives its threads with `debug-threads=on`; the first that fits counts. */
export function pinsPart({ cpu }: MachineDefinition, accel: Accelerator): Pick<LaunchRequest, 'pins'> {
  const { machine, emulator, vcpus, iothreads } = cpu.pinning;
  const pin = (thread: string, cpus: string | undefined): readonly Pin[] =>
    cpus === undefined ? [] : [{ thread, cpus: [...new Set(numbersOf(cpus))] }];
  const pins = [
    ...vcpus.flatMap(({ vcpu, cpus }) => pin(`CPU ${vcpu}/${accel.kind.toUpperCase()}`, cpus)),
    ...iothreads.flatMap(({ iothread, cpus }) => pin(`IO io.${iothread}`, cpus)),
    ...pin('CPU ', machine),
    ...pin('IO ', machine),
    ...pin('', emulator ?? machine),
  ];
  return pins.length === 0 ? {} : { pins };
}
