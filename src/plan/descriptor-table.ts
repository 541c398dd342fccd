/** The descriptors of a plan: their numbers, their sets, and why each is given. */
import { firstDescriptor, type Access, type Descriptor, type SocketName } from '../protocol/launch.ts';
import type { Grant, HostFacts } from './launch-plan.ts';
import { keyOption, type Option } from './options.ts';

/** Why a descriptor is given. */
interface Purpose {
  readonly subject: string;
  readonly reason: string;
}

interface FdSet {
  readonly id: number;
  readonly members: readonly { readonly fd: number; readonly access: Access }[];
}

/** Hands out numbers in the order of the calls, which is the order in the launch request. */
export class DescriptorTable {
  readonly #descriptors: Descriptor[] = [];
  readonly #grants: Grant[] = [];
  readonly #sets: FdSet[] = [];
  readonly #claimants: HostFacts['claimants'];
  readonly #files: HostFacts['files'];

  constructor({ claimants, files }: Pick<HostFacts, 'claimants' | 'files'>) {
    this.#claimants = claimants;
    this.#files = files;
  }

  /** For QEMU, whose driver `file` takes regular files only, and `host_device` none. */
  isBlockDevice(path: string): boolean {
    const file = Object.hasOwn(this.#files, path) ? this.#files[path] : undefined;
    return file?.ok === true && file.blockDevice === true;
  }

  get descriptors(): readonly Descriptor[] {
    return this.#descriptors;
  }

  get grants(): readonly Grant[] {
    return this.#grants;
  }

  get fdsets(): readonly number[] {
    return this.#sets.map((set) => set.id);
  }

  #add(descriptor: Descriptor, grant: Omit<Grant, 'fd'>): number {
    const fd = firstDescriptor + this.#descriptors.length;
    this.#descriptors.push(descriptor);
    this.#grants.push({ fd, ...grant });
    return fd;
  }

  #addFile(
    path: string,
    access: Access,
    { reopened, ...purpose }: Purpose & { readonly reopened: boolean },
  ): number {
    const claimant = Object.hasOwn(this.#claimants, path) ? (this.#claimants[path] ?? null) : null;
    return this.#add(
      { kind: 'file', path, access, claimant, reopened },
      { resource: path, access, ...purpose },
    );
  }

  addSocket(name: SocketName, purpose: Purpose): number {
    return this.#add({ kind: 'socket', name }, { resource: `socket ${name}`, access: 'rw', ...purpose });
  }

  /** A connection to the server of a shared folder. */
  addServer(machine: string, purpose: Purpose): number {
    return this.#add(
      { kind: 'netdev', machine, socket: 'share' },
      { resource: `server ${machine}`, access: 'rw', ...purpose },
    );
  }

  addTap(bridge: string, purpose: Purpose): number {
    return this.#add(
      { kind: 'tap', bridge },
      { resource: `TAP on bridge ${bridge}`, access: 'rw', ...purpose },
    );
  }

  addCard(
    card: { readonly network: string; readonly nic: string; readonly mac: string },
    purpose: Purpose,
  ): number {
    return this.#add(
      { kind: 'card', ...card },
      { resource: `TAP on network ${card.network}`, access: 'rw', ...purpose },
    );
  }

  /** One more queue of a TAP of this table. */
  addQueue(of: number, purpose: Purpose): number {
    const tap = this.#grants.find(({ fd }) => fd === of)?.resource ?? '';
    return this.#add({ kind: 'queue', of }, { resource: `queue of ${tap}`, access: 'rw', ...purpose });
  }

  addVhostNet(purpose: Purpose): number {
    return this.#add({ kind: 'vhost-net' }, { resource: '/dev/vhost-net', access: 'rw', ...purpose });
  }

  /** A file that QEMU takes by path only; the value is that path, /proc/self/fd/N. */
  addReopened(path: string, purpose: Purpose): string {
    return `/proc/self/fd/${this.#addFile(path, 'ro', { ...purpose, reopened: true })}`;
  }

  /**
   * A set for a block node. QEMU picks the member by access mode at each open and reopen, so a writable one has both
   * (QEMU 7.2: with only one of them a reopen fails with `Could not dup FD`).
   */
  addSet(path: string, access: Access, purpose: Purpose): number {
    const modes: readonly Access[] = access === 'rw' ? ['ro', 'rw'] : ['ro'];
    const members = modes.map((mode) => ({
      access: mode,
      fd: this.#addFile(path, mode, { ...purpose, reopened: false }),
    }));
    const id = this.#sets.length + 1;
    this.#sets.push({ id, members });
    return id;
  }

  /** A set with the node of a USB device of the host, which QEMU opens as a file. */
  addUsb(device: string, purpose: Purpose): number {
    const fd = this.#add(
      { kind: 'usb', device },
      { resource: `USB device ${device}`, access: 'rw', ...purpose },
    );
    const id = this.#sets.length + 1;
    this.#sets.push({ id, members: [{ fd, access: 'rw' }] });
    return id;
  }

  /** `-add-fd` for every member of every set. */
  options(): readonly Option[] {
    return this.#sets.flatMap((set) =>
      set.members.map(({ fd, access }) => keyOption('-add-fd', null, { fd, set: set.id, opaque: access })),
    );
  }
}
