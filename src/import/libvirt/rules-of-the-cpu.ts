/** CPUs, their features, NUMA, the clock, and what the board has. */
import type { Plain, PlainMap } from '../../definition/key-path.ts';
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf, childOf, childrenOf, textOf, type XmlElement } from '../xml/xml-node.ts';
import { noKey, nothingShares } from './phrases.ts';
import { bytesOf, cpuListOf, hostNodes, isOn, memoryText, wholeNumberOf } from './quantities.ts';
import type { Place, Rules } from './rule-table.ts';

const mib = 1024 ** 2;
const shownCpu = 'the guest sees the CPU of the host with all that QEMU can give of it';

function cpuMode(place: Place): Verdict {
  switch (place.value) {
    case 'host-passthrough':
      // Unset means host under KVM, and max without: the same machine starts on both.
      return imported;
    case 'host-model':
      return changed(shownCpu);
    case 'maximum':
      // Without KVM it is what unset means.
      return attributeOf(place.draft.root, 'type') === 'qemu'
        ? imported
        : place.setMachine('cpu.model', 'max');
    case 'custom':
      return imported;
    default:
      return unsupported(noKey);
  }
}

/** The name counts where the mode is custom; elsewhere libvirt writes what the host had. */
function cpuModel(place: Place): Verdict {
  const mode = attributeOf(place.element.parent, 'mode');
  if (mode !== undefined && mode !== 'custom') return changed(shownCpu);
  return place.setMachine('cpu.model', place.value);
}

const match = (place: Place): Verdict =>
  place.value === 'minimum'
    ? changed('the guest sees this very model, not more of the host')
    : place.value === 'strict'
      ? place.setMachine('cpu.enforce', true)
      : imported;

function topology(key: string) {
  return (place: Place): Verdict => {
    const count = wholeNumberOf(place.value);
    if (count === 1 && (key === 'clusters' || key === 'dies')) return imported;
    return count === undefined ? unsupported('no number') : place.setMachine(`cpu.topology.${key}`, count);
  };
}

/** Names of libvirt that QEMU writes otherwise (virQEMUCapsCPUFeatureTranslationTable of libvirt 9.0). */
const featureNames: Readonly<Record<string, string>> = { pclmuldq: 'pclmulqdq' };

function feature(place: Place): Verdict {
  const name = attributeOf(place.element, 'name') ?? '';
  const policy = attributeOf(place.element, 'policy') ?? 'require';
  const own = featureNames[name] ?? name.replaceAll('_', '-');
  const off = policy === 'disable' || policy === 'forbid';
  if (own === 'vmx' || own === 'svm' || own.startsWith('vmx-'))
    return whole(off ? imported : unsupported('nested virtualisation stays off'));
  return whole(place.include(`cpu.features.${off ? 'disable' : 'enable'}`, own));
}

function cache(place: Place): Verdict {
  const mode = attributeOf(place.element, 'mode') ?? '';
  const own = { emulate: 'emulate', passthrough: 'host', disable: 'none' }[mode];
  return whole(own === undefined ? unsupported(noKey) : place.setMachine('cpu.cache', own));
}

function physicalAddresses(place: Place): Verdict {
  const bits = wholeNumberOf(attributeOf(place.element, 'bits') ?? '');
  if (attributeOf(place.element, 'mode') === 'passthrough')
    return whole(place.setMachine('cpu.hostAddressBits', true));
  return whole(bits === undefined ? unsupported('no number') : place.setMachine('cpu.addressBits', bits));
}

/** Memory that is plugged in at the start, by the number of its cell. */
function dimmsOf(devices: XmlElement | undefined, cell: string): number {
  return childrenOf(devices, 'memory')
    .filter((one) => attributeOf(one, 'model') === 'dimm' && textOf(childOf(one, 'target', 'node')) === cell)
    .reduce((sum, one) => {
      const size = childOf(one, 'target', 'size');
      return sum + (bytesOf(textOf(size), attributeOf(size, 'unit')) ?? 0);
    }, 0);
}

/** Where a cell's memory lies on the host, which another part of the document says. */
function hostNodesOf(root: XmlElement, cell: string): PlainMap {
  const tune = childrenOf(childOf(root, 'numatune'), 'memnode');
  const place = hostNodes(tune.find((one) => attributeOf(one, 'cellid') === cell));
  return place === undefined ? {} : { hostNodes: place };
}

