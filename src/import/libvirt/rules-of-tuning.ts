/** What a machine may use of the host: CPU time, memory, disk time, where it runs. */
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf, childOf, childrenOf, textOf } from '../xml/xml-node.ts';
import { noKey, nothingShares } from './phrases.ts';
import { bytesOf, cpuListOf, hostNodes, memoryText, wholeNumberOf } from './quantities.ts';
import type { Place, Rules } from './rule-table.ts';

/** cgroup v1's shares (1024 is usual) as v2's weight (100 is usual), as systemd and crun reckon. */
function cpuWeight(place: Place): Verdict {
  const shares = wholeNumberOf(place.value);
  if (shares === undefined) return unsupported('no number');
  const weight = Math.min(10_000, Math.max(1, Math.round((shares * 100) / 1024)));
  const verdict = place.setMachine('limits.cpuWeight', weight);
  return shares === (weight * 1024) / 100 || verdict.is !== 'imported'
    ? verdict
    : changed(`${shares} shares of 1024 are limits.cpuWeight: ${weight} of 100`);
}

/** CPUs that all of it may use, of quota and period in microseconds. */
function quota(scope: 'vcpu' | 'all') {
  return (place: Place): Verdict => {
    const microseconds = /^-?\d{1,15}$/.test(place.value) ? Number(place.value) : undefined;
    if (microseconds === undefined) return unsupported('no number');
    if (microseconds <= 0) return imported;
    const tune = place.element.parent;
    const period =
      wholeNumberOf(textOf(childOf(tune, scope === 'all' ? 'global_period' : 'period'))) ?? 100_000;
    const each = microseconds / period;
    const count = scope === 'all' ? 1 : (wholeNumberOf(place.draft.text('vcpu')) ?? 1);
    const cpus = Math.round(each * count * 1000) / 1000;
    const verdict = place.setMachine('limits.cpuQuota', cpus);
    if (verdict.is !== 'imported' || scope === 'all') return verdict;
    return changed(
      `each virtual CPU had ${each} of a CPU; the machine has ${cpus} in all, QEMU's own threads included`,
    );
  };
}

const perThread = unsupported('no limits of single threads of QEMU; limits.cpuQuota is for all together');

function pin(key: 'emulator' | 'vcpus' | 'iothreads', field: string, attribute: string) {
  return (place: Place): Verdict => {
    const { element } = place;
    const cpus = cpuListOf(attributeOf(element, 'cpuset') ?? '');
    if (cpus === undefined) return whole(unsupported('no list of CPUs such as 0-3,^2'));
    if (key === 'emulator') return whole(place.setMachine('cpu.pinning.emulator', cpus));
    const entry = { [field]: wholeNumberOf(attributeOf(element, attribute) ?? '') ?? 0, cpus };
    return whole(place.append(`cpu.pinning.${key}`, entry));
  };
}

function ioWeight(place: Place): Verdict {
  const weight = wholeNumberOf(place.value);
  return weight === undefined ? unsupported('no number') : place.setMachine('limits.ioWeight', weight);
}

/** The limit of the process; libvirt's own manual warns of it, and so it is only taken where it leaves QEMU room. */
function hardLimit(place: Place): Verdict {
  const bytes = bytesOf(place.value, attributeOf(place.element, 'unit'));
  // "unlimited" is 2^53-1 KiB.
  if (bytes === undefined || bytes >= 2 ** 50) return imported;
  return place.setMachine('limits.memory', memoryText(bytes));
}

function hugePages(place: Place): Verdict {
  const page = childOf(place.element, 'page');
  if (page === undefined) return place.setMachine('memoryBacking.hugePages', '2MiB');
  const bytes = bytesOf(attributeOf(page, 'size') ?? '', attributeOf(page, 'unit'));
  if (bytes === 2 * 1024 ** 2) return place.setMachine('memoryBacking.hugePages', '2MiB');
  if (bytes === 1024 ** 3) return place.setMachine('memoryBacking.hugePages', '1GiB');
  // libvirt takes "huge" pages of the usual size as none.
  return bytes === 4096 ? imported : unsupported('huge pages have 2 MiB or 1 GiB');
}

const memoryMode = ({ value }: Place): Verdict =>
  value === 'restrictive' ? changed('bound to these nodes by QEMU, as with strict') : imported;

