/** The TPM of a machine: QEMU's part of it, and swtpm beside it. Pure. */
import { createHash } from 'node:crypto';
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { tpmJobPrefix, swtpmArguments } from '../protocol/side-servers.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import type { HostFacts, SideServerPlan } from './launch-plan.ts';
import { jsonOption, keyOption, type Option } from './options.ts';

const mib = 1024 ** 2;

/** The directory in which the state of a machine's TPM lies, among the variable stores. */
export const tpmStatePath = (varsDirectory: string, machine: string): string =>
  `${varsDirectory}/${machine}.tpm`;

/** The broker's name for the swtpm of a machine. */
export const tpmJob = (machine: string): string =>
  tpmJobPrefix + createHash('sha256').update(machine).digest('hex').slice(0, 16);

/** QEMU waits for swtpm before it makes the machine: there is no guest that had to do without. */
export function tpmOptions({ tpm, tpmModel }: MachineDefinition, table: DescriptorTable): readonly Option[] {
  if (!tpm) return [];
  const fd = table.addSocket('tpm', { subject: 'tpm', reason: 'commands to and from swtpm' });
  return [
    keyOption('-chardev', 'socket', { id: 'tpm.server', fd, server: 'on', wait: 'on' }),
    keyOption('-tpmdev', 'emulator', { id: 'tpm', chardev: 'tpm.server' }),
    jsonOption('-device', { driver: `tpm-${tpmModel}`, id: 'tpm.0', tpmdev: 'tpm' }),
  ];
}

export function planTpm(
  { name, tpm, limits: { cpuWeight, ioWeight } }: MachineDefinition,
  { swtpm, varsDirectory }: Pick<HostFacts, 'swtpm' | 'varsDirectory'>,
): readonly SideServerPlan[] {
  if (!tpm || swtpm === null) return [];
  const path = tpmStatePath(varsDirectory, name);
  return [
    {
      name: 'tpm',
      launch: {
        machine: tpmJob(name),
        program: 'swtpm',
        binary: swtpm.binary,
        argv: swtpmArguments(path),
        env: {},
        descriptors: [{ kind: 'netdev', machine: name, socket: 'tpm' }],
        devices: [],
        root: swtpm.closure,
        shown: [{ kind: 'state', path, access: 'rw', claimant: null }],
        limits: {
          // 5 MiB measured at rest.
          memory: 64 * mib,
          // One; the OCI runtime has some before it becomes swtpm.
          pids: 32,
          cpuWeight,
          cpuQuota: null,
          ioWeight,
          openFiles: 64,
          // All of its state at its largest is below 300 KiB (libtpms).
          fileSize: mib,
        },
      },
    },
  ];
}

export function tpmFaults({ tpm }: MachineDefinition, { swtpm }: Pick<HostFacts, 'swtpm'>): readonly Fault[] {
  if (!tpm || swtpm !== null) return [];
  return [
    {
      code: 'helper-missing',
      message: 'the TPM needs swtpm, which is not on this host, or not in the policy',
      hint: 'Install it: `apt install swtpm`; one elsewhere than /usr/bin must be listed in tpmServers of the policy.',
      path: ['tpm'],
    },
  ];
}

/** For people. */
export const tpmNotes = ({ tpm }: MachineDefinition): readonly string[] =>
  tpm
    ? [
        'the TPM is swtpm, beside the machine; where it ends before the machine does, the guest has no TPM until it is stopped and started',
      ]
    : [];