function numaCells(place: Place): Verdict {
  const cells = childrenOf(place.element, 'cell');
  let sum = 0;
  const numa = cells.map((cell, index): Plain => {
    const memory = bytesOf(attributeOf(cell, 'memory') ?? '', attributeOf(cell, 'unit'));
    const cpus = cpuListOf(attributeOf(cell, 'cpus') ?? '');
    const dimms = dimmsOf(place.draft.devices, attributeOf(cell, 'id') ?? String(index));
    const bytes = mib * Math.ceil((memory ?? 0) / mib) + dimms;
    sum += bytes;
    const siblings = childrenOf(childOf(cell, 'distances'), 'sibling');
    const distances = new Map(
      siblings.map((one) => [attributeOf(one, 'id'), wholeNumberOf(attributeOf(one, 'value') ?? '')]),
    );
    const row = cells
      .map((other, index) => distances.get(attributeOf(other, 'id') ?? String(index)))
      .filter((one) => one !== undefined);
    return {
      ...(cpus === undefined ? {} : { cpus }),
      memory: memoryText(bytes),
      ...(siblings.length > 0 && row.length === cells.length ? { distances: row } : {}),
      ...hostNodesOf(place.draft.root, attributeOf(cell, 'id') ?? String(index)),
    };
  });
  // The cells are what the guest has, as under libvirt.
  if (place.draft.has('', 'numa') && sum > 0) place.setMachine('memory', memoryText(sum));
  return place.setMachine('numa', numa);
}

const enlightenments: Readonly<Record<string, string>> = {
  relaxed: 'relaxed',
  vapic: 'vapic',
  vpindex: 'vpindex',
  runtime: 'runtime',
  synic: 'synic',
  stimer: 'stimer',
  reset: 'reset',
  frequencies: 'frequencies',
  reenlightenment: 'reenlightenment',
  tlbflush: 'tlbflush',
  ipi: 'ipi',
  avic: 'avic',
  xmm_input: 'xmm-input',
  emsr_bitmap: 'emsr-bitmap',
};

const hasHypervClock = ({ draft }: Place): boolean =>
  childrenOf(childOf(draft.root, 'clock'), 'timer').some(
    (timer) => attributeOf(timer, 'name') === 'hypervclock' && attributeOf(timer, 'present') !== 'no',
  );

function hyperv(place: Place): Verdict {
  const { element, value } = place;
  if (!isOn(value)) return imported;
  if (element.name === 'spinlocks' || element.name === 'vendor_id') return imported;
  if (element.name === 'evmcs')
    return changed('it has no meaning without nested virtualisation, which stays off');
  const own = enlightenments[element.name];
  if (own === undefined) return unsupported(noKey);
  const verdict = place.include('cpu.hyperv.enlightenments', own);
  if (own !== 'stimer' || hasHypervClock(place) || verdict.is !== 'imported') return verdict;
  place.include('cpu.hyperv.enlightenments', 'time');
  return changed('the enlightenment time is there too: QEMU’s stimer needs it');
}

function hypervPart(name: string) {
  return (place: Place): Verdict =>
    isOn(place.value) ? place.include('cpu.hyperv.enlightenments', name) : imported;
}

const onlyOn = (key: string) => (place: Place) => place.setMachine(key, isOn(place.value));

/** A feature that is there where the element is, unless it says off. */
function featureByName(name: string) {
  return (place: Place): Verdict => {
    const state = attributeOf(place.element, 'state') ?? attributeOf(place.element, 'eoi');
    if (state === undefined) return imported;
    return place.include(`cpu.features.${isOn(state) ? 'enable' : 'disable'}`, name);
  };
}

function clockOffset(place: Place): Verdict {
  const { element, value } = place;
  const adjustment = wholeNumberSigned(attributeOf(element, 'adjustment'));
  switch (value) {
    case 'utc':
    case 'localtime':
      return value === 'utc' ? imported : place.setMachine('clock.base', 'localtime');
    case 'timezone':
      return place.setMachine('clock.base', 'timezone');
    case 'variable':
      if (attributeOf(element, 'basis') === 'localtime') place.setMachine('clock.base', 'localtime');
      return adjustment === 0 ? imported : place.setMachine('clock.offset', adjustment);
    case 'absolute':
      return imported;
    default:
      return unsupported(noKey);
  }
}

