/** What a machine has once, and what it cannot have. */
import { isHostPath } from '../host-path.ts';
import { changed, imported, unsupported, whole, type Verdict } from '../verdict.ts';
import { attributeOf, childOf } from '../xml/xml-node.ts';
import { tuning, wholeNotYet } from './phrases.ts';
import { isOn, wholeNumberOf } from './quantities.ts';
import type { Outcome, Place, Rules } from './rule-table.ts';
import { common } from './rules-in-common.ts';

function rng(place: Place): Outcome {
  const { element, draft } = place;
  if (draft.devicesOf('rng')[0] !== element) return wholeNotYet('one source of random numbers');
  return imported;
}

function rngBackend(place: Place): Verdict {
  const model = attributeOf(place.element, 'model');
  return model === 'egd' ? whole(changed('no egd: the random numbers are the kernel’s')) : imported;
}

function milliseconds(place: Place): string {
  return `${wholeNumberOf(place.value) ?? 0}ms`;
}

function balloon(place: Place): Verdict {
  if (place.value === 'none') return place.setMachine('balloon', false);
  return place.value === 'virtio'
    ? imported
    : changed('virtio devices: on q35 the new kind alone, on pc both');
}

function watchdogModel(place: Place): Verdict {
  const own =
    place.value === 'ib700' || place.value === 'i6300esb' || place.value === 'itco' ? place.value : undefined;
  return own === undefined
    ? unsupported(`no watchdog ${place.value.slice(0, 30)}`)
    : place.setMachine('watchdog.model', own);
}

function watchdogAction(place: Place): Verdict {
  if (place.value === 'dump') {
    place.setMachine('watchdog.action', 'reset');
    return changed('no memory dump is made: the machine is reset');
  }
  return place.setMachine('watchdog.action', place.value);
}

/** 9p too: the guest then mounts `-t virtiofs`. */
function folder(place: Place): Verdict {
  const { element, draft } = place;
  const path = attributeOf(childOf(element, 'source'), 'dir') ?? '';
  const tag = attributeOf(childOf(element, 'target'), 'dir') ?? '';
  const kind = attributeOf(childOf(element, 'driver'), 'type') ?? 'path';
  if (draft.board === 'microvm') return wholeNotYet('no shared folders on microvm');
  if (!isHostPath(path) || /[,\\]/.test(path))
    return wholeNotYet('no folder of the host that virtiofsd could share');
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,35}$/.test(tag))
    return wholeNotYet(
      `no share with the tag "${tag.slice(0, 40)}"`,
      'letters, digits and "_.-", 36 at most',
    );
  const shares = Array.isArray(draft.machine.values['shares']) ? draft.machine.values['shares'] : [];
  const readonly = childOf(element, 'readonly') === undefined ? {} : { readonly: true };
  place.setMachine('shares', [...shares, { tag, path, ...readonly }]);
  return whole(
    changed(
      `${kind === 'virtiofs' ? '' : 'virtiofs in place of 9p: `mount -t virtiofs`; '}root of the guest is the owner of the folder, and its other users make nothing there`,
    ),
  );
}

function tpm(place: Place): Verdict {
  const { element, draft } = place;
  const backend = childOf(element, 'backend');
  const type = attributeOf(backend, 'type') ?? '';
  if (draft.board === 'microvm') return wholeNotYet('no TPM on microvm');
  if (type !== 'emulator')
    return wholeNotYet(`no TPM of the host (${type})`, '`tpm: true` is one of the machine’s own');
  if (attributeOf(backend, 'version') === '1.2') return wholeNotYet('no TPM 1.2', '`tpm: true` is TPM 2.0');
  place.setMachine('tpm', true);
  if (attributeOf(element, 'model') !== 'tpm-crb') place.setMachine('tpmModel', 'tis');
  return whole(changed('the TPM begins empty: what libvirt keeps of it is not taken over'));
}

function panic(place: Place): Verdict {
  const model = attributeOf(place.element, 'model') ?? 'isa';
  if (model === 'hyperv') return place.include('cpu.hyperv.enlightenments', 'crash');
  if (model === 'isa' || model === 'pci') return place.setMachine('panic', model);
  return whole(unsupported(`no panic device ${model}`));
}

/** Between 1000 and a million, the same for the same text. */
function stableNumber(text: string): number {
  const sum = Array.from(text).reduce(
    (hash, letter) => (hash * 31 + (letter.codePointAt(0) ?? 0)) % 999_000,
    7,
  );
  return 1000 + sum;
}

