/** The guest's memory: room for more, and cells that hold all of it. */
import { formatByteSize } from './byte-size.ts';
import type { Draft } from './draft.ts';
import { mostCpus } from './most-cpus.ts';
import { numbersOf } from './number-ranges.ts';
import { broken, type Broken } from './rule.ts';

export function memoryHasRoom({ memory, memoryMaximum, memorySlots, machine }: Draft): readonly Broken[] {
  const faults: Broken[] = [];
  const add = (key: string, message: string, hint: string): void =>
    void faults.push(broken([key], message, hint));
  if (memoryMaximum !== undefined && memorySlots === undefined)
    add(
      'memoryMaximum',
      'needs memorySlots, which is not set',
      'Set memorySlots: the modules that can be plugged in.',
    );
  if (memorySlots !== undefined && memoryMaximum === undefined)
    add('memorySlots', 'needs memoryMaximum, which is not set', 'Set memoryMaximum.');
  if (memory !== undefined && memoryMaximum !== undefined && memoryMaximum <= memory)
    add(
      'memoryMaximum',
      `${formatByteSize(memoryMaximum)} leaves no room beyond memory, ${formatByteSize(memory)}`,
      'Raise it, or leave it and memorySlots out.',
    );
  if (memoryMaximum !== undefined && machine === 'microvm')
    add('memoryMaximum', 'nothing is plugged into microvm', 'Use machine: q35.');
  return faults;
}

export function hugePagesFit({ memory, memoryBacking, numa = [] }: Draft): readonly Broken[] {
  if (memory === undefined || memoryBacking === undefined || memoryBacking.hugePages === 'none') return [];
  const page = memoryBacking.hugePages === '2MiB' ? 2 * 1024 ** 2 : 1024 ** 3;
  const sizes = [
    { path: ['memory'], size: memory },
    ...numa.map((cell, index) => ({ path: ['numa', index, 'memory'], size: cell.memory })),
  ];
  return sizes
    .filter(({ size }) => size % page !== 0)
    .map(({ path }) =>
      broken(path, `is not made of whole pages of ${memoryBacking.hugePages}`, 'Round it to a multiple.'),
    );
}

export function cellsHoldAll({ memory, cpu, numa = [], machine }: Draft): readonly Broken[] {
  if (numa.length === 0) return [];
  const faults: Broken[] = [];
  const sum = numa.reduce((all, cell) => all + cell.memory, 0);
  if (machine === 'microvm')
    faults.push(broken(['numa'], 'microvm has no cells', 'Use machine: q35 for that.'));
  if (memory !== undefined && sum !== memory)
    faults.push(
      broken(
        ['numa'],
        `the cells have ${formatByteSize(sum)} together, and memory is ${formatByteSize(memory)}`,
        'Give the cells all of the memory.',
      ),
    );
  return [...faults, ...(cpu === undefined ? [] : cpusOfCells(numa, mostCpus(cpu))), ...distancesOf(numa)];
}

type Cells = NonNullable<Draft['numa']>;

function cpusOfCells(numa: Cells, most: number): readonly Broken[] {
  const owner = new Map<number, number>();
  const faults = numa.flatMap(({ cpus }, index) =>
    (cpus === undefined ? [] : numbersOf(cpus)).flatMap((number) => {
      const other = owner.get(number);
      owner.set(number, index);
      if (number < most && other === undefined) return [];
      const message =
        other === undefined
          ? `there is no CPU ${number}: there are ${most}, counted from 0`
          : `CPU ${number} is in cell ${other} already`;
      return [broken(['numa', index, 'cpus'], message, 'Put each CPU into one cell.')];
    }),
  );
  const missing = Array.from({ length: most }, (_, number) => number).filter((number) => !owner.has(number));
  if (missing.length === 0) return faults;
  return [...faults, broken(['numa'], `no cell has CPU ${missing[0]}`, 'Put each CPU into one cell.')];
}

function distancesOf(numa: Cells): readonly Broken[] {
  if (numa.every(({ distances }) => distances === undefined)) return [];
  return numa.flatMap(({ distances }, index) => {
    const right =
      distances !== undefined &&
      distances.length === numa.length &&
      distances.every((distance, other) => (other === index ? distance === 10 : distance > 10));
    return right
      ? []
      : [
          broken(
            ['numa', index, 'distances'],
            `expected ${numa.length} distances: 10 to the cell itself, more to each other`,
            'Write them for every cell, or for none.',
          ),
        ];
  });
}
