/** Shared folders of a machine: QEMU's part of each, and virtiofsd beside it. Pure. */
import { createHash } from 'node:crypto';
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { shareJobPrefix, virtiofsdArguments } from '../protocol/side-servers.ts';
import { boards, busProperties, extraPlace } from './boards.ts';
import type { DescriptorTable } from './descriptor-table.ts';
import type { HostFacts, SideServerPlan } from './launch-plan.ts';
import { jsonOption, keyOption, type Option } from './options.ts';

const [mib, gib] = [1024 ** 2, 1024 ** 3];

/** The broker's name for the virtiofsd of a share. */
export const shareJob = (machine: string, tag: string): string =>
  shareJobPrefix + createHash('sha256').update(`${machine}\n${tag}`).digest('hex').slice(0, 16);

/** Each is connected before QEMU is: virtiofsd waits for it. */
export function shareOptions(definition: MachineDefinition, table: DescriptorTable): readonly Option[] {
  return definition.shares.flatMap(({ tag, path }, index) => {
    const fd = table.addServer(shareJob(definition.name, tag), {
      subject: `share ${tag}`,
      reason: `files of ${path}, by virtiofsd`,
    });
    const id = `share.${index}`;
    return [
      keyOption('-chardev', 'socket', { id: `${id}.server`, fd }),
      jsonOption('-device', {
        driver: 'vhost-user-fs-pci',
        id,
        ...busProperties(boards[definition.machine], extraPlace(definition, id)),
        chardev: `${id}.server`,
        tag,
      }),
    ];
  });
}

export function planShares(
  { name, shares, memory, limits: { cpuWeight, ioWeight } }: MachineDefinition,
  { virtiofsd, claimants }: Pick<HostFacts, 'virtiofsd' | 'claimants'>,
): readonly SideServerPlan[] {
  if (virtiofsd === null) return [];
  return shares.map(({ tag, path, readonly }) => ({
    name: `share ${tag}`,
    launch: {
      machine: shareJob(name, tag),
      program: 'virtiofsd',
      binary: virtiofsd.binary,
      argv: virtiofsdArguments(path),
      env: {},
      descriptors: [{ kind: 'netdev', machine: name, socket: 'share' }],
      devices: [],
      root: virtiofsd.closure,
      shown: [
        {
          kind: 'file',
          path,
          access: readonly ? 'ro' : 'rw',
          claimant: Object.hasOwn(claimants, path) ? (claimants[path] ?? null) : null,
        },
      ],
      limits: {
        // Pages of the guest that it touches first are counted as its own.
        memory: memory + 256 * mib,
        pids: 128,
        cpuWeight,
        cpuQuota: null,
        ioWeight,
        // One for each file that the guest has seen and not forgotten.
        openFiles: Math.min(262_144, virtiofsd.openFiles),
        fileSize: 16 * 1024 * gib,
      },
    },
  }));
}

export function shareFaults(
  { shares }: MachineDefinition,
  { virtiofsd, session }: Pick<HostFacts, 'virtiofsd' | 'session'>,
): readonly Fault[] {
  if (shares.length === 0) return [];
  if (session === true)
    return [
      {
        code: 'helper-missing',
        message: 'a session shares no folders yet',
        hint: 'Use the system instance (--system).',
        path: ['shares'],
      },
    ];
  if (virtiofsd !== null) return [];
  return [
    {
      code: 'helper-missing',
      message: 'shared folders need virtiofsd, which is not on this host, or not in the policy',
      hint: 'Install it: `apt install qemu-system-common`; one elsewhere than /usr/lib/qemu must be listed in shareServers of the policy.',
      path: ['shares'],
    },
  ];
}

/** For people. */
export const shareNotes = ({ shares }: MachineDefinition): readonly string[] =>
  shares.map(
    ({ tag, path, readonly }) =>
      `share "${tag}": the guest's root is the owner of ${path} in it${readonly ? ', to read' : ''}; the machine is not saved and has no snapshots as long as it has a share (QEMU 7.2)`,
  );
