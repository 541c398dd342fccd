/** Every open descriptor of the process against what was planned: what it is, and for what it was opened. */
import type { OpenDescriptor } from '../protocol/broker.ts';
import { cardFaults, planNetwork } from '../protocol/networks.ts';
import {
  isPasst,
  isRootless,
  isServer,
  isShare,
  isTpm,
  nodesOf,
  relaxedTo,
  type ExpectedWalls,
  type MachineWalls,
} from './expected-walls.ts';
import { judge, type Finding } from './finding.ts';
import type { ProcessState } from './process-state.ts';
import { reachOf } from './reach-of-arguments.ts';

/** st_mode bits: inode(7). */
const typeMask = { character: 0o020000, directory: 0o040000, block: 0o060000, regular: 0o100000 } as const;
/** A PCI device that was opened by its IOMMU group (Linux: drivers/vfio). */
const vfioDevice = 'anon_inode:[vfio-device]';
/** O_ACCMODE of open(2): 0 reads, 1 writes, 2 both. */
const mayWrite = (descriptor: OpenDescriptor): boolean => (descriptor.flags & 3) !== 0;
const withoutDeleted = (path: string): string => path.replace(/ \(deleted\)$/, '');

export function compareDescriptors(state: ProcessState, expected: ExpectedWalls): Finding {
  const { descriptors } = state.facts;
  const faults = expected === null ? faultsOfForeign(state) : faultsOfMachine(state, expected);
  return judge(
    expected === null ? `${descriptors.length} open` : `${descriptors.length} open, all planned or its own`,
    faults,
  );
}

/**
 * What QEMU makes for itself and what leads nowhere. Not among them, since they reach the kernel in ways that the
 * filter cannot see: io_uring, bpf, perf events, userfaultfd.
 */
const internal =
  /^(?:anon_inode:(?:\[(?:eventfd|eventpoll|signalfd|timerfd|kvm-gmem)\]|kvm-(?:vm|vcpu|device|vfio|vcpu-stats|vm-stats).*)|\/memfd:.*|\/dev\/(?:null|zero|full|random|urandom))$/;

function isInternal(descriptor: OpenDescriptor, state: ProcessState): boolean {
  if (internal.test(descriptor.target)) return true;
  // A pipe is the process's own where it holds both ends.
  if (!descriptor.target.startsWith('pipe:[')) return false;
  const ends = state.facts.descriptors.filter(
    ({ inode, target }) => target === descriptor.target && inode === descriptor.inode,
  );
  return ends.some(mayWrite) && ends.some((end) => (end.flags & 3) !== 1);
}

function faultsOfMachine(state: ProcessState, expected: MachineWalls): string[] {
  const { descriptors } = state.facts;
  // /dev/null, as it is called where there is no /dev any more.
  const input = isPasst(expected) ? '/null' : '/dev/null';
  const faults = descriptors.flatMap((descriptor) => {
    if (descriptor.fd === 0 && (descriptor.target === input || isBoundNull(descriptor, expected))) return [];
    if (isInternal(descriptor, state) || descriptor.target.startsWith('socket:[')) return [];
    const fault = faultOfPath(descriptor, expected);
    return fault === null ? [] : [`${descriptor.fd}: ${fault}`];
  });
  return [
    ...faults,
    ...faultsOfSockets(state, expected),
    ...faultsOfCounts(descriptors, expected),
    ...faultsOfMappings(state, expected),
    ...faultsOfCards(state, expected),
  ];
}

/** In a session /dev/null is a bind of the host's, which passt's new root has left without a path. */
const isBoundNull = (descriptor: OpenDescriptor, expected: MachineWalls): boolean =>
  isPasst(expected) &&
  isRootless(expected) &&
  descriptor.target === '/' &&
  descriptor.type === typeMask.character;

/**
 * By what it is, not by its number: QEMU duplicates what it is given and closes the first
 * (`-add-fd`), so the numbers of the plan serve other things soon.
 */
