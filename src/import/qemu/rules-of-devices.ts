/** Devices of QEMU (`-device`), each with the keys that it becomes. */
import { leavesOf, valueOf, type Leaf } from '../../plan/passthrough/option-values.ts';
import { changed, imported, unsupported } from '../verdict.ts';
import { addNic } from './networks.ts';
import { always, put, type OptionPlace, type OptionRule } from './option-rule.ts';
import { driveWish } from './rules-of-options.ts';

/** The drive that a device is for: of `-drive if=none`, or the chain of nodes of `-blockdev`. */
function nodesOf(
  { line }: OptionPlace,
  name: string,
): { readonly leaves: readonly Leaf[]; readonly node: boolean } | undefined {
  const drive = line.back.get(`drive ${name}`);
  if (drive !== undefined) {
    drive.used = true;
    return { leaves: drive.leaves, node: false };
  }
  const top = line.back.get(`blockdev ${name}`);
  if (top === undefined) return undefined;
  top.used = true;
  line.draft.judge(top.piece, imported);
  const below = line.back.get(`blockdev ${valueOf(top.leaves, 'file') ?? ''}`);
  if (below !== undefined) {
    below.used = true;
    line.draft.judge(below.piece, imported);
  }
  const format = valueOf(top.leaves, 'driver') ?? 'raw';
  const own = top.leaves.filter(({ key }) => key !== 'file');
  return {
    node: true,
    leaves: [
      ...(below?.leaves ?? []),
      ...own,
      { key: 'format', text: ['file', 'host_device'].includes(format) ? 'raw' : format },
    ],
  };
}

/** Whatever is behind it: the machine's own is TPM 2.0 of swtpm. */
const tpm =
  (model: 'crb' | 'tis'): OptionRule =>
  ({ draft, piece }) => {
    draft.put(piece, 'tpm', true);
    draft.put(piece, 'tpmModel', model);
    return changed('TPM 2.0 by swtpm, which begins empty and which qward starts itself');
  };

const disk =
  (bus: string, cdrom = false): OptionRule =>
  (place) => {
    const { line, draft, piece, leaves } = place;
    const name = valueOf(leaves, 'drive') ?? '';
    const nodes = nodesOf(place, name);
    if (nodes === undefined)
      return cdrom
        ? draft.drive(piece, { wish: valueOf(leaves, 'id') ?? 'cd0', path: undefined, cdrom, bus })
        : unsupported(`there is no drive "${name.slice(0, 40)}"`);
    const isCd = cdrom || valueOf(nodes.leaves, 'media') === 'cdrom';
    const before = draft.items(isCd ? 'cdroms' : 'disks').length;
    const wish = { ...driveWish(nodes.leaves, { wish: valueOf(leaves, 'id') ?? name, cdrom: isCd, bus }) };
    const serial = valueOf(leaves, 'serial');
    const verdict = draft.drive(piece, serial === undefined ? wish : { ...wish, serial });
    const part = draft.items(isCd ? 'cdroms' : 'disks')[before];
    const order = valueOf(leaves, 'bootindex');
    const id = part?.values['id'];
    if (order !== undefined && typeof id === 'string') line.bootIndexes.push({ order: Number(order), id });
    return verdict;
  };

const nic: OptionRule = ({ line, draft, piece, leaves }) => {
  const id = valueOf(leaves, 'netdev') ?? '';
  const back = line.back.get(`netdev ${id}`);
  if (back === undefined) return unsupported(`there is no netdev "${id.slice(0, 40)}"`);
  back.used = true;
  const verdict = addNic({
    line,
    draft,
    piece,
    leaves: back.leaves,
    device: leaves,
    model: valueOf(leaves, 'driver'),
  });
  draft.judge(back.piece, imported);
  return verdict;
};

const card =
  (model: string | undefined): OptionRule =>
  ({ line, draft, piece, leaves }) => {
    line.graphic ??= true;
    if (model === undefined)
      return changed(
        `no ${valueOf(leaves, 'driver') ?? ''}: the graphics card is a plain VGA one, which every guest knows`,
      );
    return model === 'vga' ? imported : draft.put(piece, 'video.model', model);
  };

const input =
  (type: string, bus: string): OptionRule =>
  ({ draft, piece }) => {
    if (!draft.has('inputs', 'type'))
      return type === 'tablet' ? imported : unsupported('no such input device');
    draft.begin('inputs', piece, { type, bus });
    return imported;
  };

const port: OptionRule = ({ line, draft, piece, leaves }) => {
  const name = valueOf(leaves, 'name') ?? '';
  const chardev = line.back.get(`chardev ${valueOf(leaves, 'chardev') ?? ''}`);
  if (chardev !== undefined) {
    chardev.used = true;
    draft.judge(chardev.piece, changed('the other end of the port is qward’s'));
  }
  if (name === 'org.qemu.guest_agent.0') return draft.put(piece, 'agent', true);
  return name.startsWith('com.redhat.spice')
    ? changed('nothing of SPICE')
    : unsupported(`no channel "${name.slice(0, 60)}"`);
};

const randomNumbers: OptionRule = ({ line, draft, piece, leaves }) => {
  const object = line.back.get(`object ${valueOf(leaves, 'rng') ?? ''}`);
  if (object !== undefined) {
    object.used = true;
    draft.judge(object.piece, imported);
  }
  return draft.put(piece, 'rng', true);
};

