/** The guest's memory: its size, what it is made of, and the cells in which the guest sees it. */
import { numbersOf } from '../definition/number-ranges.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import { guestMemoryMib } from './guest-memory.ts';
import { jsonOption, keyOption, type Option } from './options.ts';

const mib = 1024 ** 2;
const pageBytes = { '2MiB': 2 * mib, '1GiB': 1024 * mib } as const;

/**
 * Memory as an object of its own; the board has one of its own else. SECURITY: promise 2. Shared with the servers of its
 * folders alone, who are handed its descriptor by QEMU.
 */
function backend({ memoryBacking, shares, numa }: MachineDefinition, index: number, size: number): Option {
  const { hugePages, preallocate } = memoryBacking;
  const place = numa[index]?.hostNodes ?? memoryBacking.hostNodes;
  return jsonOption('-object', {
    'qom-type': hugePages === 'none' && shares.length === 0 ? 'memory-backend-ram' : 'memory-backend-memfd',
    id: `mem.${index}`,
    size,
    ...(shares.length === 0 ? {} : { share: true, seal: false }),
    ...(hugePages === 'none'
      ? {} // Seals are for those who share the memory, and the filter of the jail refuses them.
      : { hugetlb: true, hugetlbsize: pageBytes[hugePages], seal: false }),
    ...(place === undefined ? {} : { 'host-nodes': numbersOf(place.nodes), policy: place.policy }),
    prealloc: preallocate ? true : undefined,
    // SECURITY: promise 2. As for the board: other machines could measure what equal pages hold.
    merge: false,
    dump: false,
  });
}

/** Numbers as the ranges that QEMU takes, each a value of its own. */
function rangesOf(numbers: readonly number[]): readonly string[] {
  const sorted = numbers.toSorted((left, right) => left - right);
  const starts = sorted.filter((number) => !sorted.includes(number - 1));
  return starts.map((first) => {
    let last = first;
    while (sorted.includes(last + 1)) last += 1;
    return first === last ? String(first) : `${first}-${last}`;
  });
}

function cellOptions(definition: MachineDefinition): readonly Option[] {
  return definition.numa.flatMap(({ cpus, memory, distances = [] }, index) => [
    backend(definition, index, memory),
    keyOption('-numa', 'node', {
      nodeid: index,
      cpus: cpus === undefined ? undefined : rangesOf(numbersOf(cpus)),
      memdev: `mem.${index}`,
    }),
    ...distances.map((val, dst) => keyOption('-numa', 'dist', { src: index, dst, val })),
  ]);
}

export interface Memory {
  readonly options: readonly Option[];
  readonly machine: Readonly<Record<string, string>>;
}

export function planMemory(definition: MachineDefinition): Memory {
  const { memoryBacking, memoryMaximum, memorySlots, numa } = definition;
  const size = keyOption('-m', null, {
    size: `${guestMemoryMib(definition)}M`,
    slots: memorySlots,
    maxmem: memoryMaximum === undefined ? undefined : `${memoryMaximum / mib}M`,
  });
  if (numa.length > 0) {
    // Distances name cells that come later, so they stand behind all.
    const [nodes, distances] = [false, true].map((wanted) =>
      cellOptions(definition).filter(([, value = '']) => value.startsWith('dist,') === wanted),
    );
    return { options: [size, ...(nodes ?? []), ...(distances ?? [])], machine: {} };
  }
  const { hugePages, preallocate, hostNodes } = memoryBacking;
  const usual = hugePages === 'none' && !preallocate && hostNodes === undefined;
  if (usual && definition.shares.length === 0) return { options: [size], machine: {} };
  return {
    options: [size, backend(definition, 0, guestMemoryMib(definition) * mib)],
    machine: { 'memory-backend': 'mem.0' },
  };
}