function faultOfPath(descriptor: OpenDescriptor, expected: MachineWalls): string | null {
  const { target } = descriptor;
  const { launch } = expected;
  if (nodesOf(expected).includes(target)) return null;
  // Its own, by which it opens files anew: it left the root in which they have names.
  if (isShare(expected) && /^\/proc\/\d+\/(?:fd|task)$/.test(target) && !mayWrite(descriptor)) return null;
  // Counted in faultsOfCounts.
  if (['/dev/net/tun', '/dev/vhost-net', vfioDevice].includes(target)) return null;
  if (withoutDeleted(target) === expected.log) return null;
  // Firmware that QEMU opens by itself and keeps open: read only, from what its root shows.
  if (
    isBeneath(
      target,
      launch.root.map((one) => one.target),
    ) &&
    !mayWrite(descriptor)
  )
    return null;
  const shown = (launch.shown ?? []).find(({ path }) => isBeneath(withoutDeleted(target), [path]));
  if (shown !== undefined)
    return shown.access === 'ro' && mayWrite(descriptor)
      ? `${target} is open for writing, planned to be read`
      : null;
  if (isUsbDevice(descriptor, expected)) return null;
  const granted = launch.descriptors.filter(
    (one) => one.kind === 'file' && isFile(descriptor, one.path, expected),
  );
  if (granted.length === 0) return `${target} was not planned`;
  const writable = granted.some((one) => one.kind === 'file' && one.access === 'rw');
  return mayWrite(descriptor) && !writable ? `${target} is open for writing, planned to be read` : null;
}

const isBeneath = (path: string, places: readonly string[]): boolean =>
  places.some((place) => path === place || path.startsWith(`${place}/`));

/** The file itself where its identity is known, else whatever has its path. */
function isFile(descriptor: OpenDescriptor, path: string, expected: MachineWalls): boolean {
  if (descriptor.type !== typeMask.regular && descriptor.type !== typeMask.block) return false;
  const identity = expected.files[path];
  if (identity === undefined) return withoutDeleted(descriptor.target) === path;
  return descriptor.device === identity.device && descriptor.inode === identity.inode;
}

/** SECURITY: promise 5. The very node that was opened for the machine, by whatever name it has, or had: the device may be gone. */
function isUsbDevice({ type, device, inode }: OpenDescriptor, { launch, files }: MachineWalls): boolean {
  return (
    type === typeMask.character &&
    launch.descriptors.some((one) => {
      const node = one.kind === 'usb' ? files[one.device] : undefined;
      return node?.device === device && node.inode === inode;
    })
  );
}

/** Its one Unix socket leads to QEMU; the others are connections of the guest, which it makes and ends all the time. */
function faultsOfPasstSockets({ facts: { sockets } }: ProcessState): string[] {
  const planned = sockets.find(({ listening, path }) => !listening && path === '');
  return sockets.flatMap((one) =>
    one === planned ? [] : [`Unix socket ${one.path || one.inode}, which was not planned`],
  );
}

/** One for control, from the broker; by it QEMU passes one for commands, of its own namespace. Its filter lets swtpm make none. */
function faultsOfTpmSockets({ facts: { sockets, descriptors } }: ProcessState): string[] {
  const control = sockets.find(({ listening, path }) => !listening && path === '');
  const open = descriptors.filter(({ target }) => target.startsWith('socket:['));
  const foreign = open.filter(({ inode }) => inode !== control?.inode);
  const [data] = foreign.filter(({ inode }) => sockets.every((one) => one.inode !== inode));
  return foreign.flatMap(({ fd, target }) =>
    fd === data?.fd ? [] : [`${fd}: ${target}, which was not planned`],
  );
}

/** The one that its QEMU has connected; by it QEMU passes one of its own namespace. Its filter lets virtiofsd make none. */
function faultsOfShareSockets({ facts: { sockets, descriptors } }: ProcessState): string[] {
  const open = descriptors.filter(({ target }) => target.startsWith('socket:['));
  const known = (inode: number) => sockets.find((one) => one.inode === inode);
  const foreign = open.filter(({ inode }) => !(known(inode)?.path ?? '').endsWith('/share.sock'));
  const [passed] = foreign.filter(({ inode }) => known(inode) === undefined);
  return foreign.flatMap(({ fd, target }) =>
    fd === passed?.fd ? [] : [`${fd}: ${target}, which was not planned`],
  );
}