function vsockCid(place: Place): Verdict {
  const cid = wholeNumberOf(attributeOf(place.element, 'address') ?? '');
  if (cid !== undefined) return place.setMachine('vsock.cid', cid);
  if (!place.draft.has('', 'vsock'))
    return unsupported('a number of its own is needed: vsock: {cid: 3} or above');
  const own = stableNumber(place.draft.text('name'));
  place.setMachine('vsock.cid', own);
  return changed(`numbers are not given at the start: ${own} is one for this machine`);
}

const iommuModels: Readonly<Record<string, string>> = { intel: 'intel', amd: 'amd', virtio: 'virtio' };

function iommu(place: Place): Verdict {
  const own = iommuModels[place.value];
  return own === undefined
    ? unsupported(`no IOMMU ${place.value.slice(0, 30)}`)
    : place.setMachine('iommu.model', own);
}

const iommuFlag = (key: string) => (place: Place) => place.setMachine(`iommu.${key}`, isOn(place.value));

export const rulesOfDevices: Rules = {
  'devices/rng': rng,
  'devices/rng@model': (place) =>
    place.value === 'virtio' ? imported : changed('virtio devices: on q35 the new kind alone, on pc both'),
  'devices/rng/backend': rngBackend,
  'devices/rng/backend@model': imported,
  'devices/rng/backend#': imported,
  'devices/rng/rate@bytes': (place) => place.setMachine('rngOptions.bytes', wholeNumberOf(place.value) ?? 0),
  'devices/rng/rate@period': (place) => place.setMachine('rngOptions.period', milliseconds(place)),
  'devices/rng/rate': (place) =>
    attributeOf(place.element, 'period') === undefined
      ? place.setMachine('rngOptions.period', '1s')
      : imported,
  'devices/rng/driver/**': tuning,
  ...common('rng'),
  'devices/memballoon@model': balloon,
  'devices/memballoon@autodeflate': (place) =>
    isOn(place.value) ? imported : place.setMachine('balloonOptions.deflateOnOom', false),
  'devices/memballoon@freePageReporting': (place) =>
    isOn(place.value) ? imported : place.setMachine('balloonOptions.freePageReporting', false),
  'devices/memballoon/stats@period': (place) => {
    const seconds = wholeNumberOf(place.value) ?? 0;
    return seconds === 0 ? imported : place.setMachine('balloonOptions.statsPeriod', `${seconds}s`);
  },
  'devices/memballoon/driver/**': tuning,
  ...common('memballoon'),
  'devices/watchdog@model': watchdogModel,
  'devices/watchdog@action': watchdogAction,
  ...common('watchdog'),
  'devices/panic': panic,
  'devices/panic@model': imported,
  ...common('panic'),
  'devices/vsock/cid': vsockCid,
  'devices/vsock/cid@auto': imported,
  'devices/vsock/cid@address': imported,
  'devices/vsock@model': (place) =>
    place.value === 'virtio' ? imported : changed('virtio devices: on q35 the new kind alone, on pc both'),
  'devices/vsock/driver/**': tuning,
  ...common('vsock'),
  'devices/iommu@model': iommu,
  'devices/iommu/driver@intremap': iommuFlag('interruptRemapping'),
  'devices/iommu/driver@caching_mode': iommuFlag('cachingMode'),
  'devices/iommu/driver@eim': iommuFlag('eim'),
  'devices/iommu/driver@iotlb': iommuFlag('deviceIotlb'),
  'devices/iommu/driver@aw_bits': (place) =>
    place.setMachine('iommu.addressWidth', wholeNumberOf(place.value) ?? 0),
  ...common('iommu'),
  'devices/hub': whole(changed('USB devices have ports enough without a hub')),
  'devices/redirdev': (place) =>
    attributeOf(place.element, 'type') === 'spicevmc'
      ? whole(changed('nothing of SPICE: no USB devices of the viewer’s host'))
      : wholeNotYet('no USB devices of other hosts'),
  'devices/redirfilter': whole(changed('nothing of SPICE: no USB devices of the viewer’s host')),
  'devices/smartcard': wholeNotYet('no smart cards'),
  'devices/filesystem': folder,
  'devices/tpm': tpm,
  'devices/shmem': wholeNotYet('no memory shared between machines'),
  'devices/nvram': wholeNotYet('for POWER only'),
  'devices/memory': (place) => {
    const model = attributeOf(place.element, 'model') ?? '';
    const inCell = childOf(place.element, 'target', 'node') !== undefined && place.draft.has('', 'numa');
    return model === 'dimm' && inCell
      ? whole(changed('memory that is plugged in at the start is memory of its NUMA cell'))
      : wholeNotYet(`no memory device of model ${model}; memory: has all of it`);
  },
  'devices/lease': wholeNotYet('no lock manager; QEMU locks the images'),
  'devices/crypto': wholeNotYet('no crypto device'),
  'devices/pstore': wholeNotYet('no pstore device'),
};
