/** Options of QEMU, each with the keys that it becomes. */
import { isOn, leavesOf, valueOf, type Leaf } from '../../plan/passthrough/option-values.ts';
import type { ForeignDraft, Piece } from '../foreign-draft.ts';
import { changed, imported, unsupported, type Verdict } from '../verdict.ts';
import { addNic, netOf } from './networks.ts';
import { always, put, type OptionPlace, type OptionRule } from './option-rule.ts';

const mib = 1024 ** 2;
const sizeUnits: Readonly<Record<string, number>> = {
  '': mib,
  B: 1,
  K: 1024,
  M: mib,
  G: 1024 ** 3,
  T: 1024 ** 4,
};

/** MiB where no unit is said; rounded up. */
export function memoryOf(text: string): string | undefined {
  const match = /^(\d+(?:\.\d+)?)([BKMGT]?)(?:i?B)?$/i.exec(text);
  const unit = sizeUnits[match?.[2]?.toUpperCase() ?? ''];
  if (match?.[1] === undefined || unit === undefined) return undefined;
  const whole = Math.ceil((Number(match[1]) * unit) / mib);
  return whole % 1024 === 0 && whole > 0 ? `${whole / 1024}GiB` : `${whole}MiB`;
}

function memory({ draft, piece, value }: OptionPlace): Verdict {
  const leaves = leavesOf(value, 'size');
  const size = memoryOf(valueOf(leaves, 'size') ?? '');
  const [slots, most] = [valueOf(leaves, 'slots'), valueOf(leaves, 'maxmem')];
  if (most !== undefined) draft.judge(piece, draft.put(piece, 'memoryMaximum', memoryOf(most) ?? most));
  if (slots !== undefined) draft.judge(piece, draft.put(piece, 'memorySlots', Number(slots)));
  return size === undefined ? unsupported('no size') : draft.put(piece, 'memory', size);
}

function smp({ draft, piece, value }: OptionPlace): Verdict {
  const leaves = leavesOf(value, 'cpus');
  const number = (key: string): number | undefined => {
    const text = valueOf(leaves, key);
    return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text);
  };
  const parts = ['sockets', 'dies', 'cores', 'threads'] as const;
  const product = parts.reduce((all, key) => all * (number(key) ?? 1), 1);
  const most = number('maxcpus');
  const count = number('cpus') ?? most ?? product;
  if (most !== undefined && most > count) draft.judge(piece, draft.put(piece, 'cpu.maximum', most));
  // QEMU fills in what is not said; only a whole topology is one.
  if (parts.some((key) => number(key) !== undefined) && product === (most ?? count))
    for (const key of parts) {
      const own = number(key);
      if (own !== undefined) draft.judge(piece, draft.put(piece, `cpu.topology.${key}`, own));
    }
  return draft.put(piece, 'cpu.count', count);
}

function cpu({ draft, piece, value }: OptionPlace): Verdict {
  const [model = '', ...rest] = value.split(',');
  if (model !== 'host' && model !== 'max') draft.put(piece, 'cpu.model', model);
  let verdict: Verdict = imported;
  for (const word of rest) {
    const match = /^([+-]?)([a-z0-9_.-]+)(?:=(.*))?$/i.exec(word);
    const [, sign = '', raw = '', text] = match ?? [];
    const name = raw.replaceAll('_', '-');
    const off = sign === '-' || text === 'off';
    if (name === 'vmx' || name === 'svm')
      verdict = off ? verdict : unsupported('nested virtualisation stays off');
    else if (name === 'enforce') draft.put(piece, 'cpu.enforce', true);
    else if (name === 'kvm' && off) draft.put(piece, 'cpu.hidden', true);
    else if (name === 'hv-vendor-id' || name === 'hv-vendor')
      draft.put(piece, 'cpu.hyperv.vendorId', text ?? '');
    else if (name === 'hv-spinlocks') draft.put(piece, 'cpu.hyperv.spinlocks', Number(text));
    else if (name === 'hv-passthrough') draft.put(piece, 'cpu.hyperv.passthrough', true);
    else if (name.startsWith('hv-'))
      draft.include(draft.machine, 'cpu.hyperv.enlightenments', name.slice(3), piece);
    else if (text === undefined || text === 'on' || text === 'off')
      draft.include(draft.machine, `cpu.features.${off ? 'disable' : 'enable'}`, name, piece);
    else draft.judge(piece, unsupported(`a definition has no key for ${name}`));
  }
  return verdict;
}

