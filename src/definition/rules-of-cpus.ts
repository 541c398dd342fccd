/** Virtual CPUs: their number, their arrangement, and what their features need. */
import type { Draft } from './draft.ts';
import type { KeyPath } from './key-path.ts';
import { mostCpus } from './most-cpus.ts';
import { numbersOf } from './number-ranges.ts';
import { broken, type Broken } from './rule.ts';
import type { enlightenments } from './schema-cpu.ts';

type Enlightenment = (typeof enlightenments)[number];

export function cpusFitTheirTopology({ cpu }: Draft): readonly Broken[] {
  if (cpu === undefined) return [];
  const faults: Broken[] = [];
  const most = mostCpus(cpu);
  if (most < cpu.count)
    faults.push(
      broken(
        ['cpu', 'maximum'],
        `${most} is less than cpu.count, ${cpu.count}`,
        'Raise it, or leave it out: there is then room for `count`.',
      ),
    );
  if (cpu.topology === undefined) return faults;
  const { sockets, dies, cores, threads } = cpu.topology;
  const product = sockets * dies * cores * threads;
  if (product !== most)
    faults.push(
      broken(
        ['cpu', 'topology'],
        `${sockets} x ${dies} x ${cores} x ${threads} is ${product}, and there are to be ${most} CPUs`,
        cpu.maximum === undefined
          ? `Set cpu.count to ${product}, or cpu.maximum where some are to be plugged in later.`
          : `Set cpu.maximum to ${product}, or change sockets, dies, cores or threads.`,
      ),
    );
  return faults;
}

/** SECURITY: promise 2. No list of features opens nested virtualisation. */
const nesting = new Set(['vmx', 'svm']);

export function featuresAreClear({ cpu }: Draft): readonly Broken[] {
  if (cpu === undefined) return [];
  const { enable, disable } = cpu.features;
  const written = (name: string): string => name.replaceAll('_', '-');
  const first = [...enable, ...disable].map(written);
  const repeated = (names: readonly string[], key: 'enable' | 'disable', before: number): readonly Broken[] =>
    names.flatMap((name, index) =>
      first.indexOf(written(name)) === before + index
        ? []
        : [
            broken(
              ['cpu', 'features', key, index],
              `"${name}" is among the features already`,
              'Enable it or disable it, once.',
            ),
          ],
    );
  return [
    ...enable.flatMap((name, index) =>
      nesting.has(name)
        ? [
            broken(
              ['cpu', 'features', 'enable', index],
              `${name} is nested virtualisation, which is off`,
              'Remove it: a guest reaches the widest part of KVM by it.',
            ),
          ]
        : [],
    ),
    ...repeated(enable, 'enable', 0),
    ...repeated(disable, 'disable', enable.length),
  ];
}

/** target/i386/kvm/hyperv-proto and kvm.c of QEMU 7.2: without these it refuses to start under KVM. */
const needs: Partial<Record<Enlightenment, readonly Enlightenment[]>> = {
  synic: ['vpindex'],
  stimer: ['synic', 'time'],
  'stimer-direct': ['stimer'],
  tlbflush: ['vpindex'],
  'tlbflush-ext': ['tlbflush'],
  'tlbflush-direct': ['vapic'],
  ipi: ['vpindex'],
};

export function enlightenmentsAreWhole({ cpu }: Draft): readonly Broken[] {
  if (cpu === undefined || cpu.hyperv.passthrough) return [];
  const listed = cpu.hyperv.enlightenments;
  return listed.flatMap((name, index) => [
    ...(listed.indexOf(name) === index
      ? []
      : [
          broken(
            ['cpu', 'hyperv', 'enlightenments', index],
            `"${name}" is in the list already`,
            'Remove one of the two.',
          ),
        ]),
    ...(needs[name] ?? [])
      .filter((other) => !listed.includes(other))
      .map((other) =>
        broken(
          ['cpu', 'hyperv', 'enlightenments', index],
          `${name} needs ${other}, which is not in the list`,
          `Add ${other}, or remove ${name}.`,
        ),
      ),
  ]);
}

export function addressesHaveOneWidth({ cpu }: Draft): readonly Broken[] {
  if (cpu?.addressBits === undefined || cpu.hostAddressBits !== true) return [];
  return [
    broken(['cpu', 'addressBits'], "the width is the host's, by hostAddressBits", 'Remove one of the two.'),
  ];
}

/** Only these two models have the properties (QEMU 7.2, target/i386/cpu.c, max_x86_cpu_properties). */
const wholeModels: ReadonlySet<string> = new Set(['host', 'max']);

export function hostsPropertiesHaveItsModel({ cpu }: Draft): readonly Broken[] {
  if (cpu?.model === undefined || wholeModels.has(cpu.model)) return [];
  const keys = [
    ...(cpu.cache === 'host' ? ['cache'] : []),
    ...(cpu.migratable === undefined ? [] : ['migratable']),
  ];
  return keys.map((key) =>
    broken(
      ['cpu', key],
      `only the models host and max have it, and the model is ${cpu.model}`,
      'Remove it, or use cpu.model: max (host under KVM).',
    ),
  );
}

/** What a mask of the kernel has room for. */
const lastHostCpu = 1023;

export function pinsAreKnown({ cpu, iothreads }: Draft): readonly Broken[] {
  if (cpu === undefined) return [];
  const { machine, emulator, vcpus, iothreads: threads } = cpu.pinning;
  const at = (...key: KeyPath): KeyPath => ['cpu', 'pinning', ...key];
  const lists = [
    { path: at('machine'), cpus: machine },
    { path: at('emulator'), cpus: emulator },
    ...vcpus.map(({ cpus }, index) => ({ path: at('vcpus', index, 'cpus'), cpus })),
    ...threads.map(({ cpus }, index) => ({ path: at('iothreads', index, 'cpus'), cpus })),
  ];
  const ofLists = lists.flatMap(({ path, cpus }) => {
    const numbers = cpus === undefined ? [0] : numbersOf(cpus);
    if (numbers.length > 0 && numbers.every((number) => number <= lastHostCpu)) return [];
    return [
      broken(path, `no range of CPUs from 0 to ${lastHostCpu}`, "Write ranges that rise, such as '0-3,8'."),
    ];
  });
  const seen = new Set<string>();
  const again = (kind: 'vcpu' | 'iothread', number: number, path: KeyPath): readonly Broken[] => {
    const key = `${kind} ${number}`;
    const first = !seen.has(key);
    seen.add(key);
    if (first) return [];
    return [broken(path, `${key} is in the list already`, 'Remove one of the two.')];
  };
  const most = mostCpus(cpu);
  return [
    ...ofLists,
    ...vcpus.flatMap(({ vcpu }, index) => [
      ...again('vcpu', vcpu, at('vcpus', index, 'vcpu')),
      ...(vcpu < most
        ? []
        : [
            broken(
              at('vcpus', index, 'vcpu'),
              `there is no virtual CPU ${vcpu}: there are ${most}, counted from 0`,
              'Remove it, or raise cpu.count.',
            ),
          ]),
    ]),
    ...threads.flatMap(({ iothread }, index) => [
      ...again('iothread', iothread, at('iothreads', index, 'iothread')),
      ...(iothreads === undefined || iothread <= iothreads
        ? []
        : [
            broken(
              at('iothreads', index, 'iothread'),
              `there is no thread ${iothread}: iothreads is ${iothreads}`,
              'Remove it, or raise iothreads.',
            ),
          ]),
    ]),
  ];
}
