/** A machine of Xen's toolstack (xl.cfg, HVM) to a definition. */
import { noLastingUsb } from '../host-usb.ts';
import type { DefinitionKey } from '../../definition/definition-keys.ts';
import { ForeignDraft, type ForeignImport, type Piece } from '../foreign-draft.ts';
import { readCommandLine } from '../qemu/import-command-line.ts';
import { changed, imported, unsupported, type Verdict } from '../verdict.ts';
import { readXl } from './read-xl.ts';

interface XlPlace {
  readonly draft: ForeignDraft;
  readonly piece: Piece;
  /** The first of a list. */
  readonly value: string;
  readonly values: readonly string[];
}

type XlRule = (place: XlPlace) => Verdict;

const isNo = (value: string): boolean => value === '0' || value === '' || /^(?:no|off|false)$/i.test(value);
const always =
  (verdict: Verdict): XlRule =>
  () =>
    verdict;
const whole = (value: string): number | undefined => (/^\d{1,9}$/.test(value) ? Number(value) : undefined);

const number =
  (key: string): XlRule =>
  ({ draft, piece, value }) => {
    const own = whole(value);
    return own === undefined ? unsupported('no number') : draft.put(piece, key, own);
  };

const memory =
  (key: string): XlRule =>
  ({ draft, piece, value }) => {
    const own = whole(value);
    return own === undefined ? unsupported('no number of MiB') : draft.put(piece, key, `${own}MiB`);
  };

/** `key=value` parts, and words without one in their order. */
function partsOf(spec: string): {
  readonly keys: ReadonlyMap<string, string>;
  readonly words: readonly string[];
} {
  const keys = new Map<string, string>();
  const words: string[] = [];
  for (const part of spec.split(',').map((one) => one.trim())) {
    const match = /^([a-z][a-z_-]*)=(.*)$/i.exec(part);
    if (match === null) words.push(part);
    else keys.set(match[1] ?? '', match[2] ?? '');
  }
  return { keys, words };
}

const buses: Readonly<Record<string, string>> = { xv: 'virtio', hd: 'ide', sd: 'scsi' };

/** xl-disk-configuration(5): target, format, vdev, access, in this order or by key; and the old `phy:` and `file:`. */
function disk(draft: ForeignDraft, piece: Piece, spec: string): Verdict {
  const { keys, words } = partsOf(spec);
  const old = /^(?:phy|file|tap2?(?::(?:aio|qcow2|vhd))?|raw|qcow2):(.*)$/.exec(words[0] ?? '');
  const by = (key: string, place: number): string | undefined => keys.get(key) ?? words[place];
  const target = old?.[1] ?? by('target', 0) ?? '';
  const vdev = (old === null ? by('vdev', 2) : (keys.get('vdev') ?? words[1])) ?? '';
  const access = (old === null ? by('access', 3) : (keys.get('access') ?? words[2])) ?? 'rw';
  const named = old === null ? by('format', 1) : /qcow2/.exec(spec)?.[0];
  const format = named === undefined || named === '' ? 'raw' : named;
  const cdrom =
    keys.get('devtype') === 'cdrom' ||
    words.includes('cdrom') ||
    vdev.endsWith(':cdrom') ||
    words.includes('devtype=cdrom');
  const dev = vdev.replace(/:.*$/, '');
  const path =
    target === ''
      ? undefined
      : target.startsWith('/')
        ? target
        : target.startsWith('vg')
          ? `/dev/${target}`
          : target;
  const bus = buses[dev.slice(0, 2)] ?? 'virtio';
  const verdict = draft.drive(piece, {
    wish: dev === '' ? 'disk' : dev,
    path,
    format: cdrom ? 'raw' : format,
    cdrom,
    bus: cdrom && bus === 'virtio' ? 'ide' : bus,
    readonly: /^(?:r|ro)$/.test(access),
  });
  if (verdict.is !== 'imported' || cdrom || bus !== 'virtio') return verdict;
  return changed('a disk of Xen is a virtio disk, and the guest needs its driver');
}

