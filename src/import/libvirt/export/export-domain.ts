/**
 * A definition as a domain of libvirt, in its canonical form. What libvirt has no words for is kept in the metadata, where libvirt
 * leaves it alone: importing what was exported gives the same definition.
 */
import { parse } from 'yaml';
import { formatFull } from '../../../definition/format-full.ts';
import { isPlainMap, type Plain, type PlainMap } from '../../../definition/key-path.ts';
import { parseDefinition } from '../../../definition/parse.ts';
import type { MachineDefinition } from '../../../definition/schema.ts';
import { element, textElement, writeXml, type XmlTree } from '../../xml/write-xml.ts';
import { importDomains } from '../import-domain.ts';
import { Values } from './definition-values.ts';
import { differences, type OwnKey } from './differences.ts';
import {
  exportClock,
  exportCpu,
  exportCpuTune,
  exportFeatures,
  exportMemoryBacking,
  exportNumaTuning,
} from './export-cpu.ts';
import {
  exportInputs,
  exportNic,
  exportPorts,
  exportScreen,
  exportSingles,
  exportUsb,
} from './export-devices.ts';
import { exportCdrom, exportDisk, exportScsiControllers, TargetNames } from './export-drives.ts';

const whole = (definition: MachineDefinition): PlainMap => {
  const value: Plain = parse(formatFull(definition), { version: '1.2', schema: 'core' });
  return isPlainMap(value) ? value : {};
};

function bootOrders(values: Values): ReadonlyMap<string, number> {
  const usual = ['disks', 'cdroms'].flatMap((key) => values.items(key).map((one) => one.text('id') ?? ''));
  const order = values.at('boot.order') === undefined ? usual : values.words('boot.order');
  return values.text('machine') === 'microvm'
    ? new Map()
    : new Map(order.map((id, index) => [id, index + 1]));
}

const given = (name: string, text: string | undefined): XmlTree | undefined =>
  text === undefined || text === '' ? undefined : textElement(name, text);

function os(values: Values): XmlTree {
  const machine = values.text('machine') ?? 'q35';
  const version = values.text('machineVersion');
  const named = version === undefined ? machine : `pc-${machine === 'pc' ? 'i440fx' : machine}-${version}`;
  return element(
    'os',
    { firmware: values.text('firmware') === 'uefi' ? 'efi' : undefined },
    textElement('type', 'hvm', { arch: 'x86_64', machine: named }),
    values.is('secureBoot') ? element('loader', { secure: 'yes' }) : undefined,
    given('kernel', values.text('boot.kernel')),
    given('initrd', values.text('boot.initrd')),
    given('cmdline', values.text('boot.cmdline')),
    values.is('boot.menu') ? element('bootmenu', { enable: 'yes' }) : undefined,
    sysinfo(values) === undefined ? undefined : element('smbios', { mode: 'sysinfo' }),
  );
}

function sysinfo(values: Values): XmlTree | undefined {
  const smbios = values.group('smbios');
  if (smbios === undefined) return undefined;
  const blocks = (['bios', 'system', 'baseBoard', 'chassis'] as const).map((name) => {
    const block = smbios.group(name);
    const entries = (block?.keys() ?? []).map((key) =>
      textElement('entry', block?.text(key) ?? '', { name: key }),
    );
    return entries.length === 0 ? undefined : element(name, {}, ...entries);
  });
  const strings = smbios.words('oemStrings').map((text) => textElement('entry', text));
  const all = [...blocks, strings.length === 0 ? undefined : element('oemStrings', {}, ...strings)];
  return all.every((one) => one === undefined) ? undefined : element('sysinfo', { type: 'smbios' }, ...all);
}

const powerOff: Readonly<Record<string, string>> = { stop: 'destroy', restart: 'restart' };
const reboot: Readonly<Record<string, string>> = { reset: 'restart', stop: 'destroy' };
const crash: Readonly<Record<string, string>> = { stop: 'destroy', restart: 'restart', pause: 'preserve' };

function passthrough(values: Values): XmlTree | undefined {
  const [args, env] = [values.words('qemu.args'), values.items('qemu.env')];
  if (args.length + env.length === 0) return undefined;
  return element(
    'qemu:commandline',
    {},
    ...args.map((value) => element('qemu:arg', { value })),
    ...env.map((one) => {
      const value = one.text('value');
      return element('qemu:env', { name: one.text('name'), value: value === '' ? undefined : value });
    }),
  );
}

function metadata(own: readonly OwnKey[]): XmlTree | undefined {
  if (own.length === 0) return undefined;
  const keys = own.map(([key, value]) => textElement('qward:set', JSON.stringify(value), { key }));
  return element('metadata', {}, element('qward:machine', { 'xmlns:qward': 'urn:qward:machine:1' }, ...keys));
}