const iommu: OptionRule = ({ draft, piece, value }) => {
  const leaves = leavesOf(value, 'driver');
  const on = valueOf(leaves, 'intremap');
  if (on !== undefined) draft.put(piece, 'iommu.interruptRemapping', on === 'on');
  return draft.put(piece, 'iommu.model', valueOf(leaves, 'driver') === 'amd-iommu' ? 'amd' : 'intel');
};

const ownBuses = always(changed('the buses of the guest are laid out by qward'));

export const deviceRules: Readonly<Record<string, OptionRule>> = {
  'virtio-blk-pci': disk('virtio'),
  'virtio-blk-device': disk('virtio'),
  'virtio-blk': disk('virtio'),
  'scsi-hd': disk('scsi'),
  'scsi-disk': disk('scsi'),
  'scsi-cd': disk('scsi', true),
  'ide-hd': disk('ide'),
  'ide-drive': disk('ide'),
  'ide-cd': disk('ide', true),
  nvme: disk('nvme'),
  'usb-storage': disk('usb'),
  'virtio-net-pci': nic,
  'virtio-net': nic,
  'virtio-net-device': nic,
  e1000: nic,
  'e1000-82545em': nic,
  e1000e: nic,
  rtl8139: nic,
  vmxnet3: nic,
  ne2k_pci: nic,
  pcnet: nic,
  'virtio-scsi-pci': always(imported),
  'virtio-scsi-device': always(imported),
  ahci: always(imported),
  'ich9-ahci': always(imported),
  'virtio-serial-pci': always(imported),
  'virtio-serial': always(imported),
  'virtio-serial-device': always(imported),
  virtserialport: port,
  'isa-serial': always(imported),
  'pcie-root-port': ownBuses,
  'pcie-pci-bridge': ownBuses,
  'pci-bridge': ownBuses,
  ioh3420: ownBuses,
  'virtio-rng-pci': randomNumbers,
  'virtio-rng-device': randomNumbers,
  'virtio-rng': randomNumbers,
  'virtio-balloon-pci': put('balloon', true),
  'virtio-balloon': put('balloon', true),
  'virtio-balloon-device': put('balloon', true),
  VGA: card('vga'),
  'bochs-display': card('bochs'),
  'virtio-vga': card('virtio'),
  'virtio-gpu-pci': card('virtio'),
  'qxl-vga': card(undefined),
  'cirrus-vga': card(undefined),
  'vmware-svga': card(undefined),
  'usb-tablet': input('tablet', 'usb'),
  'usb-mouse': input('mouse', 'usb'),
  'usb-kbd': input('keyboard', 'usb'),
  'virtio-tablet-pci': input('tablet', 'virtio'),
  'virtio-keyboard-pci': input('keyboard', 'virtio'),
  'virtio-mouse-pci': input('mouse', 'virtio'),
  'qemu-xhci': put('usb.model', 'xhci'),
  'nec-usb-xhci': put('usb.model', 'xhci'),
  'usb-ehci': put('usb.model', 'ehci'),
  'ich9-usb-ehci1': put('usb.model', 'ehci'),
  'ich9-usb-uhci1': always(imported),
  'ich9-usb-uhci2': always(imported),
  'ich9-usb-uhci3': always(imported),
  'piix3-usb-uhci': put('usb.model', 'uhci'),
  'intel-hda': put('sound.model', 'ich6'),
  'ich9-intel-hda': put('sound.model', 'ich9'),
  'hda-duplex': always(imported),
  'hda-micro': put('sound.codec', 'micro'),
  'hda-output': put('sound.codec', 'output'),
  AC97: put('sound.model', 'ac97'),
  ES1370: put('sound.model', 'es1370'),
  sb16: put('sound.model', 'sb16'),
  i6300esb: put('watchdog.model', 'i6300esb'),
  ib700: put('watchdog.model', 'ib700'),
  pvpanic: put('panic', 'isa'),
  'pvpanic-pci': put('panic', 'pci'),
  'vhost-vsock-pci': ({ draft, piece, leaves }) =>
    draft.put(piece, 'vsock.cid', Number(valueOf(leaves, 'guest-cid'))),
  'intel-iommu': iommu,
  'amd-iommu': iommu,
  'vfio-pci': ({ draft, piece, leaves }) => draft.hostDevice(piece, valueOf(leaves, 'host') ?? ''),
  'usb-host': ({ draft, piece, leaves }) =>
    draft.usbDevice(piece, {
      vendor: valueOf(leaves, 'vendorid'),
      product: valueOf(leaves, 'productid'),
      bus: valueOf(leaves, 'hostbus'),
      port: valueOf(leaves, 'hostport'),
    }),
  'usb-redir': always(changed('nothing of SPICE: no USB devices of the viewer’s host')),
  'virtio-9p-pci': always(unsupported('no 9p: a folder of the host is one of `shares`')),
  'vhost-user-fs-pci': always(unsupported('its folder is known to its virtiofsd alone: name it in `shares`')),
  'tpm-tis': tpm('tis'),
  'tpm-crb': tpm('crb'),
};
