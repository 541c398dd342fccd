/** The rules of what few machines have: CPUs, clocks, boards, devices, disks and memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDefinition } from './parse.ts';

const kernel = 'boot: {kernel: /k}';
const disk = (id: string, more = ''): string =>
  `{id: ${id}, path: /${id}, format: raw${more === '' ? '' : `, ${more}`}}`;
const nic = (id: string, more = ''): string =>
  `{id: ${id}, kind: bridge, bridge: br0${more === '' ? '' : `, ${more}`}}`;

/** What breaks a rule, and the fault; one fault each. */
const refused: readonly (readonly [rule: string, lines: readonly string[], fault: RegExp])[] = [
  ['room for CPUs', ['cpu: {count: 4, maximum: 2}'], /^cpu\.maximum: 2 is less than cpu\.count, 4/],
  [
    'the topology holds all CPUs',
    ['cpu: {count: 4, topology: {sockets: 2, cores: 3}}'],
    /^cpu\.topology: 2 x 1 x 3 x 1 is 6, and there are to be 4 CPUs Set cpu\.count to 6/,
  ],
  [
    'the topology holds all CPUs',
    ['cpu: {count: 1, maximum: 4, topology: {}}'],
    /^cpu\.topology: 1 x 1 x 1 x 1 is 1, .* Set cpu\.maximum to 1/,
  ],
  [
    'nothing nested',
    ['cpu: {features: {enable: [aes, vmx]}}'],
    /^cpu\.features\.enable\[1\]: vmx is nested virtualisation/,
  ],
  [
    'a feature is named once',
    ['cpu: {features: {enable: [lahf_lm], disable: [lahf-lm]}}'],
    /^cpu\.features\.disable\[0\]: "lahf-lm" is among the features already/,
  ],
  [
    'enlightenments are whole',
    ['cpu: {hyperv: {enlightenments: [vpindex, synic, stimer]}}'],
    /^cpu\.hyperv\.enlightenments\[2\]: stimer needs time/,
  ],
  [
    'enlightenments are there once',
    ['cpu: {hyperv: {enlightenments: [time, time]}}'],
    /^cpu\.hyperv\.enlightenments\[1\]: "time" is in the list already/,
  ],
  [
    'one width of addresses',
    ['cpu: {addressBits: 40, hostAddressBits: true}'],
    /^cpu\.addressBits: the width is the host's/,
  ],
  [
    "the host's caches need its model",
    ['cpu: {model: EPYC, cache: host}'],
    /^cpu\.cache: only the models host and max have it, and the model is EPYC/,
  ],
  [
    'one version of microvm',
    ['machine: microvm', kernel, "machineVersion: '7.2'"],
    /^machineVersion: microvm/,
  ],
  [
    'microvm needs ACPI',
    ['machine: microvm', kernel, 'platform: {acpi: false}'],
    /^platform\.acpi: microvm finds its devices by ACPI/,
  ],
  ['microvm is small', ['machine: microvm', kernel, 'clock: {hpet: true}'], /^clock\.hpet: microvm has no/],
  ['tseg is of q35', ['machine: pc', 'platform: {tseg: 8MiB}'], /^platform\.tseg: pc has no such thing/],
  ['tseg needs SMM', ['platform: {tseg: 8MiB}'], /^platform\.tseg: needs platform\.smm, which is off/],
  ['a zone is named', ['clock: {base: timezone}'], /^clock\.base: timezone needs clock\.timezone/],
  [
    'a zone counts',
    ['clock: {timezone: Europe/Berlin}'],
    /^clock\.timezone: counts only with base: timezone, and base is utc/,
  ],
  [
    'a zone is known',
    ['clock: {base: timezone, timezone: Europe/Berlen}'],
    /^clock\.timezone: there is no time zone "Europe\/Berlen"/,
  ],
  [
    'a fixed start has no base',
    ["clock: {start: '2006-06-17T16:01:21', offset: 5}"],
    /^clock\.start: a clock with a fixed start/,
  ],
  [
    'a fixed start is a day',
    ["clock: {start: '2006-02-30T16:01:21'}"],
    /^clock\.start: there is no such day/,
  ],
  ...[
    ['video: {model: vga}', 'video.model', 'graphics card'],
    ['moreVideo: [{}]', 'moreVideo', 'graphics card'],
    ['inputs: [{type: mouse}]', 'inputs', 'input devices'],
    ['usb: {model: ehci}', 'usb.model', 'USB'],
    ['sound: {model: ac97}', 'sound.model', 'sound'],
    ['watchdog: {model: ib700}', 'watchdog.model', 'watchdog'],
    ['panic: pci', 'panic', 'device by which'],
    ['iommu: {model: virtio}', 'iommu.model', 'IOMMU'],
  ].map(
    ([line = '', key = '', what = '']) =>
      [
        'microvm has few devices',
        ['machine: microvm', kernel, line],
        new RegExp(`^${key}: microvm has no ${what}`),
      ] as const,
  ),
  ['memory of no card', ['video: {memory: 16MiB}'], /^video\.memory: there is no graphics card/],
  [
    'memory of a card without',
    ['video: {model: virtio, memory: 16MiB}'],
    /^video\.memory: the card virtio has no memory of its own/,
  ],
  ['memory of a screen', ['vnc: true', 'video: {memory: 24MiB}'], /^video\.memory: is no power of two/],
  ['several screens', ['vnc: true', 'video: {heads: 2}'], /^video\.heads: the card vga has one screen/],
  ['a second card alone', ['moreVideo: [{model: bochs}]'], /^moreVideo: there is no first graphics card/],
  [
    'memory of a second virtio card',
    ['vnc: true', 'moreVideo: [{model: virtio, memory: 16MiB}]'],
    /^moreVideo\[0\]\.memory: the card virtio has no memory of its own/,
  ],
  [
    'several screens of a second card',
    ['vnc: true', 'moreVideo: [{}, {heads: 2}]'],
    /^moreVideo\[1\]\.heads: the card bochs has one screen/,
  ],
  ['no tablet on PS/2', ['inputs: [{type: tablet, bus: ps2}]'], /^inputs\[0\]\.bus: there are no tablets/],
  [
    'USB needs a controller',
    ['vnc: true', 'usb: {model: none}'],
    /^usb\.model: there is no controller, and 1 devices/,
  ],
  [
    'USB has ports',
    ['usb: {model: uhci}', 'inputs: [{type: mouse}, {type: mouse}, {type: mouse}]'],
    /^usb\.model: uhci has 2 ports, and 3 devices/,
  ],
  [
    'ports are those of xhci',
    ['usb: {model: ehci, ports: 8}'],
    /^usb\.ports: counts for xhci only, and the controller is ehci/,
  ],
  [
    'the watchdog of q35',
    ['machine: pc', 'watchdog: {model: itco}'],
    /^watchdog\.model: itco is the watchdog of q35/,
  ],
  ['IOMMUs of q35', ['machine: pc', 'iommu: {model: intel}'], /^iommu\.model: pc has no intel IOMMU/],
  [
    'keys of IOMMUs',
    ['iommu: {model: amd, cachingMode: true}'],
    /^iommu\.cachingMode: the IOMMU amd has no such/,
  ],
  [
    'interrupts of IOMMUs',
    ['iommu: {model: intel, interruptRemapping: true}'],
    /^iommu\.interruptRemapping: needs the I\/O APIC in QEMU/,
  ],
  ['interrupts of IOMMUs', ['iommu: {model: intel, eim: true}'], /^iommu\.eim: needs interruptRemapping/],
  ['panics are seen', ['panic: none', 'onCrash: pause'], /^panic: onCrash: pause needs a device/],
  ...[
    ['wwn: 5000c50015ea71aa', 'wwn'],
    ['vendor: A', 'vendor'],
    ['product: A', 'product'],
    ['removable: true', 'removable'],
    ['rotationRate: 1', 'rotationRate'],
    ['controller: 1', 'controller'],
    ['unit: 1', 'unit'],
  ].map(
    ([more = '', key = '']) =>
      [
        'buses have their keys',
        [`disks: [${disk('a', more)}]`],
        new RegExp(`^disks\\.a\\.${key}: a disk on virtio has no such thing`),
      ] as const,
  ),
  ...['queues: 2', 'queueSize: 64'].map(
    (more) =>
      [
        'queues are of virtio',
        [`disks: [${disk('a', `bus: sata, ${more}`)}]`],
        /^disks\.a\.queue\w+: a disk on sata has no such thing Remove it, or use bus: virtio/,
      ] as const,
  ),
  [
    'threads are of virtio',
    ['iothreads: 1', `disks: [${disk('a', 'bus: scsi, iothread: 1')}]`],
    /^disks\.a\.iothread: a disk on scsi has no such thing .* scsiControllers/,
  ],
  [
    'nvme tells the guest',
    [`disks: [${disk('a', 'bus: nvme, errors: {read: report}')}]`],
    /^disks\.a\.errors: a disk on nvme has no such thing/,
  ],
  [
    'a serial number fits',
    [`disks: [${disk('a', 'serial: 123456789012345678901')}]`],
    /^disks\.a\.serial: (?:has 21 characters, and virtio carries 20|found)/,
  ],
  [
    'blocks of SATA',
    [`disks: [${disk('a', 'bus: sata, blockSize: {logical: 4096, physical: 4096}')}]`],
    /^disks\.a\.blockSize\.logical: sata has blocks of 512 bytes/,
  ],
  [
    'blocks grow',
    [`disks: [${disk('a', 'blockSize: {logical: 4096}')}]`],
    /^disks\.a\.blockSize\.physical: is less than the logical size/,
  ],
  [
    'zeroes are unmapped',
    [`disks: [${disk('a', 'detectZeroes: unmap, discard: ignore')}]`],
    /^disks\.a\.detectZeroes: unmap needs discard: unmap/,
  ],
  [
    'copies are written',
    [`disks: [${disk('a', 'copyOnRead: true, readonly: true')}]`],
    /^disks\.a\.copyOnRead: writes into the image/,
  ],
  [
    'limits count once',
    [`disks: [${disk('a', 'limits: {iops: 5, readIops: 5}')}]`],
    /^disks\.a\.limits\.readIops: cannot stand beside iops/,
  ],
  [
    'bursts have a limit',
    [`disks: [${disk('a', 'limits: {burst: {iops: 5}}')}]`],
    /^disks\.a\.limits\.burst\.iops: needs limits\.iops/,
  ],
  [
    'bursts are higher',
    [`disks: [${disk('a', 'limits: {iops: 6, burst: {iops: 5}}')}]`],
    /^disks\.a\.limits\.burst\.iops: is less than limits\.iops/,
  ],
  [
    'bursts last',
    [`disks: [${disk('a', 'limits: {iops: 6, burstSeconds: {iops: 5}}')}]`],
    /^disks\.a\.limits\.burstSeconds\.iops: needs limits\.burst\.iops/,
  ],
  [
    'groups agree',
    [`disks: [${disk('a', 'limits: {iops: 6, group: g}')}, ${disk('b', 'limits: {iops: 7, group: g}')}]`],
    /^disks\.b\.limits\.group: the disk "a" of this group has other limits/,
  ],
  [
    'threads exist',
    [`disks: [${disk('a', 'iothread: 1')}]`],
    /^disks\.a\.iothread: there is no thread 1: iothreads is 0/,
  ],
  [
    'controllers exist',
    [`disks: [${disk('a', 'bus: scsi, controller: 1')}]`],
    /^disks\.a\.controller: there is no controller 1/,
  ],
  [
    'units differ',
    [`disks: [${disk('a', 'bus: scsi, unit: 1')}, ${disk('b', 'bus: scsi, unit: 1')}]`],
    /^disks\.b\.unit: is that of the disk "a" already/,
  ],
  ['room has modules', ['memoryMaximum: 4GiB'], /^memoryMaximum: needs memorySlots/],
  ['modules have room', ['memorySlots: 4'], /^memorySlots: needs memoryMaximum/],
  [
    'room is more',
    ['memoryMaximum: 1GiB', 'memorySlots: 1'],
    /^memoryMaximum: 1GiB leaves no room beyond memory, 1GiB/,
  ],
  [
    'pages are whole',
    ['memory: 1025MiB', 'memoryBacking: {hugePages: 2MiB}'],
    /^memory: is not made of whole pages/,
  ],
  ['cells hold all memory', ["numa: [{cpus: '0', memory: 512MiB}]"], /^numa: the cells have 512MiB together/],
  ['cells hold all CPUs', ['numa: [{memory: 1GiB}]'], /^numa: no cell has CPU 0/],
  [
    'cells hold CPUs once',
    ["numa: [{cpus: '0,0', memory: 1GiB}]"],
    /^numa\[0\]\.cpus: CPU 0 is in cell 0 already/,
  ],
  [
    'cells hold real CPUs',
    ["numa: [{cpus: '0-1', memory: 1GiB}]"],
    /^numa\[0\]\.cpus: there is no CPU 1: there are 1/,
  ],
  [
    'cells have distances',
    ["numa: [{cpus: '0', memory: 1GiB, distances: [10, 20]}]"],
    /^numa\[0\]\.distances: expected 1 distances/,
  ],
  [
    'serial ports have room',
    ['serials: [{id: a}]', 'machine: microvm', kernel],
    /^serials\.a\.type: there is room for 1 ISA serial ports/,
  ],
  [
    'ports have ids',
    [`disks: [${disk('a')}]`, 'channels: [{id: a, name: b}]'],
    /^channels\.a\.id: "a" is the id of a disk/,
  ],
  ['ports do not boot', ['serials: [{id: a}]', 'boot: {order: [a]}'], /^boot\.order\[0\]: there is no disk/],
  ['vsock is of PCI', ['machine: microvm', kernel, 'vsock: {cid: 3}'], /^vsock: microvm has no vsock/],
  [
    'rings are of virtio',
    [`nics: [${nic('a', 'model: e1000, rxRing: 512')}]`],
    /^nics\.a\.rxRing: e1000 has a queue of its own size/,
  ],
  [
    'an MTU is told by virtio',
    [`nics: [${nic('a', 'model: e1000, mtu: 9000')}]`],
    /^nics\.a\.mtu: e1000 is told no MTU/,
  ],
  [
    'sound has a card',
    ['sound: {server: /run/user/1000/pulse/native}'],
    /^sound\.server: there is no sound card/,
  ],
  [
    'several queues are of virtio',
    [`nics: [${nic('a', 'model: e1000e, queues: 2')}]`],
    /^nics\.a\.queues: e1000e has one queue/,
  ],
  [
    'native needs O_DIRECT',
    [`disks: [${disk('a', 'aio: native')}]`],
    /^disks\.a\.aio: native needs cache: none, and cache is writeback/,
  ],
  [
    'pins are of CPUs that there are',
    ["cpu: {pinning: {vcpus: [{vcpu: 1, cpus: '0'}]}}"],
    /^cpu\.pinning\.vcpus\[0\]\.vcpu: there is no virtual CPU 1: there are 1/,
  ],
  [
    'pins are of threads that there are',
    ["cpu: {pinning: {iothreads: [{iothread: 1, cpus: '0'}]}}"],
    /^cpu\.pinning\.iothreads\[0\]\.iothread: there is no thread 1/,
  ],
  [
    'a thread is pinned once',
    ["cpu: {pinning: {vcpus: [{vcpu: 0, cpus: '0'}, {vcpu: 0, cpus: '1'}]}}"],
    /^cpu\.pinning\.vcpus\[1\]\.vcpu: vcpu 0 is in the list already/,
  ],
  [
    'ranges rise',
    ["cpu: {pinning: {machine: '3-1'}}"],
    /^cpu\.pinning\.machine: no range of CPUs from 0 to 1023/,
  ],
];

for (const [rule, lines, fault] of refused) {
  test(`${rule}: ${lines.join(' ').slice(0, 80)} is refused`, () => {
    const parsed = parseDefinition(['name: a', ...lines, ''].join('\n'));
    assert.ok(!parsed.ok);
    assert.equal(parsed.faults.length, 1, JSON.stringify(parsed.faults));
    assert.match(`${parsed.faults[0]?.message} ${parsed.faults[0]?.hint}`, fault);
  });
}