function accelerator(draft: ForeignDraft, piece: Piece, list: string): Verdict {
  return list.split(':')[0] === 'tcg' ? draft.put(piece, 'accel', 'tcg') : imported;
}

function machine({ draft, piece, value }: OptionPlace): Verdict {
  const leaves = leavesOf(value, 'type');
  const type = valueOf(leaves, 'type') ?? 'pc';
  const board = /^(?:q35|pc-q35)/.test(type) ? 'q35' : type === 'microvm' ? 'microvm' : 'pc';
  draft.put(piece, 'machine', board);
  const version = /^pc-(?:i440fx-|q35-)(\d+\.\d+)$/.exec(type)?.[1];
  if (version !== undefined) draft.judge(piece, draft.put(piece, 'machineVersion', version));
  const accel = valueOf(leaves, 'accel');
  if (accel !== undefined) accelerator(draft, piece, accel);
  const irqchip = valueOf(leaves, 'kernel_irqchip', 'kernel-irqchip');
  if (irqchip === 'split') draft.put(piece, 'platform.irqchip', 'split');
  if (isOn(leaves, 'smm')) draft.put(piece, 'platform.smm', true);
  const known = new Set([
    'type',
    'accel',
    'kernel_irqchip',
    'kernel-irqchip',
    'smm',
    'vmport',
    'usb',
    'mem-merge',
    'dump-guest-core',
    'pflash0',
    'pflash1',
    'hpet',
    'pcspk-audiodev',
    'nvdimm',
    'memory-backend',
    'sata',
    'smbus',
  ]);
  const rest = leaves.filter(({ key }) => !known.has(key)).map(({ key }) => key);
  if (rest.length > 0) return unsupported(`a definition has no key for ${rest.join(', ')}`);
  return /^(?:q35|pc|microvm|pc-q35-|pc-i440fx-)/.test(type)
    ? imported
    : changed(`no board ${type}: pc is taken`);
}

function boot({ line, draft, piece, value }: OptionPlace): Verdict {
  const leaves = leavesOf(value, 'order');
  line.bootOrder = valueOf(leaves, 'order') ?? valueOf(leaves, 'once') ?? '';
  if (isOn(leaves, 'menu')) draft.put(piece, 'boot.menu', true);
  if (line.bootOrder.includes('a')) return unsupported('there are no floppy drives');
  return valueOf(leaves, 'once') === undefined
    ? imported
    : changed('the order holds for every start, not once');
}

const file =
  (key: string): OptionRule =>
  ({ draft, piece, value }) => {
    const path = draft.path(value);
    return path === undefined ? unsupported('no path') : draft.put(piece, key, path);
  };

function firmware({ draft, piece, value }: OptionPlace): Verdict {
  if (!/OVMF|edk2|efi/i.test(value))
    return /bios(?:-256k)?\.bin$/.test(value)
      ? imported
      : unsupported('firmware of your own is not taken; SeaBIOS or OVMF is');
  draft.put(piece, 'firmware', 'uefi');
  return changed('firmware: uefi takes the OVMF of the host, with variables of the machine’s own');
}

const image =
  (wish: string, cdrom: boolean): OptionRule =>
  ({ draft, piece, value }) =>
    draft.drive(piece, { wish, path: value, cdrom, bus: 'ide', ...(cdrom ? { format: 'raw' } : {}) });

const driveBuses: Readonly<Record<string, string>> = {
  virtio: 'virtio',
  ide: 'ide',
  scsi: 'scsi',
  '': 'ide',
};

