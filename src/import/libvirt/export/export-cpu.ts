/** CPUs, features, memory and the clock as libvirt has them. */
import { element, textElement, type XmlTree } from '../../xml/write-xml.ts';
import type { Values } from './definition-values.ts';

/** Undefined where the element would be empty. */
function filled(tree: XmlTree): XmlTree | undefined {
  const empty =
    tree.children.length === 0 && Object.values(tree.attributes).every((one) => one === undefined);
  return empty ? undefined : tree;
}

function cpuModel(values: Values): { readonly mode: string; readonly model: XmlTree | undefined } {
  const model = values.text('cpu.model');
  const vendor = values.text('cpu.vendor');
  if (model === undefined || model === 'host')
    return { mode: values.text('accel') === 'tcg' ? 'maximum' : 'host-passthrough', model: undefined };
  if (model === 'max') return { mode: 'maximum', model: undefined };
  return { mode: 'custom', model: textElement('model', model, { fallback: 'forbid', vendor_id: vendor }) };
}

const caches: Readonly<Record<string, XmlTree['attributes']>> = {
  emulate: { level: 3, mode: 'emulate' },
  host: { mode: 'passthrough' },
  none: { mode: 'disable' },
};

function cache(values: Values): XmlTree | undefined {
  const attributes = caches[values.text('cpu.cache') ?? ''];
  return attributes === undefined ? undefined : element('cache', attributes);
}

function addresses(values: Values): XmlTree | undefined {
  if (values.is('cpu.hostAddressBits')) return element('maxphysaddr', { mode: 'passthrough' });
  const bits = values.number('cpu.addressBits');
  return bits === undefined ? undefined : element('maxphysaddr', { mode: 'emulate', bits });
}

function numa(values: Values): XmlTree | undefined {
  const cells = values.items('numa').map((cell, id) => {
    const distances = cell.at('distances');
    const siblings = Array.isArray(distances)
      ? distances.map((value, sibling) => element('sibling', { id: sibling, value: Number(value) }))
      : [];
    return element(
      'cell',
      { id, cpus: cell.text('cpus'), memory: (cell.bytes('memory') ?? 0) / 1024, unit: 'KiB' },
      filled(element('distances', {}, ...siblings)),
    );
  });
  return filled(element('numa', {}, ...cells));
}

const modes: Readonly<Record<string, string>> = { preferred: 'preferred', interleave: 'interleave' };

/** Where memory lies on the host: all of it, and that of cells. */
export function exportNumaTuning(values: Values): XmlTree | undefined {
  const placed = (name: string, place: Values | undefined, cellid?: number): XmlTree | undefined =>
    place === undefined
      ? undefined
      : element(name, {
          cellid,
          mode: modes[place.text('policy') ?? ''] ?? 'strict',
          nodeset: place.text('nodes'),
        });
  const cells = values.items('numa').map((cell, id) => placed('memnode', cell.group('hostNodes'), id));
  return filled(element('numatune', {}, placed('memory', values.group('memoryBacking.hostNodes')), ...cells));
}

/** Names of features that elements of their own say. */
const saidElsewhere = new Set(['kvm-pv-eoi', 'kvm-pv-unhalt', 'kvm-pv-ipi']);

export function exportCpu(values: Values): XmlTree {
  const { mode, model } = cpuModel(values);
  const features = (['enable', 'disable'] as const).flatMap((key) =>
    values
      .words(`cpu.features.${key}`)
      .filter((name) => !saidElsewhere.has(name))
      .map((name) => element('feature', { policy: key === 'enable' ? 'require' : 'disable', name })),
  );
  const topology = values.group('cpu.topology');
  return element(
    'cpu',
    {
      mode,
      match: mode === 'custom' ? 'exact' : undefined,
      check: values.is('cpu.enforce') ? 'full' : 'none',
      migratable: mode === 'custom' ? undefined : values.state('cpu.migratable'),
    },
    model,
    topology === undefined
      ? undefined
      : element('topology', {
          sockets: topology.number('sockets'),
          dies: topology.number('dies'),
          cores: topology.number('cores'),
          threads: topology.number('threads'),
        }),
    cache(values),
    addresses(values),
    ...features,
    numa(values),
  );
}

function hyperv(values: Values): XmlTree | undefined {
  const on = new Set(values.words('cpu.hyperv.enlightenments'));
  const state = (name: string, key = name, ...children: readonly (XmlTree | undefined)[]) =>
    on.has(key) ? element(name, { state: 'on' }, ...children) : undefined;
  const part = (name: string, key: string) => (on.has(key) ? element(name, { state: 'on' }) : undefined);
  const spinlocks = values.number('cpu.hyperv.spinlocks');
  const vendor = values.text('cpu.hyperv.vendorId');
  const children = [
    state('relaxed'),
    state('vapic'),
    spinlocks === undefined ? undefined : element('spinlocks', { state: 'on', retries: spinlocks }),
    state('vpindex'),
    state('runtime'),
    state('synic'),
    state('stimer', 'stimer', part('direct', 'stimer-direct')),
    state('reset'),
    vendor === undefined ? undefined : element('vendor_id', { state: 'on', value: vendor }),
    state('frequencies'),
    state('reenlightenment'),
    state('tlbflush'),
    state('ipi'),
    state('avic'),
  ].filter((one) => one !== undefined);
  if (values.is('cpu.hyperv.passthrough')) return element('hyperv', { mode: 'passthrough' });
  return children.length === 0 ? undefined : element('hyperv', { mode: 'custom' }, ...children);
}