const models: Readonly<Record<string, string>> = {
  e1000: 'e1000',
  e1000e: 'e1000e',
  rtl8139: 'rtl8139',
  'virtio-net': 'virtio',
  virtio: 'virtio',
};

function vif(draft: ForeignDraft, piece: Piece, spec: string): Verdict {
  const { keys } = partsOf(spec);
  const bridge = keys.get('bridge') ?? 'xenbr0';
  const part = draft.nic(piece, `net${draft.items('nics').length}`, { kind: 'bridge', bridge });
  const mac = keys.get('mac');
  if (mac !== undefined) draft.set(part, 'mac', mac.toLowerCase(), piece);
  const paravirtual = keys.get('type') === 'vif';
  const wanted = paravirtual ? 'virtio' : (keys.get('model') ?? 'rtl8139');
  const model = models[wanted];
  if (model !== 'virtio') draft.set(part, 'model', model ?? 'rtl8139', piece);
  const lost = ['rate', 'ip', 'script', 'backend'].filter((key) => keys.has(key));
  if (lost.length > 0) return unsupported(`no ${lost.join(', ')} for cards`);
  if (paravirtual) return changed('a card of Xen is a virtio card, and the guest needs its driver');
  return model === undefined ? changed(`no ${wanted.slice(0, 30)}: the card is an rtl8139`) : imported;
}

const each =
  (one: (draft: ForeignDraft, piece: Piece, spec: string) => Verdict): XlRule =>
  ({ draft, piece, values }) => {
    const [first, ...rest] = values.map((spec) => one(draft, piece, spec));
    for (const verdict of rest) draft.judge(piece, verdict);
    return first ?? imported;
  };

const event =
  (key: string, own: Readonly<Record<string, string>>): XlRule =>
  ({ draft, piece, value }) => {
    const action = own[value.replace(/^coredump-/, '').replace('rename-restart', 'restart')];
    if (action === undefined) return unsupported(`no action ${value.slice(0, 30)}`);
    const verdict = draft.put(piece, key, action);
    return value.startsWith('coredump') ? changed('no memory dump is made of a guest') : verdict;
  };

const throughQward = always(
  changed('nothing listens: the screen is reached by qward vnc, and rights decide'),
);
const screen: XlRule = ({ draft, piece, value }) => draft.put(piece, 'vnc', !isNo(value));
const xenOnly = always(changed('of Xen; under KVM there is nothing like it to set'));

function bootOrder({ draft, piece, value }: XlPlace): Verdict {
  draft.judge(piece, imported);
  const ids = (list: string): readonly string[] =>
    draft.items(list).flatMap(({ values: { id } }) => (typeof id === 'string' ? [id] : []));
  const letters: Readonly<Record<string, readonly string[]>> = {
    c: ids('disks'),
    d: ids('cdroms'),
    n: ids('nics').slice(0, 1),
  };
  const order = Array.from(value).flatMap((letter) => letters[letter] ?? []);
  const usual = [...ids('disks'), ...ids('cdroms')];
  if (order.length > 0 && order.join(' ') !== usual.join(' ')) draft.put(piece, 'boot.order', order);
  return value.includes('a') ? unsupported('there are no floppy drives') : imported;
}

function usbDevices({ draft, piece, values }: XlPlace): Verdict {
  const lost = values.filter((one) => !['tablet', 'mouse', 'keyboard'].includes(one));
  for (const type of values)
    if (!lost.includes(type) && draft.has('inputs', 'type'))
      draft.begin('inputs', piece, { type, bus: 'usb' });
  const verdicts = lost.map((one) => {
    const [kind, vendor, product] = one.split(':');
    return kind === 'host' ? draft.usbDevice(piece, { vendor, product }) : unsupported('no such USB device');
  });
  return verdicts.find(({ is }) => is !== 'imported') ?? imported;
}

const path =
  (key: string): XlRule =>
  ({ draft, piece, value }) => {
    const own = draft.path(value);
    return own === undefined ? unsupported('no path') : draft.put(piece, key, own);
  };

const onlyHvm: XlRule = ({ value }) =>
  value === 'hvm' ? imported : unsupported(`"${value.slice(0, 20)}": only hvm is run`);
