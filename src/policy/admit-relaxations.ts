/** Whether the policy lets walls of a launch give way. SECURITY: promise 6. Each needs a line of its own. */
import type { Refusal } from '../protocol/broker.ts';
import { relaxations, relaxedValues, type LaunchRequest, type Relaxed } from '../protocol/launch.ts';
import { policyFile, type Policy } from './policy.ts';
import { placeOf, type StorageRoot } from './file-rules.ts';
import { policyRefusal } from './refusals.ts';

/** The line that allows it for a machine; -1: there is none. */
export function lineOf({ relax, to }: Relaxed, machine: string, policy: Policy): number {
  return policy.relaxations.findIndex(
    (line) =>
      line.relax === relax && line.to === to && (line.machines === null || line.machines.includes(machine)),
  );
}

export function admitRelaxations(
  launch: LaunchRequest,
  policy: Policy,
  roots: readonly StorageRoot[],
): Refusal[] {
  const { machine, program, descriptors } = launch;
  const asked = launch.relaxed ?? [];
  // SECURITY: promise 6. A USB device needs its line whether or not the request says so.
  const nodes = descriptors.flatMap((one): Relaxed[] =>
    one.kind === 'usb' ? [{ relax: 'usb', to: one.device }] : [],
  );
  const relaxed = [...asked, ...nodes.filter(({ to }) => !relaxations(launch, 'usb').includes(to))];
  if (relaxed.length > 0 && program !== 'qemu' && program !== 'drill')
    return [policyRefusal(`"${machine}" is no machine's QEMU, and has every wall`, 'ask for no relaxation')];
  return [...relaxed.flatMap((one) => admitOne(one, machine, policy)), ...admitRawIo(launch, policy, roots)];
}

function admitOne(one: Relaxed, machine: string, policy: Policy): Refusal[] {
  const { relax, to } = one;
  const known = relaxedValues[relax];
  if (known?.includes(to) === false)
    return [policyRefusal(`"${to}" is no ${relax}`, `one of ${known.join(', ')}`)];
  if (relax === 'user' && to === 'root' && !policy.allowRoot)
    return [
      policyRefusal(
        `machine "${machine}" may not run as root`,
        `set allowRoot in ${policyFile}`,
        'allowRoot',
      ),
    ];
  if (lineOf(one, machine, policy) >= 0) return [];
  if (policy.session !== undefined) {
    // What a user's own process may do anyway is the user's to say.
    if (
      relax === 'seccomp' ||
      relax === 'syscall' ||
      relax === 'usb' ||
      (relax === 'namespace' && to === 'net')
    )
      return [];
    return [
      policyRefusal(
        `"${relax} ${to}" is nothing that a user's session can give`,
        'use the system instance: the same command with `--system`',
      ),
    ];
  }
  const line = JSON.stringify({ relax, to, machines: [machine] });
  return [
    policyRefusal(
      `relaxation "${relax} ${to}" is not one that the policy gives machine "${machine}"`,
      `add ${line} to relaxations in ${policyFile}`,
      'relaxations',
    ),
  ];
}

/** SECURITY: promise 6. The capability is of the whole process: every block device of it is one for raw commands. */
export function admitRawIo(
  launch: Pick<LaunchRequest, 'relaxed' | 'descriptors'>,
  policy: Policy,
  roots: readonly StorageRoot[],
): Refusal[] {
  if (!relaxations(launch, 'capability').includes('sys_rawio')) return [];
  const paths = launch.descriptors.flatMap((one) => (one.kind === 'file' ? [one.path] : []));
  const barred = [...new Set(paths)].filter((path) => {
    if (placeOf(path, policy, roots)?.kind !== 'device') return false;
    return policy.blockDevices.find((device) => device.path === path)?.rawio !== true;
  });
  return barred.map((path) =>
    policyRefusal(
      `"${path}" is not a block device that the policy gives for raw commands`,
      `add "rawio": true to its line of blockDevices in ${policyFile}`,
      'blockDevices',
    ),
  );
}