function kvm(values: Values): XmlTree | undefined {
  const flag = (name: string, key: string) => (values.is(key) ? element(name, { state: 'on' }) : undefined);
  return filled(
    element(
      'kvm',
      {},
      flag('hidden', 'cpu.hidden'),
      flag('hint-dedicated', 'cpu.dedicated'),
      flag('poll-control', 'cpu.pollControl'),
      values.words('cpu.features.disable').includes('kvm-pv-ipi')
        ? element('pv-ipi', { state: 'off' })
        : undefined,
    ),
  );
}

export function exportFeatures(values: Values): XmlTree {
  const enabled = (name: string) => values.words('cpu.features.enable').includes(name);
  const disabled = (name: string) => values.words('cpu.features.disable').includes(name);
  const either = (name: string) => (enabled(name) ? 'on' : disabled(name) ? 'off' : undefined);
  const spin = either('kvm-pv-unhalt');
  const pmu = values.state('cpu.pmu');
  const tseg = values.bytes('platform.tseg');
  const irqchip = values.text('platform.irqchip');
  const pc = values.text('machine') !== 'microvm';
  return element(
    'features',
    {},
    values.at('platform.acpi') === false ? undefined : element('acpi'),
    element('apic', { eoi: either('kvm-pv-eoi') }),
    hyperv(values),
    kvm(values),
    spin === undefined ? undefined : element('pvspinlock', { state: spin }),
    pmu === undefined ? undefined : element('pmu', { state: pmu }),
    pc ? element('vmport', { state: values.is('platform.vmport') ? 'on' : 'off' }) : undefined,
    values.is('platform.smm')
      ? element(
          'smm',
          { state: 'on' },
          tseg === undefined ? undefined : textElement('tseg', tseg / 1024 ** 2, { unit: 'MiB' }),
        )
      : undefined,
    irqchip === undefined ? undefined : element('ioapic', { driver: irqchip === 'split' ? 'qemu' : 'kvm' }),
    values.is('platform.vmcoreinfo') ? element('vmcoreinfo', { state: 'on' }) : undefined,
  );
}

const clockBase = (values: Values): string => values.text('clock.base') ?? 'utc';

function clockAttributes(values: Values): XmlTree['attributes'] {
  const start = values.text('clock.start');
  if (start !== undefined) return { offset: 'absolute', start: Date.parse(`${start}Z`) / 1000 };
  const adjustment = values.number('clock.offset') ?? 0;
  const base = clockBase(values);
  if (base === 'timezone') return { offset: 'timezone', timezone: values.text('clock.timezone') };
  return adjustment === 0 ? { offset: base } : { offset: 'variable', adjustment, basis: base };
}

export function exportClock(values: Values): XmlTree {
  const source = values.text('clock.source');
  const slew = values.text('clock.driftFix') === 'slew';
  const track = source === 'guest' ? 'guest' : source === 'realtime' ? 'realtime' : undefined;
  const pit = values.text('clock.pit');
  const kvmclock = values.at('clock.kvmclock');
  const tsc = values.number('clock.tscFrequency');
  const yes = (on: boolean) => (on ? 'yes' : 'no');
  return element(
    'clock',
    clockAttributes(values),
    slew || track !== undefined
      ? element('timer', { name: 'rtc', track, tickpolicy: slew ? 'catchup' : undefined })
      : undefined,
    pit === undefined ? undefined : element('timer', { name: 'pit', tickpolicy: pit }),
    element('timer', { name: 'hpet', present: yes(values.is('clock.hpet')) }),
    typeof kvmclock === 'boolean'
      ? element('timer', { name: 'kvmclock', present: yes(kvmclock) })
      : undefined,
    values.words('cpu.hyperv.enlightenments').includes('time')
      ? element('timer', { name: 'hypervclock', present: 'yes' })
      : undefined,
    tsc === undefined ? undefined : element('timer', { name: 'tsc', frequency: tsc }),
  );
}

const pages: Readonly<Record<string, readonly [size: number, unit: string]>> = {
  '2MiB': [2, 'MiB'],
  '1GiB': [1, 'GiB'],
};

export function exportMemoryBacking(values: Values): XmlTree | undefined {
  const [size, unit] = pages[values.text('memoryBacking.hugePages') ?? ''] ?? [];
  return filled(
    element(
      'memoryBacking',
      {},
      size === undefined ? undefined : element('hugepages', {}, element('page', { size, unit })),
      values.is('memoryBacking.locked') ? element('locked') : undefined,
      values.is('memoryBacking.shared') ? element('access', { mode: 'shared' }) : undefined,
      values.is('memoryBacking.preallocate') ? element('allocation', { mode: 'immediate' }) : undefined,
    ),
  );
}

export function exportCpuTune(values: Values): XmlTree | undefined {
  const weight = values.number('limits.cpuWeight') ?? 100;
  const quota = values.number('limits.cpuQuota');
  const period = 100_000;
  const emulator = values.text('cpu.pinning.emulator');
  return filled(
    element(
      'cputune',
      {},
      ...values
        .items('cpu.pinning.vcpus')
        .map((pin) => element('vcpupin', { vcpu: pin.number('vcpu'), cpuset: pin.text('cpus') })),
      emulator === undefined ? undefined : element('emulatorpin', { cpuset: emulator }),
      ...values
        .items('cpu.pinning.iothreads')
        .map((pin) => element('iothreadpin', { iothread: pin.number('iothread'), cpuset: pin.text('cpus') })),
      weight === 100 ? undefined : textElement('shares', Math.max(2, Math.round((weight * 1024) / 100))),
      quota === undefined ? undefined : textElement('global_period', period),
      quota === undefined ? undefined : textElement('global_quota', Math.round(quota * period)),
    ),
  );
}
