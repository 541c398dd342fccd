/** Network cards, ports, the screen and what a machine has once, as libvirt has them. */
import { element, type XmlTree } from '../../xml/write-xml.ts';
import { millisecondsOf, type Values } from './definition-values.ts';

/** Debian's libvirt 9.0 refuses passt as a back-end, and with it ports that are forwarded: they are kept as a key of our own. */
function otherEnd(nic: Values): readonly XmlTree[] {
  const kind = nic.text('kind') ?? '';
  if (kind === 'user') return [];
  return [element('source', { [kind]: nic.text(kind) })];
}

export function exportNic(nic: Values, order: number | undefined): XmlTree {
  const mac = nic.text('mac');
  const [queues, rxRing, txRing] = [nic.number('queues'), nic.number('rxRing'), nic.number('txRing')];
  const driver = { queues, rx_queue_size: rxRing, tx_queue_size: txRing };
  const mtu = nic.number('mtu');
  const rom = nic.state('rom');
  return element(
    'interface',
    { type: nic.text('kind') },
    mac === undefined ? undefined : element('mac', { address: mac }),
    ...otherEnd(nic),
    element('model', { type: nic.text('model') }),
    Object.values(driver).every((one) => one === undefined)
      ? undefined
      : element('driver', { name: 'vhost', ...driver }),
    nic.text('link') === 'down' ? element('link', { state: 'down' }) : undefined,
    mtu === undefined ? undefined : element('mtu', { size: mtu }),
    order === undefined ? undefined : element('boot', { order }),
    rom === undefined ? undefined : element('rom', { enabled: rom === 'on' ? 'yes' : 'no' }),
    element('alias', { name: `ua-${nic.text('id') ?? ''}` }),
  );
}

export function exportPorts(values: Values): readonly (XmlTree | undefined)[] {
  const channel = (name: string | undefined, id?: string) =>
    element(
      'channel',
      { type: 'unix' },
      element('target', { type: 'virtio', name }),
      id === undefined ? undefined : element('alias', { name: `ua-${id}` }),
    );
  const console = values.is('console');
  const target = (name: string) => element('target', { type: name, port: 0 });
  return [
    console ? element('serial', { type: 'pty' }, target('isa-serial')) : undefined,
    ...values.items('serials').map((serial, index) =>
      element(
        'serial',
        { type: 'pty' },
        element('target', {
          type: `${serial.text('type') ?? 'isa'}-serial`,
          port: index + (console ? 1 : 0),
        }),
        element('alias', { name: `ua-${serial.text('id') ?? ''}` }),
      ),
    ),
    console ? element('console', { type: 'pty' }, target('serial')) : undefined,
    values.is('agent') ? channel('org.qemu.guest_agent.0') : undefined,
    values.is('clipboard')
      ? element(
          'channel',
          { type: 'qemu-vdagent' },
          element(
            'source',
            {},
            element('clipboard', { copypaste: 'yes' }),
            element('mouse', { mode: 'server' }),
          ),
          element('target', { type: 'virtio', name: 'com.redhat.spice.0' }),
        )
      : undefined,
    ...values.items('channels').map((one) => channel(one.text('name'), one.text('id'))),
  ];
}

const usbModels: Readonly<Record<string, string>> = {
  none: 'none',
  xhci: 'qemu-xhci',
  ehci: 'ich9-ehci1',
  uhci: 'piix3-uhci',
};

/** Whether something of the machine sits on USB. */
export function needsUsb(values: Values): boolean {
  const inputs = values.at('inputs') === undefined ? values.is('vnc') : undefined;
  const onUsb = (key: string) =>
    values
      .items(key)
      .some((one) => one.text('bus') === 'usb' || (key === 'serials' && one.text('type') === 'usb'));
  return (
    inputs === true ||
    onUsb('inputs') ||
    onUsb('disks') ||
    onUsb('cdroms') ||
    onUsb('serials') ||
    values.items('hostDevices').some((one) => one.text('usb') !== undefined) ||
    values.text('sound.model') === 'usb'
  );
}

export function exportUsb(values: Values): XmlTree {
  const own = values.text('usb.model') ?? 'auto';
  const model = own === 'auto' ? (needsUsb(values) ? 'xhci' : 'none') : own;
  const ports = model === 'xhci' ? values.number('usb.ports') : undefined;
  return element('controller', { type: 'usb', index: 0, model: usbModels[model], ports });
}

export function exportInputs(values: Values): readonly XmlTree[] {
  const inputs = values
    .items('inputs')
    .map((one) => element('input', { type: one.text('type'), bus: one.text('bus') }));
  return values.at('inputs') === undefined && values.is('vnc')
    ? [element('input', { type: 'tablet', bus: 'usb' })]
    : inputs;
}

/** libvirt has no bochs but as the first card; what is imported of a further qxl is one. */
function exportFurtherCard(card: Values): XmlTree {
  const model = card.text('model') ?? 'bochs';
  const memory = card.bytes('memory');
  const resolution = card.group('resolution');
  return element(
    'video',
    {},
    element(
      'model',
      {
        type: model === 'bochs' ? 'qxl' : model,
        vgamem: memory === undefined ? undefined : memory / 1024,
        heads: card.number('heads'),
      },
      resolution === undefined
        ? undefined
        : element('resolution', { x: resolution.number('width'), y: resolution.number('height') }),
    ),
  );
}