function devices(values: Values): XmlTree {
  const orders = bootOrders(values);
  const orderOf = (part: Values): number | undefined => orders.get(part.text('id') ?? '');
  const names = new TargetNames();
  const board = values.text('machine') ?? 'q35';
  return element(
    'devices',
    {},
    textElement('emulator', '/usr/bin/qemu-system-x86_64'),
    ...values.items('disks').map((disk) => exportDisk(disk, names, orderOf(disk))),
    ...values.items('cdroms').map((cdrom) => exportCdrom(cdrom, board, names, orderOf(cdrom))),
    ...exportScsiControllers(values),
    exportUsb(values),
    ...values.items('nics').map((nic) => exportNic(nic, orderOf(nic))),
    ...exportPorts(values),
    ...exportInputs(values),
    ...exportScreen(values),
    ...exportSingles(values),
  );
}

function memory(values: Values): readonly (XmlTree | undefined)[] {
  const kib = (key: string) => (values.bytes(key) ?? 0) / 1024;
  const slots = values.number('memorySlots') ?? 0;
  return [
    values.bytes('memoryMaximum') === undefined
      ? undefined
      : textElement('maxMemory', kib('memoryMaximum'), { slots, unit: 'KiB' }),
    textElement('memory', kib('memory'), { unit: 'KiB' }),
  ];
}

function domain(values: Values, own: readonly OwnKey[]): XmlTree {
  const extra = passthrough(values);
  const count = values.number('cpu.count') ?? 1;
  const most = values.number('cpu.maximum') ?? count;
  const iothreads = values.number('iothreads') ?? 0;
  const generation = values.text('generationId');
  const limit = values.bytes('limits.memory');
  const ioWeight = values.number('limits.ioWeight') ?? 100;
  return element(
    'domain',
    {
      type: values.text('accel') === 'tcg' ? 'qemu' : 'kvm',
      'xmlns:qemu': extra === undefined ? undefined : 'http://libvirt.org/schemas/domain/qemu/1.0',
    },
    given('name', values.text('name')),
    given('uuid', values.text('uuid')),
    generation === undefined
      ? undefined
      : generation === 'auto'
        ? element('genid')
        : textElement('genid', generation),
    given('title', values.text('title')),
    given('description', values.text('description')),
    metadata(own),
    ...memory(values),
    exportMemoryBacking(values),
    exportNumaTuning(values),
    textElement('vcpu', most, {
      placement: 'static',
      cpuset: values.text('cpu.pinning.machine'),
      current: most === count ? undefined : count,
    }),
    iothreads === 0 ? undefined : textElement('iothreads', iothreads),
    exportCpuTune(values),
    ioWeight >= 100 && ioWeight <= 1000 && ioWeight !== 100
      ? element('blkiotune', {}, textElement('weight', ioWeight))
      : undefined,
    limit === undefined
      ? undefined
      : element('memtune', {}, textElement('hard_limit', Math.ceil(limit / 1024), { unit: 'KiB' })),
    sysinfo(values),
    os(values),
    exportFeatures(values),
    exportCpu(values),
    exportClock(values),
    // libvirt 9.0 refuses to restart on power off what it ends on reboot.
    given(
      'on_poweroff',
      values.text('onReboot') === 'stop' ? 'destroy' : powerOff[values.text('onPowerOff') ?? ''],
    ),
    given('on_reboot', reboot[values.text('onReboot') ?? '']),
    given('on_crash', crash[values.text('onCrash') ?? '']),
    devices(values),
    extra,
  );
}

/** libvirt puts drives of one bus together: where that changes their order, the order is kept as well. */
function ordersOf(values: Values): readonly OwnKey[] {
  return ['disks', 'cdroms'].flatMap((list): readonly OwnKey[] => {
    const parts = values.items(list);
    const busOf = (part: Values): string => part.text('bus')?.replace('nvme', 'virtio') ?? '';
    const buses = [...new Set(parts.map(busOf))];
    const grouped = buses.flatMap((bus) => parts.filter((part) => busOf(part) === bus));
    const ids = parts.map((part) => part.text('id') ?? '');
    return grouped.every((part, index) => part === parts[index]) ? [] : [[list, ids]];
  });
}

/** What libvirt has no words for. */
export function ownKeys(definition: MachineDefinition): readonly OwnKey[] {
  const mine = whole(definition);
  const [read] = importDomains(writeXml(domain(new Values(mine), [])));
  const parsed = read?.ok === true ? parseDefinition(read.source) : undefined;
  if (parsed?.ok !== true) throw new Error(`${definition.name}: what was exported cannot be imported again`);
  return [...differences(mine, whole(parsed.definition)), ...ordersOf(new Values(mine))];
}

export interface ExportedDomain {
  readonly xml: string;
  /** Keys that libvirt has no words for; they are kept in the metadata, and come back with an import. */
  readonly kept: readonly string[];
}

export function exportDomain(definition: MachineDefinition): ExportedDomain {
  const own = ownKeys(definition);
  return { xml: writeXml(domain(new Values(whole(definition)), own)), kept: own.map(([key]) => key) };
}