const isOfShare = (one: MachineWalls['launch']['descriptors'][number]): boolean =>
  one.kind === 'netdev' && one.socket === 'share';

const isOfTpm = (one: MachineWalls['launch']['descriptors'][number]): boolean =>
  one.kind === 'socket' && one.name === 'tpm';

/** Sockets on which QEMU listens and those accepted from them have the path of the plan. */
function faultsOfSockets(state: ProcessState, expected: MachineWalls): string[] {
  if (isPasst(expected)) return faultsOfPasstSockets(state);
  if (isTpm(expected)) return faultsOfTpmSockets(state);
  if (isShare(expected)) return faultsOfShareSockets(state);
  // All of its own network namespace, in which there is nothing but its network.
  if (isServer(expected))
    return state.facts.sockets.map((one) => `Unix socket ${one.path || one.inode}, which was not planned`);
  const { descriptors, sockets } = state.facts;
  const paths = Object.values(expected.sockets);
  const reach = reachOf(expected.launch.argv);
  // Where the jail shows sockets, the other ends of as many connections as its arguments name are its own doing.
  const unnamed = sockets.filter(
    ({ path, namespace, listening }) => path === '' && namespace === 'own' && !listening,
  );
  const { launch } = expected;
  const shows = (launch.shown ?? []).some(({ kind }) => kind === 'socket');
  // To each virtiofsd one that the broker made, and one that QEMU makes.
  const shares = launch.descriptors.filter(isOfShare).length;
  const joined = sockets
    .filter(
      ({ path, namespace, listening, inode }) =>
        path === '' && namespace === 'host' && !listening && !expected.handedSockets.includes(inode),
    )
    .slice(0, shares)
    .map(({ inode }) => inode);
  const made = (shows ? reach.connects : 0) + (launch.descriptors.some(isOfTpm) ? 1 : 0) + shares;
  const connects = unnamed.slice(0, made).map(({ inode }) => inode);
  // libusb's, on which the filter lets nothing be but a socket for what udev tells.
  const ofUsb = descriptors
    .filter(
      ({ target, inode }) => target.startsWith('socket:[') && sockets.every((one) => one.inode !== inode),
    )
    .slice(0, relaxedTo(expected, 'usb').length > 0 ? 1 : 0)
    .map(({ fd }) => fd);
  return descriptors.flatMap(({ fd, target, inode }) => {
    if (!target.startsWith('socket:[')) return [];
    const socket = sockets.find((one) => one.inode === inode);
    if (socket === undefined)
      return reach.network || ofUsb.includes(fd) ? [] : [`${fd}: ${target}, not a Unix socket`];
    if (reach.listening.includes(socket.path)) return [];
    // SECURITY: promise 5. The very sockets that the manager handed over, and no other in their place.
    if (socket.path === '' && socket.namespace === 'host')
      return expected.handedSockets.includes(inode) || joined.includes(inode)
        ? []
        : [`${fd}: ${target}, a Unix socket without a path`];
    const mine = connects.includes(inode);
    return paths.includes(socket.path) || mine
      ? []
      : [`${fd}: ${target}, bound to ${socket.path || 'nothing, made by itself'}`];
  });
}