export function exportScreen(values: Values): readonly (XmlTree | undefined)[] {
  const vnc = values.is('vnc');
  const own = values.text('video.model') ?? 'auto';
  const usual = vnc ? (values.text('firmware') === 'uefi' ? 'bochs' : 'vga') : 'none';
  const type = own === 'auto' ? usual : own;
  const memory = values.bytes('video.memory');
  const resolution = values.group('video.resolution');
  const heads = values.number('video.heads');
  const sound = values.text('sound.model') ?? 'none';
  const codec = values.text('sound.codec');
  return [
    vnc ? element('graphics', { type: 'vnc' }, element('listen', { type: 'socket' })) : undefined,
    element(
      'video',
      {},
      element(
        'model',
        type === 'none'
          ? { type }
          : { type, vram: memory === undefined ? undefined : memory / 1024, heads, primary: 'yes' },
        resolution === undefined
          ? undefined
          : element('resolution', { x: resolution.number('width'), y: resolution.number('height') }),
      ),
    ),
    ...values.items('moreVideo').map(exportFurtherCard),
    sound === 'none'
      ? undefined
      : element(
          'sound',
          { model: sound },
          codec === undefined || codec === 'duplex' ? undefined : element('codec', { type: codec }),
        ),
    sound === 'none' ? undefined : element('audio', { id: 1, type: 'none' }),
  ];
}

function rng(values: Values): XmlTree | undefined {
  if (!values.is('rng')) return undefined;
  const bytes = values.number('rngOptions.bytes');
  const period = millisecondsOf(values.text('rngOptions.period'));
  return element(
    'rng',
    { model: 'virtio' },
    bytes === undefined ? undefined : element('rate', { bytes, period }),
    element('backend', { model: 'builtin' }),
  );
}

function balloon(values: Values): XmlTree {
  if (!values.is('balloon')) return element('memballoon', { model: 'none' });
  const period = millisecondsOf(values.text('balloonOptions.statsPeriod'));
  return element(
    'memballoon',
    {
      model: 'virtio',
      autodeflate: values.at('balloonOptions.deflateOnOom') === false ? 'off' : 'on',
      freePageReporting: values.at('balloonOptions.freePageReporting') === false ? 'off' : 'on',
    },
    period === undefined || period < 1000
      ? undefined
      : element('stats', { period: Math.floor(period / 1000) }),
  );
}

function iommu(values: Values): XmlTree | undefined {
  const model = values.text('iommu.model') ?? 'none';
  // libvirt 9.0 does not know amd, and has the others on q35 only.
  if ((model !== 'intel' && model !== 'virtio') || values.text('machine') !== 'q35') return undefined;
  const driver = {
    intremap: values.state('iommu.interruptRemapping'),
    caching_mode: values.state('iommu.cachingMode'),
    eim: values.state('iommu.eim'),
    iotlb: values.state('iommu.deviceIotlb'),
    aw_bits: values.number('iommu.addressWidth'),
  };
  const bare = Object.values(driver).every((one) => one === undefined);
  return element('iommu', { model }, bare ? undefined : element('driver', driver));
}

/** `046d:c52b`. A port is no name of libvirt's: undefined. */
function usbDevice(one: Values, usb: string): XmlTree | undefined {
  const [vendor, product] = usb.split(':');
  if (product === undefined) return undefined;
  return element(
    'hostdev',
    { mode: 'subsystem', type: 'usb', managed: 'yes' },
    element(
      'source',
      { startupPolicy: one.is('optional') ? 'optional' : undefined },
      element('vendor', { id: `0x${vendor}` }),
      element('product', { id: `0x${product}` }),
    ),
    element('alias', { name: `ua-${one.text('id') ?? ''}` }),
  );
}

/** `0000:65:00.0` */
function hostDevice(one: Values): XmlTree | undefined {
  const usb = one.text('usb');
  if (usb !== undefined) return usbDevice(one, usb);
  const [domain, bus, slot, fn] = (one.text('pci') ?? '').split(/[:.]/).map((part) => `0x${part}`);
  return element(
    'hostdev',
    { mode: 'subsystem', type: 'pci', managed: 'yes' },
    element('driver', { name: 'vfio' }),
    element('source', {}, element('address', { domain, bus, slot, function: fn })),
    one.is('rom') ? undefined : element('rom', { bar: 'off' }),
    element('alias', { name: `ua-${one.text('id') ?? ''}` }),
  );
}

export function exportSingles(values: Values): readonly (XmlTree | undefined)[] {
  const watchdog = values.text('watchdog.model') ?? 'none';
  const panic = values.text('panic') ?? 'auto';
  const cid = values.number('vsock.cid');
  return [
    rng(values),
    balloon(values),
    // libvirt 9.0 does not know the watchdog of the board.
    watchdog === 'none' || watchdog === 'itco'
      ? undefined
      : element('watchdog', { model: watchdog, action: values.text('watchdog.action') }),
    values.is('tpm')
      ? element(
          'tpm',
          { model: `tpm-${values.text('tpmModel') ?? 'crb'}` },
          element('backend', { type: 'emulator', version: '2.0' }),
        )
      : undefined,
    ...values.items('hostDevices').map(hostDevice),
    panic === 'isa' ? element('panic', { model: 'isa' }) : undefined,
    values.words('cpu.hyperv.enlightenments').includes('crash')
      ? element('panic', { model: 'hyperv' })
      : undefined,
    cid === undefined
      ? undefined
      : element('vsock', { model: 'virtio' }, element('cid', { auto: 'no', address: cid })),
    iommu(values),
  ];
}