const ownLabel = always(changed('labels of Xen’s own module (XSM); the machine has a jail of its own'));

const rules: Readonly<Record<string, XlRule>> = {
  name: ({ draft, piece, value }) => draft.name(piece, value),
  uuid: ({ draft, piece, value }) => draft.put(piece, 'uuid', value.toLowerCase()),
  builder: onlyHvm,
  type: onlyHvm,
  memory: memory('memory'),
  maxmem: ({ draft, piece, value }) =>
    `${value}MiB` === draft.valueAt(draft.machine, 'memory')
      ? imported
      : changed(
          `the guest has its memory from the start; it was to have ${value.slice(0, 12)} MiB at most (${piece.subject})`,
        ),
  vcpus: number('cpu.count'),
  maxvcpus: ({ draft, piece, value }) => {
    const most = whole(value);
    const count = draft.valueAt(draft.machine, 'cpu.count') ?? 1;
    return most === undefined || most === count ? imported : draft.put(piece, 'cpu.maximum', most);
  },
  cpus: ({ draft, piece, value }) => draft.put(piece, 'cpu.pinning.machine', value),
  cpu_weight: ({ draft, piece, value }) => {
    // 256 is usual there, 100 here.
    const weight = Math.max(1, Math.min(10_000, Math.round(((whole(value) ?? 256) * 100) / 256)));
    return draft.put(piece, 'limits.cpuWeight', weight);
  },
  cap: ({ draft, piece, value }) =>
    isNo(value) ? imported : draft.put(piece, 'limits.cpuQuota', Math.max(0.05, (whole(value) ?? 100) / 100)),
  disk: each(disk),
  vif: each(vif),
  vnc: screen,
  sdl: screen,
  spice: screen,
  vnclisten: throughQward,
  vncdisplay: throughQward,
  vncunused: throughQward,
  vncpasswd: throughQward,
  vncconsole: throughQward,
  spicehost: throughQward,
  spiceport: throughQward,
  spicepasswd: throughQward,
  spicedisable_ticketing: throughQward,
  boot: bootOrder,
  bios: ({ draft, piece, value }) => {
    if (value === 'ovmf') return draft.put(piece, 'firmware', 'uefi');
    return value === 'seabios' ? imported : changed(`no ${value.slice(0, 20)}: SeaBIOS is taken`);
  },
  serial: ({ draft, piece, value }) => {
    draft.put(piece, 'console', true);
    return value === 'pty' ? imported : changed('the serial port is reached by qward console');
  },
  usb: always(imported),
  usbdevice: usbDevices,
  usbdev: always(unsupported(noLastingUsb)),
  pci: each((draft, piece, spec) => draft.hostDevice(piece, spec.split(/[,@]/)[0] ?? '')),
  kernel: ({ draft, piece, value, values }) =>
    value.endsWith('hvmloader') ? imported : path('boot.kernel')({ draft, piece, value, values }),
  ramdisk: path('boot.initrd'),
  cmdline: ({ draft, piece, value }) => draft.put(piece, 'boot.cmdline', value),
  extra: ({ draft, piece, value }) => draft.put(piece, 'boot.cmdline', value),
  localtime: ({ draft, piece, value }) =>
    isNo(value) ? imported : draft.put(piece, 'clock.base', 'localtime'),
  rtc_timeoffset: number('clock.offset'),
  on_poweroff: event('onPowerOff', { destroy: 'stop', restart: 'restart', preserve: 'stop' }),
  on_reboot: event('onReboot', { restart: 'reset', destroy: 'stop', preserve: 'stop' }),
  on_crash: event('onCrash', { destroy: 'stop', restart: 'restart', preserve: 'pause' }),
  on_watchdog: event('watchdog.action', { destroy: 'poweroff', restart: 'reset', preserve: 'pause' }),
  dm_restrict: always(imported),
  device_model_user: ({ value }) =>
    changed(
      `the machine has a uid of its own; where it must be ${value.slice(0, 40)}: confinement: {user: ${value.slice(0, 40)}}, with a line in the policy`,
    ),
  device_model_version: ({ value }) => (value === 'qemu-xen' ? imported : changed('QEMU of the host')),
  device_model_override: always(changed('QEMU of the host, as the policy has it')),
  device_model_stubdomain_override: always(changed('QEMU is in a jail of its own, not in a domain')),
  acpi: ({ draft, piece, value }) => (isNo(value) ? draft.put(piece, 'platform.acpi', false) : imported),
  apic: always(imported),
  pae: always(imported),
  nx: always(imported),
  hap: always(imported),
  hpet: ({ draft, piece, value }) => (isNo(value) ? imported : draft.put(piece, 'clock.hpet', true)),
  viridian: ({ draft, piece, value }) =>
    isNo(value) ? imported : draft.put(piece, 'cpu.hyperv.enlightenments', ['relaxed', 'vapic', 'time']),
  nestedhvm: ({ value }) => (isNo(value) ? imported : unsupported('nested virtualisation stays off')),
  vga: ({ value }) =>
    value === 'stdvga' ? imported : changed('the graphics card is a plain VGA one, which every guest knows'),
  stdvga: always(imported),
  videoram: always(changed('the graphics card has the memory that it needs')),
  keymap: always(changed('viewers send keys by their place, which needs no keymap')),
  soundhw: ({ draft, piece, value }) =>
    draft.put(
      piece,
      'sound.model',
      { hda: 'ich6', ac97: 'ac97', es1370: 'es1370', sb16: 'sb16' }[value] ?? 'ich6',
    ),
  nographic: ({ draft, piece, value }) => (isNo(value) ? imported : draft.put(piece, 'vnc', false)),
  xen_platform_pci: xenOnly,
  tsc_mode: xenOnly,
  timer_mode: xenOnly,
  shadow_memory: xenOnly,
  pool: xenOnly,
  altp2m: xenOnly,
  vpt_align: xenOnly,
  seclabel: ownLabel,
  init_seclabel: ownLabel,
};