function faultsOfCounts(descriptors: readonly OpenDescriptor[], expected: MachineWalls): string[] {
  const planned = (...kinds: readonly string[]): number =>
    expected.launch.descriptors.filter(({ kind }) => kinds.includes(kind)).length;
  // SECURITY: promise 5. A further queue is one of a card that was planned, and no card of its own.
  const taps = [...new Set(descriptors.flatMap(({ tap }) => tap ?? []))];
  const cards = taps.slice(planned('tap', 'card')).map((device) => `TAP device ${device} was not planned`);
  // A queue that the guest does not use is let go of by QEMU, until it is used.
  const loose = descriptors
    .filter(({ target, tap }) => target === '/dev/net/tun' && tap === undefined)
    .slice(planned('queue'))
    .map(({ fd }) => `${fd}: /dev/net/tun of no device`);
  const counts = (
    [
      ['/dev/net/tun', 'tap', 'card', 'queue'],
      ['/dev/vhost-net', 'vhost-net'],
    ] as const
  ).flatMap(([path, ...kinds]) => {
    const open = descriptors.filter(({ target }) => target === path);
    return open.slice(planned(...kinds)).map(({ fd }) => `${fd}: ${path} was not planned`);
  });
  // SECURITY: promise 5. A group may hold devices that nobody gave.
  const given = relaxedTo(expected, 'pci').length;
  const devicesOfHost = descriptors
    .filter(({ target }) => target === vfioDevice)
    .slice(given)
    .map(({ fd }) => `${fd}: a PCI device beyond the ${given} that were given`);
  return [...counts, ...cards, ...loose, ...devicesOfHost];
}

/** SECURITY: promise 5. Each card in a managed network is a TAP on its bridge, and was seen to let in its own addresses alone. */
function faultsOfCards({ facts }: ProcessState, { launch }: MachineWalls): string[] {
  if (launch.program !== 'qemu') return [];
  const devices = facts.descriptors.flatMap(({ tap }) => tap ?? []);
  return launch.descriptors.flatMap((one) => {
    if (one.kind !== 'card') return [];
    const network = facts.networks?.find(({ name }) => name === one.network);
    if (network === undefined) return [`card ${one.nic}: network ${one.network} is not there`];
    const plan = planNetwork(network);
    const faults = devices
      .filter((device) => device.startsWith(plan.cards))
      .map((device) => cardFaults(plan, network.tables, { device, mac: one.mac }));
    // Of several cards in one network each has a device of its own.
    if (faults.some((found) => found.length === 0)) return [];
    return faults.toSorted((left, right) => left.length - right.length)[0] ?? [`card ${one.nic}: no device`];
  });
}

/** A file may be mapped and its descriptor closed. `/[aio]` is the ring of Linux AIO, `/dev/zero` shared memory. */
const internalMapping = /^\/(?:memfd:.*|\[aio\]|dev\/zero|SYSV[0-9a-f]+)$/;

function faultsOfMappings(state: ProcessState, expected: MachineWalls): string[] {
  const { launch } = expected;
  const planned = [
    ...launch.root.map(({ target }) => target),
    ...(launch.shown ?? []).map(({ path }) => path),
    ...launch.descriptors.flatMap((one) => (one.kind === 'file' ? [one.path] : [])),
    ...Object.values(expected.files).flatMap(({ device, inode }) => [`/${device}:${inode}`, `/*:${inode}`]),
  ];
  const usbNodes = state.facts.descriptors
    .filter((descriptor) => isUsbDevice(descriptor, expected))
    .map(({ target }) => withoutDeleted(target));
  return state.facts.mappedFiles.map(withoutDeleted).flatMap((path) => {
    // libusb maps memory of the device's node for what it transfers.
    const known = internalMapping.test(path) || isBeneath(path, planned) || usbNodes.includes(path);
    return known ? [] : [`maps ${path}, which was not planned`];
  });
}

/** Another manager's plan is not known: what the arguments name is taken for planned. */
function faultsOfForeign(state: ProcessState): string[] {
  const { cmdline, descriptors, sockets } = state.facts;
  const named = cmdline.join('\n');
  return descriptors.flatMap(({ fd, target, type, inode }) => {
    if (target.startsWith('socket:['))
      return sockets.some((one) => one.inode === inode) ? [] : [`${fd}: ${target}, not a Unix socket`];
    if (internal.test(target) || target.startsWith('pipe:[') || target === '/dev/kvm') return [];
    if (target.startsWith('anon_inode:')) return [`${fd}: ${target}`];
    if (type === typeMask.directory) return [`${fd}: directory ${target}`];
    return named.includes(withoutDeleted(target))
      ? []
      : [`${fd}: ${target}, which its arguments do not name`];
  });
}