function drive({ line, draft, piece, value }: OptionPlace): Verdict {
  const leaves = leavesOf(value, 'file');
  const kind = valueOf(leaves, 'if') ?? '';
  const id = valueOf(leaves, 'id');
  // A device that comes later says what it is.
  if (kind === 'none') return id === undefined ? unsupported('a drive that no device uses') : imported;
  if (kind === 'pflash') {
    draft.put(piece, 'firmware', 'uefi');
    return changed('firmware: uefi takes the OVMF of the host, with variables of the machine’s own');
  }
  if (kind === 'floppy') return unsupported('there are no floppy drives');
  const bus = driveBuses[kind];
  if (bus === undefined) return unsupported(`no disks on ${kind}`);
  if (isOn(leaves, 'snapshot'))
    return unsupported('what the guest writes is kept: give it an overlay to throw away');
  const cdrom = valueOf(leaves, 'media') === 'cdrom';
  const number = draft.items(cdrom ? 'cdroms' : 'disks').length;
  const verdict = draft.drive(
    piece,
    driveWish(leaves, { wish: id ?? `${cdrom ? 'cd' : 'disk'}${number}`, cdrom, bus }),
  );
  if (id !== undefined) {
    const known = line.back.get(`drive ${id}`);
    if (known !== undefined) known.used = true;
  }
  return verdict;
}

/** What the keys of `-drive` and `-blockdev` say of a drive. */
export function driveWish(
  leaves: readonly Leaf[],
  { wish, cdrom, bus }: { readonly wish: string; readonly cdrom: boolean; readonly bus: string },
): Parameters<ForeignDraft['drive']>[1] {
  return {
    wish,
    cdrom,
    bus,
    path: valueOf(leaves, 'file', 'filename', 'file.filename'),
    format: cdrom ? 'raw' : valueOf(leaves, 'format'),
    readonly: isOn(leaves, 'readonly', 'read-only'),
    cache: isOn(leaves, 'cache.direct') ? 'none' : valueOf(leaves, 'cache'),
    discard: valueOf(leaves, 'discard'),
    serial: valueOf(leaves, 'serial'),
  };
}

const screen: OptionRule = ({ line, value }) => {
  line.graphic = value !== 'none';
  return value === 'none'
    ? imported
    : changed('nothing listens and no window opens: the screen is reached by qward vnc');
};

function graphicsCard({ line, draft, piece, value }: OptionPlace): Verdict {
  const own = { std: 'vga', virtio: 'virtio', none: 'none', vga: 'vga' }[value];
  if (value === 'none') line.graphic ??= false;
  if (own === 'vga') return imported;
  if (own !== undefined) return draft.put(piece, 'video.model', own);
  return changed(`no ${value.slice(0, 30)}: the graphics card is a plain VGA one, which every guest knows`);
}

function serialPort({ line, value }: OptionPlace): Verdict {
  line.serial = value !== 'none' && (line.serial ?? true);
  return ['stdio', 'mon:stdio', 'pty', 'none', 'null'].includes(value) || value.startsWith('chardev:')
    ? imported
    : changed('the serial port is reached by qward console');
}

function clock({ draft, piece, value }: OptionPlace): Verdict {
  const leaves = leavesOf(value, 'base');
  const base = valueOf(leaves, 'base') ?? 'utc';
  if (base === 'localtime') draft.judge(piece, draft.put(piece, 'clock.base', 'localtime'));
  else if (base !== 'utc')
    draft.judge(piece, draft.put(piece, 'clock.start', base.length === 10 ? `${base}T00:00:00` : base));
  const source = valueOf(leaves, 'clock');
  if (source === 'vm') draft.put(piece, 'clock.source', 'guest');
  if (source === 'rt') draft.put(piece, 'clock.source', 'realtime');
  if (valueOf(leaves, 'driftfix') === 'slew') draft.put(piece, 'clock.driftFix', 'slew');
  return imported;
}

const usbDevices: Readonly<Record<string, string>> = {
  tablet: 'tablet',
  mouse: 'mouse',
  keyboard: 'keyboard',
};

function usbDevice({ draft, piece, value }: OptionPlace): Verdict {
  const type = usbDevices[value];
  const [kind, vendor, product] = value.split(':');
  if (kind === 'host') return draft.usbDevice(piece, { vendor, product });
  if (type === undefined) return unsupported('no such USB device');
  if (!draft.has('inputs', 'type')) return type === 'tablet' ? imported : unsupported('no such input device');
  draft.begin('inputs', piece, { type, bus: 'usb' });
  return imported;
}

