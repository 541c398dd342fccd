/** What lies in the storage roots, and which machine uses what. */
import type { z } from 'zod';
import type { diskRoutes } from '../../api/disk-contract.ts';
import { filesOf } from '../../definition/named-files.ts';
import { parseImageHeader } from '../../plan/image-header.ts';
import { groupIdOf } from '../../linux/accounts.ts';
import type { Policy, Who } from '../../policy/policy.ts';
import { isOneOf } from '../../policy/who.ts';
import type { BrokerPort } from '../broker-port.ts';
import type { Machines } from '../machines.ts';
import { success, type Outcome } from '../outcome.ts';
import { seesAll, type Identity } from '../roles.ts';

type Listing = z.output<(typeof diskRoutes)['disks']['result']>;
type Root = Listing['roots'][number];
type User = Listing['files'][number]['usedBy'][number];

/** Below a root; and files that are told of one. */
const maxDepth = 3;
const maxImages = 1000;
const probedAtOnce = 64;
/** Parts of jobs, and what is hidden on purpose. */
const isHidden = (name: string): boolean => name.startsWith('.');

export interface ListServices {
  readonly broker: BrokerPort;
  readonly machines: Machines;
  readonly policy: () => Outcome<Policy>;
}

export async function listDisks(
  { broker, machines, policy }: ListServices,
  identity: Identity,
): Promise<Outcome<Listing>> {
  const current = policy();
  if (!current.ok) return current;
  const users = usersOfFiles(machines, identity);
  const roots: Root[] = [];
  for (const { path, access, who } of current.value.storageRoots) {
    if (!mayUseRoot(identity, who)) continue;
    const root = who === null ? await listRoot(broker, { path, access, users }) : undefined;
    // The broker shows nobody but the users themselves what lies in a root that is theirs.
    if (root?.ok === true) roots.push(root.value);
    else roots.push({ path, access, free: 0, total: 0, images: [], more: false });
  }
  const told = new Set(roots.flatMap(({ images }) => images.map(({ path }) => path)));
  const files = [...users].filter(([path]) => !told.has(path)).map(([path, usedBy]) => ({ path, usedBy }));
  return success({ roots, files });
}

/** SECURITY: promise 4. Images bear names of machines: what lies in the roots of every machine is shown to those who see them all. */
function mayUseRoot(identity: Identity, who: Who | null): boolean {
  const { administrator, user, groups } = identity;
  if (administrator || who === null) return seesAll(identity);
  return isOneOf(who, { name: user, isIn: (group) => groups.includes(groupIdOf(group) ?? -1) });
}

/** Machines by file: those that the user may see. */
function usersOfFiles(machines: Machines, identity: Identity): Map<string, User[]> {
  const users = new Map<string, User[]>();
  for (const machine of machines.visibleTo(identity)) {
    const running = machine.run !== undefined;
    const needed = machine.record === null ? [] : filesOf(machine.record.definition);
    const files = new Map(needed.map(({ path, access }) => [path, access]));
    for (const [path, access] of files) {
      const known = users.get(path) ?? [];
      users.set(path, [...known, { machine: machine.name, access, running }]);
    }
  }
  return users;
}

interface RootToList {
  readonly path: string;
  readonly access: 'ro' | 'rw';
  readonly users: ReadonlyMap<string, User[]>;
}

async function listRoot(broker: BrokerPort, { path, access, users }: RootToList): Promise<Outcome<Root>> {
  const files: { path: string; size: number; allocated: number }[] = [];
  let space = { free: 0, total: 0 };
  let more = false;
  let level = [path];
  for (let depth = 0; depth <= maxDepth && level.length > 0; depth++) {
    const below: string[] = [];
    for (const directory of level) {
      const listing = await broker.call('list-directory', { path: directory });
      if (!listing.ok && directory === path) return listing;
      if (!listing.ok) continue;
      const { entries, free, total } = listing.value;
      if (directory === path) space = { free, total };
      more ||= listing.value.more;
      for (const { name, directory: isDirectory, size, allocated } of entries) {
        if (isHidden(name)) continue;
        if (isDirectory) below.push(`${directory}/${name}`);
        else if (files.length < maxImages) files.push({ path: `${directory}/${name}`, size, allocated });
        else more = true;
      }
    }
    level = below.slice(0, maxImages);
  }
  return success({ path, access, ...space, images: await describe(broker, files, users), more });
}

async function describe(
  broker: BrokerPort,
  files: readonly { readonly path: string; readonly size: number; readonly allocated: number }[],
  users: ReadonlyMap<string, User[]>,
): Promise<Root['images']> {
  const images: Root['images'] = [];
  for (let from = 0; from < files.length; from += probedAtOnce) {
    const some = files.slice(from, from + probedAtOnce);
    const paths = some.map(({ path }) => ({ path, access: 'ro' as const, claimant: null }));
    const probed = await broker.call('probe', { machine: 'qward-disk-list', paths, head: 1024 });
    for (const [index, file] of some.entries()) {
      const probe = probed.ok ? probed.value[index] : undefined;
      const header =
        probe?.ok === true ? parseImageHeader(Buffer.from(probe.head, 'base64'), probe.size) : undefined;
      images.push({
        ...file,
        format: header?.format ?? '',
        virtualSize: header?.virtualSize ?? 0,
        usedBy: users.get(file.path) ?? [],
      });
    }
  }
  return images.toSorted((left, right) => (left.path < right.path ? -1 : 1));
}