function memoryNodes({ element, draft }: Place): Verdict {
  // numad's choice is said by its own attribute.
  if (attributeOf(element, 'nodeset') === undefined) return imported;
  const place = hostNodes(element);
  return place === undefined
    ? unsupported('no list of NUMA nodes such as 0-1')
    : draft.set(draft.machine, 'memoryBacking.hostNodes', place, element);
}

/** Its cell takes it (rules-of-the-cpu.ts). */
function cellNodes({ element, draft }: Place): Verdict {
  if (hostNodes(element) === undefined) return whole(unsupported('no list of NUMA nodes such as 0-1'));
  const cells = childrenOf(childOf(draft.root, 'cpu', 'numa'), 'cell');
  const id = attributeOf(element, 'cellid');
  return cells.some((cell, index) => (attributeOf(cell, 'id') ?? String(index)) === id)
    ? imported
    : whole(unsupported('there is no such cell in <cpu><numa>'));
}

const flag = (key: string) => (place: Place) => place.setMachine(`memoryBacking.${key}`, true);

export const rulesOfTuning: Rules = {
  'cputune/shares#': cpuWeight,
  'cputune/period#': imported,
  'cputune/quota#': quota('vcpu'),
  'cputune/global_period#': imported,
  'cputune/global_quota#': quota('all'),
  'cputune/emulator_period#': perThread,
  'cputune/emulator_quota#': perThread,
  'cputune/iothread_period#': perThread,
  'cputune/iothread_quota#': perThread,
  'cputune/vcpupin': pin('vcpus', 'vcpu', 'vcpu'),
  'cputune/iothreadpin': pin('iothreads', 'iothread', 'iothread'),
  'cputune/emulatorpin': pin('emulator', '', ''),
  'cputune/vcpusched': whole(unsupported('no real-time scheduling of QEMU’s threads')),
  'cputune/iothreadsched': whole(unsupported('no real-time scheduling of QEMU’s threads')),
  'cputune/emulatorsched': whole(unsupported('no real-time scheduling of QEMU’s threads')),
  'cputune/cachetune': whole(unsupported('no partitions of the CPU cache (resctrl)')),
  'cputune/memorytune': whole(unsupported('no partitions of the memory bus (resctrl)')),
  'blkiotune/weight#': ioWeight,
  'blkiotune/device': whole(
    unsupported('no weights of single devices; disks[].limits are ceilings for each disk'),
  ),
  'memtune/hard_limit#': hardLimit,
  'memtune/hard_limit@unit': imported,
  'memtune/soft_limit#': changed('the kernel takes memory back as it needs it; there is no soft limit'),
  'memtune/soft_limit@unit': imported,
  'memtune/swap_hard_limit#': changed('swap counts with the memory of the machine'),
  'memtune/swap_hard_limit@unit': imported,
  'memtune/min_guarantee#': unsupported('memory is not reserved'),
  'memtune/min_guarantee@unit': imported,
  'memoryBacking/hugepages': hugePages,
  'memoryBacking/hugepages/page@size': imported,
  'memoryBacking/hugepages/page@unit': imported,
  'memoryBacking/hugepages/page@nodeset': changed('huge pages are for all of the guest’s memory'),
  'memoryBacking/nosharepages': imported,
  'memoryBacking/locked': flag('locked'),
  'memoryBacking/source@type': (place) =>
    place.value === 'file' ? changed('memory is anonymous, never a file') : imported,
  'memoryBacking/access@mode': (place) => (place.value === 'shared' ? nothingShares : imported),
  'memoryBacking/allocation@mode': (place) =>
    place.value === 'immediate' ? place.setMachine('memoryBacking.preallocate', true) : imported,
  'memoryBacking/allocation@threads': changed('memory is allocated by one thread'),
  'memoryBacking/discard': changed('what memory the guest does not use goes back to the host by the balloon'),
  'numatune/memory': memoryNodes,
  'numatune/memory@mode': memoryMode,
  'numatune/memory@nodeset': imported,
  'numatune/memory@placement': changed('no placement by numad'),
  'numatune/memnode': cellNodes,
  'numatune/memnode@cellid': imported,
  'numatune/memnode@mode': memoryMode,
  'numatune/memnode@nodeset': imported,
  'idmap/**': unsupported('for containers only'),
  'throttlegroups/**': unsupported(noKey),
};