function wholeNumberSigned(text = ''): number {
  return /^-?\d{1,9}$/.test(text) ? Number(text) : 0;
}

function absoluteStart(place: Place): Verdict {
  const seconds = wholeNumberOf(place.value) ?? 0;
  return place.setMachine('clock.start', new Date(seconds * 1000).toISOString().slice(0, 19));
}

function timerPresent(place: Place): Verdict {
  const [name, on] = [attributeOf(place.element, 'name'), isOn(place.value)];
  if (name === 'hpet') return on ? place.setMachine('clock.hpet', true) : imported;
  if (name === 'kvmclock') return place.setMachine('clock.kvmclock', on);
  if (name === 'hypervclock') return on ? place.include('cpu.hyperv.enlightenments', 'time') : imported;
  return on ? imported : changed('a PC has this timer always');
}

function tickPolicy(place: Place): Verdict {
  const name = attributeOf(place.element, 'name');
  if (name === 'rtc')
    return place.value === 'catchup'
      ? place.setMachine('clock.driftFix', 'slew')
      : place.value === 'delay'
        ? imported
        : unsupported(noKey);
  if (name === 'pit' && (place.value === 'delay' || place.value === 'discard'))
    return place.setMachine('clock.pit', place.value);
  return unsupported(noKey);
}

function timerTrack(place: Place): Verdict {
  const own = { wall: 'host', guest: 'guest', realtime: 'realtime', boot: 'host' }[place.value];
  return own === undefined
    ? unsupported(noKey)
    : own === 'host'
      ? imported
      : place.setMachine('clock.source', own);
}

const sleepState = (place: Place): Verdict =>
  isOn(place.value) ? imported : changed('the guest sees the sleep states S3 and S4');

/** What is not there is said by leaving it out. */
function features(place: Place): Verdict {
  const { board, root } = place.draft;
  const firmware =
    attributeOf(childOf(root, 'os'), 'firmware') === 'efi' || childOf(root, 'os', 'loader') !== undefined;
  if ((board === 'pc' || board === 'q35') && childOf(place.element, 'acpi') === undefined && !firmware)
    place.setMachine('platform.acpi', false);
  return imported;
}

