/** The files of a job: with whose rights each is opened, what they are, and whether a machine has them. */
import { parseImageHeader } from '../../plan/image-header.ts';
import type { ImageHeader } from '../../plan/launch-plan.ts';
import type { Fault } from '../../definition/fault.ts';
import type { Policy } from '../../policy/policy.ts';
import type { Access } from '../../protocol/launch.ts';
import type { OwnRule } from '../../protocol/rules.ts';
import type { BrokerPort } from '../broker-port.ts';
import { claimantOf } from '../claimant.ts';
import type { Machines } from '../machines.ts';
import { success, type Outcome } from '../outcome.ts';
import type { Identity } from '../roles.ts';

export interface WantedFile {
  readonly path: string;
  readonly access: Access;
}

export interface JobFacts {
  readonly headers: Readonly<Record<string, ImageHeader>>;
  readonly largest: number;
}

export interface JobFileServices {
  readonly broker: BrokerPort;
  readonly machines: Machines;
  /** qward's own directories. */
  readonly ownState: readonly string[];
}

/** As the manager asks for a file of the caller's jobs. */
export function claimantFor(path: string, identity: Identity, policy: Policy): number | null {
  return claimantOf(path, { ownerUid: identity.uid, ownerIsAdministrator: identity.administrator, policy });
}

export interface LookOptions {
  readonly job: string;
  readonly identity: Identity;
  readonly policy: Policy;
  /** Also where a machine runs with it. */
  readonly shared: boolean;
}

/** Looks at each file; every fault at once. */
export async function lookAtFiles(
  { broker, machines, ownState }: JobFileServices,
  wanted: readonly WantedFile[],
  { job, identity, policy, shared }: LookOptions,
): Promise<Outcome<JobFacts>> {
  const own = wanted.flatMap(({ path }) => ownFault(path, ownState));
  if (own.length > 0) return { ok: false, faults: own };
  const probed = await broker.call('probe', {
    machine: job,
    head: 12_288,
    paths: wanted.map((file) => ({ ...file, claimant: claimantFor(file.path, identity, policy) })),
  });
  if (!probed.ok) return probed;
  const faults: Fault[] = [];
  const headers: Record<string, ImageHeader> = {};
  let largest = 0;
  for (const [index, file] of probed.value.entries()) {
    if (!file.ok) {
      faults.push(file.refusal);
      continue;
    }
    const header = parseImageHeader(Buffer.from(file.head, 'base64'), file.size);
    headers[file.path] = header;
    largest = Math.max(largest, header.virtualSize, file.size);
    const fault = shared
      ? undefined
      : useFault(machines, identity, { file, access: wanted[index]?.access ?? 'rw' });
    if (fault !== undefined) faults.push(fault);
  }
  return faults.length > 0 ? { ok: false, faults } : success({ headers, largest });
}

interface Use {
  readonly file: { readonly path: string; readonly device: number; readonly inode: number };
  readonly access: Access;
}

/** SECURITY: promise 7. An image that a machine writes is not read, and one that it reads is not written. */
function useFault(machines: Machines, identity: Identity, { file, access }: Use): Fault | undefined {
  for (const machine of machines.all()) {
    const { run, saved } = machine;
    if (run === undefined) {
      if (access === 'rw' && saved?.usable === true && Object.hasOwn(saved.note.files, file.path))
        return savedFault(file.path, machine.name, machines.may(identity, 'see', machine));
      continue;
    }
    const paths = Object.entries(run.openFiles)
      .filter(([, { device, inode }]) => device === file.device && inode === file.inode)
      .map(([path]) => path);
    const writes = run.now.launch.descriptors.some(
      (one) => one.kind === 'file' && one.access === 'rw' && paths.includes(one.path),
    );
    if (paths.length === 0 || (access === 'ro' && !writes)) continue;
    const seen = machines.may(identity, 'see', machine);
    return {
      code: 'image-locked',
      message: `"${file.path}" is in use by ${seen ? `machine "${machine.name}"` : 'a machine of another user'}`,
      hint: seen
        ? `stop it first: \`qward stop ${machine.name}\`; its disks grow while it runs by \`qward resize\``
        : 'wait until it is stopped',
    };
  }
  return undefined;
}

/** SECURITY: promise 7. What is in the memory of a saved machine fits its disks only as they are. */
function savedFault(path: string, name: string, seen: boolean): Fault {
  return {
    code: 'machine-saved',
    message: `"${path}" is a disk of ${seen ? `machine "${name}"` : 'a machine of another user'}, whose memory is saved and fits it only as it is`,
    hint: seen
      ? `let it go on and stop it, or throw its memory away: \`qward discard-state ${name}\``
      : 'wait until it goes on and is stopped',
  };
}

/** SECURITY: promise 4. The store of UEFI variables is opened because the manager made it, never because a user names it. */
function ownFault(path: string, ownState: readonly string[]): readonly Fault[] {
  const directory = ownState.find((one) => path === one || path.startsWith(`${one}/`));
  if (directory === undefined) return [];
  return [
    {
      code: 'policy-refused',
      message: `"${path}" lies in ${directory}, which is qward's own`,
      hint: 'name a file beneath a storage root, or one of your own',
      rule: 'own-files' satisfies OwnRule,
    },
  ];
}