/** What other settings depend on comes first, what depends on all of them last. */
const rank = (key: string): number =>
  ['builder', 'type', 'memory', 'vcpus'].includes(key) ? 0 : key === 'boot' ? 2 : 1;

const passed = new Set(['device_model_args', 'device_model_args_hvm']);

export function importXl(
  text: string,
  {
    name,
    keys,
    cwd = '/',
  }: { readonly name?: string; readonly keys?: readonly DefinitionKey[]; readonly cwd?: string } = {},
): ForeignImport {
  const settings = readXl(text);
  if ('message' in settings) return { ok: false, faults: [settings] };
  const kind = settings.find(({ key }) => key === 'type' || key === 'builder');
  if (kind?.values[0] !== 'hvm')
    return {
      ok: false,
      faults: [
        {
          message: `a domain of type ${kind?.values[0] ?? 'pv'}; hvm is expected`,
          hint: 'qward runs fully virtualised machines only: a paravirtualised one is to be set up anew as HVM first.',
          line: kind?.line ?? 1,
        },
      ],
    };
  const draft = new ForeignDraft(cwd, keys);
  draft.put(draft.machine.source, 'machine', 'pc');
  for (const key of ['console', 'rng', 'balloon'] as const) draft.put(draft.machine.source, key, false);
  const args = settings
    .filter(({ key }) => passed.has(key))
    .flatMap(({ values, line }) => values.map((word) => ({ word, line })));
  if (args.length > 0)
    readCommandLine(
      draft,
      ['-nographic', '-serial', 'none', ...args.map(({ word }) => word)],
      (index) => args[index - 3]?.line ?? 1,
      false,
    );
  for (const { key, values, line } of settings.toSorted((a, b) => rank(a.key) - rank(b.key))) {
    const piece = { subject: key, line };
    const rule = rules[key];
    if (passed.has(key)) draft.judge(piece, imported);
    else if (rule === undefined) draft.judge(piece, unsupported('no setting that qward knows'));
    else draft.judge(piece, rule({ draft, piece, value: values[0] ?? '', values }));
  }
  return draft.finish(name);
}