function sound({ draft, piece, value }: OptionPlace): Verdict {
  const own = { hda: 'ich6', ac97: 'ac97', es1370: 'es1370', sb16: 'sb16', all: 'ich6' }[
    value.split(',')[0] ?? ''
  ];
  return own === undefined
    ? unsupported(`no sound card ${value.slice(0, 30)}`)
    : draft.put(piece, 'sound.model', own);
}

const noMeaning = imported;
const ownWay = (what: string): OptionRule => always(changed(what));

export const optionRules: Readonly<Record<string, OptionRule>> = {
  name: ({ draft, piece, value }) => draft.name(piece, valueOf(leavesOf(value, 'guest'), 'guest') ?? value),
  uuid: ({ draft, piece, value }) => draft.put(piece, 'uuid', value.toLowerCase()),
  m: memory,
  smp,
  cpu,
  M: machine,
  machine,
  accel: ({ draft, piece, value }) => accelerator(draft, piece, value.split(',')[0] ?? ''),
  'enable-kvm': always(imported),
  'no-kvm': put('accel', 'tcg'),
  boot,
  kernel: file('boot.kernel'),
  initrd: file('boot.initrd'),
  append: ({ draft, piece, value }) => draft.put(piece, 'boot.cmdline', value),
  bios: firmware,
  pflash: firmware,
  hda: image('hda', false),
  hdb: image('hdb', false),
  hdc: image('hdc', false),
  hdd: image('hdd', false),
  cdrom: image('cdrom', true),
  fda: always(unsupported('there are no floppy drives')),
  fdb: always(unsupported('there are no floppy drives')),
  drive,
  nic: ({ line, draft, piece, value }) =>
    addNic({ line, draft, piece, leaves: leavesOf(value, 'type'), model: undefined }),
  net: netOf,
  vga: graphicsCard,
  vnc: screen,
  display: screen,
  sdl: screen,
  curses: screen,
  spice: ({ line }) => {
    line.graphic = true;
    return changed('the screen is VNC, not SPICE, and reached by qward vnc');
  },
  nographic: ({ line }) => {
    line.graphic = false;
    line.serial = true;
    return imported;
  },
  serial: serialPort,
  parallel: ({ value }) => (value === 'none' ? imported : unsupported('no parallel ports')),
  monitor: ownWay('the monitor is qward’s: qward monitor, qward qmp'),
  qmp: ownWay('the monitor is qward’s: qward monitor, qward qmp'),
  mon: ownWay('the monitor is qward’s: qward monitor, qward qmp'),
  rtc: clock,
  localtime: put('clock.base', 'localtime'),
  usb: always(imported),
  usbdevice: usbDevice,
  soundhw: sound,
  watchdog: ({ draft, piece, value }) => draft.put(piece, 'watchdog.model', value),
  'watchdog-action': ({ draft, piece, value }) => draft.put(piece, 'watchdog.action', value),
  balloon: ({ draft, piece, value }) => draft.put(piece, 'balloon', value !== 'none'),
  'no-acpi': put('platform.acpi', false),
  'no-hpet': always(noMeaning),
  'no-reboot': put('onReboot', 'stop'),
  'no-shutdown': ownWay('a machine whose guest powers off is stopped'),
  k: ownWay('viewers send keys by their place, which needs no keymap'),
  nodefaults: ({ line }) => {
    line.defaults = false;
    return imported;
  },
  'no-user-config': always(noMeaning),
  nodefconfig: always(noMeaning),
  S: ownWay('machines begin to run when every wall is proved; qward start --paused'),
  daemonize: ownWay('machines run in the background always'),
  pidfile: ownWay('qward status tells the pid'),
  runas: ownWay('the machine has a uid of its own'),
  'run-with': ownWay('the machine has a uid and a root directory of its own'),
  chroot: ownWay('the machine has a root directory of its own'),
  sandbox: ownWay('every machine has filters of system calls'),
  msg: always(noMeaning),
  D: ownWay('qward logs shows what QEMU says'),
  L: ownWay('QEMU’s firmware is that of the host'),
  snapshot: always(unsupported('what the guest writes is kept: give it an overlay to throw away')),
  loadvm: always(unsupported('state of a running machine')),
  incoming: always(unsupported('state of a running machine')),
  'add-fd': always(unsupported('descriptors are given by qward; name the file')),
  audiodev: ownWay('no sound leaves the jail'),
};