export const rulesOfTheCpu: Rules = {
  'cpu@mode': cpuMode,
  'cpu@match': match,
  'cpu@check': (place) => (place.value === 'full' ? place.setMachine('cpu.enforce', true) : imported),
  // On is what QEMU has, and what libvirt writes where nothing is said.
  'cpu@migratable': (place) => (isOn(place.value) ? imported : place.setMachine('cpu.migratable', false)),
  'cpu/model#': cpuModel,
  'cpu/model@fallback': imported,
  'cpu/model@vendor_id': (place) => place.setMachine('cpu.vendor', place.value),
  'cpu/vendor#': changed('the model decides the vendor; cpu.vendor is another one'),
  'cpu/topology@sockets': topology('sockets'),
  'cpu/topology@dies': topology('dies'),
  'cpu/topology@clusters': topology('clusters'),
  'cpu/topology@cores': topology('cores'),
  'cpu/topology@threads': topology('threads'),
  'cpu/feature': feature,
  'cpu/cache': cache,
  'cpu/maxphysaddr': physicalAddresses,
  'cpu/numa': numaCells,
  'cpu/numa/cell@id': imported,
  'cpu/numa/cell@cpus': imported,
  'cpu/numa/cell@memory': imported,
  'cpu/numa/cell@unit': imported,
  'cpu/numa/cell@memAccess': (place) => (place.value === 'shared' ? nothingShares : imported),
  'cpu/numa/cell@discard': changed('what memory the guest does not use goes back to the host by the balloon'),
  'cpu/numa/cell/distances/sibling@id': imported,
  'cpu/numa/cell/distances/sibling@value': imported,
  'cpu/numa/cell/cache/**': unsupported('no caches of single NUMA cells (HMAT)'),
  'cpu/numa/interconnects/**': unsupported('no latencies between NUMA cells (HMAT)'),
  features,
  'features/acpi': imported,
  'features/apic': (place) =>
    attributeOf(place.element, 'eoi') === undefined ? imported : featureByName('kvm-pv-eoi')(place),
  'features/apic@eoi': imported,
  'features/pae': imported,
  'features/hap': changed('KVM uses second-level paging where the CPU has it'),
  'features/hap@state': imported,
  'features/viridian': unsupported('for Xen only'),
  'features/privnet': imported,
  'features/pvspinlock': featureByName('kvm-pv-unhalt'),
  'features/pvspinlock@state': imported,
  'features/pmu@state': onlyOn('cpu.pmu'),
  'features/vmport@state': (place) =>
    place.value === 'off' ? imported : place.setMachine('platform.vmport', true),
  'features/smm@state': (place) => (isOn(place.value) ? place.setMachine('platform.smm', true) : imported),
  'features/smm': (place) =>
    attributeOf(place.element, 'state') === undefined ? place.setMachine('platform.smm', true) : imported,
  'features/smm/tseg#': (place) => {
    const bytes = bytesOf(place.value, attributeOf(place.element, 'unit') ?? 'MiB');
    return bytes === undefined
      ? unsupported('no size')
      : place.setMachine('platform.tseg', memoryText(bytes));
  },
  'features/smm/tseg@unit': imported,
  'features/ioapic@driver': (place) =>
    place.setMachine('platform.irqchip', place.value === 'qemu' ? 'split' : 'kernel'),
  'features/vmcoreinfo': (place) =>
    place.setMachine('platform.vmcoreinfo', attributeOf(place.element, 'state') !== 'off'),
  'features/vmcoreinfo@state': imported,
  'features/kvm/hidden@state': onlyOn('cpu.hidden'),
  'features/kvm/hint-dedicated@state': onlyOn('cpu.dedicated'),
  'features/kvm/poll-control@state': onlyOn('cpu.pollControl'),
  'features/kvm/pv-ipi': featureByName('kvm-pv-ipi'),
  'features/kvm/pv-ipi@state': imported,
  'features/kvm/dirty-ring/**': changed('memory that was written is tracked as QEMU does'),
  'features/tcg/**': changed('QEMU’s buffer of translated code is 256 MiB'),
  'features/hyperv@mode': (place) =>
    place.value === 'passthrough' ? place.setMachine('cpu.hyperv.passthrough', true) : imported,
  'features/hyperv/*@state': hyperv,
  'features/hyperv/spinlocks@retries': (place) =>
    place.setMachine('cpu.hyperv.spinlocks', wholeNumberOf(place.value) ?? 0),
  'features/hyperv/vendor_id@value': (place) => place.setMachine('cpu.hyperv.vendorId', place.value),
  'features/hyperv/stimer/direct@state': hypervPart('stimer-direct'),
  'features/hyperv/tlbflush/direct@state': hypervPart('tlbflush-direct'),
  'features/hyperv/tlbflush/extended@state': hypervPart('tlbflush-ext'),
  'clock@offset': clockOffset,
  'clock@timezone': (place) => place.setMachine('clock.timezone', place.value),
  'clock@adjustment': (place) =>
    place.value === 'reset' ||
    wholeNumberSigned(place.value) === 0 ||
    attributeOf(place.element, 'offset') === 'variable'
      ? imported
      : changed('the clock follows the base and is not adjusted'),
  'clock@basis': imported,
  'clock@start': absoluteStart,
  'clock/timer@name': (place) =>
    ['hpet', 'kvmclock', 'pit', 'rtc', 'tsc', 'hypervclock'].includes(place.value)
      ? imported
      : unsupported(noKey),
  'clock/timer@present': timerPresent,
  'clock/timer@tickpolicy': tickPolicy,
  'clock/timer@track': timerTrack,
  'clock/timer@frequency': (place) => place.setMachine('clock.tscFrequency', wholeNumberOf(place.value) ?? 0),
  'clock/timer@mode': unsupported('the TSC is as QEMU has it'),
  'clock/timer/catchup/**': changed('how fast lost ticks are made up for is QEMU’s decision'),
  'pm/suspend-to-mem@enabled': sleepState,
  'pm/suspend-to-disk@enabled': sleepState,
};
