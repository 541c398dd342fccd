/** What fits on which board. Limits are those of QEMU 7.2 and of the places that plan/boards.ts gives. */
import type { Draft } from './draft.ts';
import type { KeyPath } from './key-path.ts';
import { broken, type Broken } from './rule.ts';

/** virtio-mmio has 24 places; four are kept for the devices that a machine has once. */
const mmioPlaces = 20;
/** Two channels with two drives each. */
const ideUnits = 4;
const ahciPorts = 6;

function when(condition: boolean, fault: () => Broken): readonly Broken[] {
  return condition ? [fault()] : [];
}

export function kernelComesFirst(draft: Draft): readonly Broken[] {
  const { boot } = draft;
  if (boot === undefined || boot.kernel !== undefined) return [];
  return (['initrd', 'cmdline'] as const)
    .filter((key) => boot[key] !== undefined)
    .map((key) =>
      broken(
        ['boot', key],
        'needs boot.kernel, which is not set',
        `Name a kernel, or remove ${key}: a system on a disk brings its own.`,
      ),
    );
}

export function microvmIsSmall(draft: Draft): readonly Broken[] {
  const { boot } = draft;
  if (draft.machine !== 'microvm') return [];
  const other = 'Use machine: q35 for that.';
  const no = (path: KeyPath, what: string): Broken => broken(path, `microvm has no ${what}`, other);
  const all = [...draft.disks, ...draft.nics];
  return [
    ...when(boot !== undefined && boot.kernel === undefined, () =>
      broken(
        ['machine'],
        'microvm boots a kernel directly, and boot.kernel is not set',
        'Name a kernel under boot, or use machine: q35.',
      ),
    ),
    ...when(draft.firmware === 'uefi', () => no(['firmware'], 'UEFI')),
    ...when(draft.tpm === true, () => no(['tpm'], 'TPM')),
    ...when(draft.vnc === true, () => no(['vnc'], 'graphics card')),
    ...when(boot?.menu === true, () => no(['boot', 'menu'], 'firmware menu')),
    ...when(boot?.order !== undefined, () => no(['boot', 'order'], 'boot order: it boots its kernel')),
    ...when(draft.cdroms.length > 0, () => no(['cdroms'], 'CD-ROM drives')),
    ...draft.disks
      .filter(({ value }) => value.bus !== 'virtio')
      .map(({ path, value }) => broken([...path, 'bus'], `microvm has no ${value.bus}, only virtio`, other)),
    ...draft.nics
      .filter(({ value }) => value.model !== 'virtio')
      .map(({ path, value }) =>
        broken([...path, 'model'], `microvm has no ${value.model}, only virtio`, other),
      ),
    ...when(all.length > mmioPlaces, () =>
      broken(
        all[mmioPlaces]?.path ?? [],
        `microvm has room for ${mmioPlaces} disks and network cards together, found ${all.length}`,
        other,
      ),
    ),
  ];
}

/** Its variables are safe from the guest only where the firmware alone writes them, which takes the system management mode of `q35`. */
export function secureBootHasItsFirmware({ machine, firmware, secureBoot }: Draft): readonly Broken[] {
  if (secureBoot !== true) return [];
  return [
    ...when(firmware === 'bios', () =>
      broken(['secureBoot'], 'needs UEFI, and firmware is bios', 'Set firmware: uefi.'),
    ),
    ...when(machine === 'pc', () =>
      broken(['secureBoot'], 'pc has no system management mode that guards it', 'Use machine: q35.'),
    ),
  ];
}

/** What a board of QEMU 7.2 cannot have, whatever the devices. */
export function boardsHaveTheirPlatform(draft: Draft): readonly Broken[] {
  const { machine, platform, machineVersion, clock, generationId } = draft;
  if (machine === undefined || platform === undefined) return [];
  const other = 'Remove it, or use machine: q35.';
  const lacks = (path: KeyPath): Broken => broken(path, `${machine} has no such thing`, other);
  const micro = machine === 'microvm';
  return [
    ...when(micro && machineVersion !== undefined, () =>
      broken(['machineVersion'], 'microvm has one version only', other),
    ),
    ...when(micro && !platform.acpi, () =>
      broken(['platform', 'acpi'], 'microvm finds its devices by ACPI', 'Leave it on.'),
    ),
    ...(['smm', 'vmport', 'vmcoreinfo'] as const)
      .filter((key) => micro && platform[key])
      .map((key) => lacks(['platform', key])),
    ...when(micro && clock?.hpet === true, () => lacks(['clock', 'hpet'])),
    ...when(micro && generationId !== undefined, () => lacks(['generationId'])),
    ...when(platform.tseg !== undefined && machine !== 'q35', () => lacks(['platform', 'tseg'])),
    ...when(platform.tseg !== undefined && machine === 'q35' && !platform.smm, () =>
      broken(['platform', 'tseg'], 'needs platform.smm, which is off', 'Set platform.smm: true.'),
    ),
  ];
}

export function busesHaveRoom(draft: Draft): readonly Broken[] {
  const drives = (bus: 'ide' | 'sata'): readonly { readonly path: KeyPath }[] => [
    ...draft.disks.filter(({ value }) => value.bus === bus),
    ...draft.cdroms.filter(
      ({ value }) =>
        value.bus === bus || (value.bus === 'auto' && (draft.machine === 'pc') === (bus === 'ide')),
    ),
  ];
  const [ide, sata] = [drives('ide'), drives('sata')];
  if (draft.machine === 'q35') {
    return [
      ...ide.map(({ path }) => broken([...path, 'bus'], 'q35 has no ide', 'Use sata, or machine: pc.')),
      ...when(sata.length > ahciPorts, () =>
        full(sata[ahciPorts]?.path, `${ahciPorts} SATA disks and CD-ROM drives`, sata.length),
      ),
    ];
  }
  if (draft.machine !== 'pc') return [];
  return [
    ...when(ide.length > ideUnits, () =>
      full(ide[ideUnits]?.path, `${ideUnits} IDE disks and CD-ROM drives`, ide.length),
    ),
    ...when(sata.length > ahciPorts, () =>
      full(sata[ahciPorts]?.path, `${ahciPorts} SATA disks`, sata.length),
    ),
  ];
}

function full(path: KeyPath | undefined, room: string, found: number): Broken {
  return broken(path ?? [], `there is room for ${room}, found ${found}`, 'Use virtio or scsi for the disks.');
}

export function ringsAreOfVirtio({ nics }: Draft): readonly Broken[] {
  return nics.flatMap(({ path, value }) => {
    if (value.model === 'virtio') return [];
    const cure = 'Remove it, or use model: virtio.';
    const rings = (['rxRing', 'txRing'] as const).filter((key) => value[key] !== undefined);
    return [
      ...rings.map((key) => broken([...path, key], `${value.model} has a queue of its own size`, cure)),
      ...(value.kind === 'bridge' && value.mtu !== undefined
        ? [broken([...path, 'mtu'], `${value.model} is told no MTU`, cure)]
        : []),
      ...('queues' in value && (value.queues ?? 1) > 1
        ? [broken([...path, 'queues'], `${value.model} has one queue`, cure)]
        : []),
    ];
  });
}
