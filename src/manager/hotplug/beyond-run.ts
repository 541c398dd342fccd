/** What a disk or card would need of the process that runs, and that it was not started with: nothing of it can be given later. Pure. */
import type { Fault } from '../../definition/fault.ts';
import { fileMargin } from '../../plan/limits.ts';
import type { LaunchRequest } from '../../protocol/launch.ts';

export function beyondRun(
  { what, id }: { readonly what: 'disk' | 'card' | 'usb'; readonly id: string },
  wanted: LaunchRequest,
  running: LaunchRequest,
): readonly Fault[] {
  const { machine, relaxed = [] } = wanted;
  // Which USB device it is, the policy says; what QEMU needs is the same for all.
  const lacking = relaxed.filter(
    ({ relax, to }) =>
      !(running.relaxed ?? []).some((one) => one.relax === relax && (relax === 'usb' || one.to === to)),
  );
  const faults = lacking.map(({ relax, to }): Fault => {
    if (relax === 'capability' && to === 'sys_rawio')
      return {
        code: 'request-invalid',
        message: `disk "${id}" was not attached: raw SCSI commands need CAP_SYS_RAWIO, machine "${machine}" was started without it, and a capability cannot be added to a running process`,
        hint: 'set `rawio: reserve` in the definition and start the machine anew; from then on such disks can be attached',
      };
    if (relax === 'usb')
      return {
        code: 'request-invalid',
        message: `USB device "${id}" was not attached: machine "${machine}" was started without the calls that QEMU needs for one, and no wall of a running process is changed`,
        hint: 'set `hotplug: {usb: true}` in the definition and start the machine anew; from then on USB devices can be attached',
      };
    return {
      code: 'request-invalid',
      message: `${what} "${id}" was not attached: machine "${machine}" was started without "${relax} ${to}", which its definition asks for now, and no wall of a running process is changed`,
      hint: 'start the machine anew, then attach it',
    };
  });
  const devices = wanted.devices.filter((device) => !running.devices.includes(device));
  const largest = wanted.limits.fileSize - fileMargin;
  return [
    ...faults,
    ...devices.map((device): Fault => ({
      code: 'request-invalid',
      message: `${what} "${id}" was not attached: machine "${machine}" was started without ${device}, which its definition asks for now`,
      hint: 'start the machine anew, then attach it',
    })),
    ...(largest > running.limits.fileSize
      ? [
          {
            code: 'resources-short',
            message: `disk "${id}" was not attached: its image can come to ${largest} bytes, and machine "${machine}" was started with files of ${running.limits.fileSize} bytes at most, a limit that cannot be raised on a running process`,
            hint: 'set `limits: {fileSize: SIZE}` in the definition to the size of the largest disk that will be attached, and start the machine anew',
          },
        ]
      : []),
  ];
}
