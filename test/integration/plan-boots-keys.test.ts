/** Keys that few machines set: QEMU takes each, and the guest sees it where it can. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ask, boot, hmp, holdsLimits, makeFiles, start, type Started } from '../support/plan-boot.ts';

test('a guest sees its CPUs as they are arranged, and with the features that were asked for', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: cpus
accel: tcg
memory: 256MiB
cpu:
  model: Nehalem
  count: 2
  maximum: 4
  topology: {sockets: 2, cores: 2}
  features: {enable: [aes, xsave], disable: [hypervisor, sse4_2]}
  vendor: GenuineIntel
  cache: emulate
  addressBits: 40
  pmu: false
  hidden: true
  dedicated: true
  pollControl: true
  hyperv: {enlightenments: [relaxed, vapic, vpindex, synic, time, stimer], spinlocks: 8191, vendorId: 'KVM Hv'}
${kernel}`,
  );
  await boot(started);
  const cpus = await ask(started, 'cat /proc/cpuinfo');
  assert.match(cpus, /vendor_id\s*: GenuineIntel/);
  assert.match(cpus, /flags\s*:.* aes/);
  assert.doesNotMatch(cpus, /flags\s*:.* (hypervisor|sse4_2|vmx|svm)/);
  assert.match(cpus, /address sizes\s*: 40 bits physical/);
  assert.equal(cpus.match(/^processor/gm)?.length, 2);
  const places = (await started.execute('query-hotpluggable-cpus')) as { props: object }[];
  assert.equal(places.length, 4);
  holdsLimits(started);
});

test('a guest sees the board, the identity and the clock that were asked for', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: board
accel: tcg
memory: 256MiB
machineVersion: '5.2'
uuid: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0
generationId: 5dea22b3-1d52-d8f3-2516-782e98ab3fa0
platform: {smm: true, vmport: true, irqchip: split, tseg: 8MiB, vmcoreinfo: true}
clock: {base: timezone, timezone: Europe/Berlin, offset: -60, driftFix: slew, hpet: true, pit: delay}
smbios:
  bios: {vendor: 'Old, but good', version: '1', date: 12/31/1999, release: '2.2'}
  system: {manufacturer: Some = Maker, product: Machine, serial: S-1, sku: x, family: y}
  baseBoard: {product: Board, asset: tag}
  chassis: {manufacturer: Maker of cases}
  oemStrings: ['first, with a comma', second]
${kernel}`,
  );
  assert.equal(started.plan.launch.env['TZ'], 'QWARD-01:59:00');
  await boot(started);
  const dmi = await ask(
    started,
    'cd /sys/class/dmi/id; cat bios_vendor bios_date bios_release sys_vendor product_name product_serial product_uuid board_name board_asset_tag chassis_vendor',
  );
  assert.deepEqual(dmi.trimEnd().split('\n'), [
    'Old, but good',
    '12/31/1999',
    '2.2',
    'Some = Maker',
    'Machine',
    'S-1',
    '4dea22b3-1d52-d8f3-2516-782e98ab3fa0',
    'Board',
    'tag',
    'Maker of cases',
  ]);
  assert.match(await ask(started, 'strings /sys/firmware/dmi/tables/DMI'), /first, with a comma\nsecond/);
  const clock = await ask(started, 'cat /sys/class/rtc/rtc0/date /sys/class/rtc/rtc0/time');
  const [, date, time] = /(\d{4}-\d\d-\d\d)\n(\d\d:\d\d:\d\d)/.exec(clock) ?? [];
  const ahead = (Date.parse(`${date}T${time}Z`) - Date.now()) / 1000;
  assert.ok(Math.abs(ahead - 7140) < 10, `${ahead} seconds ahead, 7140 expected`);
  assert.match(await hmp(started, 'info qtree'), /dev: hpet/);
  assert.match(await hmp(started, 'info vm-generation-id'), /5dea22b3/);
  holdsLimits(started);
});

test('a clock that is years away, and an old board of the other kind', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: old
machine: pc
machineVersion: '2.12'
accel: tcg
memory: 256MiB
clock: {start: '2006-06-17T16:01:21', source: guest}
${kernel}`,
  );
  await boot(started);
  assert.match(await ask(started, 'cat /sys/class/rtc/rtc0/date'), /2006-06-17/);
});

/** Names of the PCI devices that the guest has, by vendor and device. */
const pciIds = async (started: Started): Promise<string> =>
  await ask(started, "cat /sys/bus/pci/devices/*/uevent | sed -n 's/^PCI_ID=//p'");

test('a guest has the screen, inputs, USB, sound, watchdog, panic device and IOMMU that were asked for', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: devices
accel: tcg
memory: 256MiB
vnc: true
platform: {irqchip: split}
video: {model: virtio, heads: 2, resolution: {width: 1280, height: 800}}
inputs:
  - {type: tablet}
  - {type: keyboard}
  - {type: mouse, bus: ps2}
  - {type: mouse, bus: virtio}
  - {type: keyboard, bus: virtio}
  - {type: tablet, bus: virtio}
usb: {ports: 8}
sound: {model: ich9, codec: micro}
watchdog: {model: i6300esb, action: pause}
panic: pci
iommu: {model: intel, interruptRemapping: true, cachingMode: true, eim: true, deviceIotlb: true, addressWidth: 48}
rngOptions: {bytes: 1024, period: 1s}
balloonOptions: {deflateOnOom: false, freePageReporting: false, statsPeriod: 5s}
${kernel}`,
  );
  await boot(started);
  const ids = await pciIds(started);
  // virtio-vga, xhci, ICH9 HDA, 6300ESB, pvpanic, three virtio inputs.
  for (const id of ['1AF4:1050', '1B36:000D', '8086:293E', '8086:25AB', '1B36:0011'])
    assert.ok(ids.includes(id), `${id} among\n${ids}`);
  assert.equal(ids.match(/1AF4:1052/g)?.length, 3);
  assert.match(await hmp(started, 'info usb'), /QEMU USB Tablet[^]*QEMU USB Keyboard/);
  assert.match(await hmp(started, 'info qtree'), /dev: intel-iommu/);
  const balloon = await hmp(started, 'qom-get /machine/peripheral/balloon.0 guest-stats-polling-interval');
  assert.match(balloon, /^5/);
  holdsLimits(started);
});

for (const [name, keys, found] of [
  [
    'ehci',
    'machine: q35\nusb: {model: ehci}\ninputs: [{type: tablet}]\nwatchdog: {model: itco}',
    ['8086:293A', '8086:2934', '8086:2936'],
  ],
  ['ich6', 'machine: q35\nsound: {model: ich6}\niommu: {model: virtio}', ['8086:2668', '1AF4:1057']],
  [
    'ac97',
    'machine: pc\nsound: {model: ac97}\nwatchdog: {model: ib700}\nusb: {model: uhci}',
    ['8086:2415', '8086:7020'],
  ],
  [
    'es1370',
    'machine: q35\nsound: {model: es1370}\nvideo: {model: bochs, memory: 8MiB}\niommu: {model: amd, deviceIotlb: true}',
    ['1274:5000', '1234:1111'],
  ],
  [
    'sb16',
    'machine: pc\nsound: {model: sb16}\nvideo: {model: vga, memory: 32MiB, resolution: {width: 800, height: 600}}\npanic: isa',
    ['1234:1111'],
  ],
  [
    'cards',
    'machine: q35\nvideo: {model: vga}\nmoreVideo: [{memory: 8MiB}, {model: virtio, heads: 2}, {model: virtio}]',
    ['1234:1111', '1AF4:1050'],
  ],
  ['usb', 'machine: q35\nsound: {model: usb}\nfirmware: bios', ['1B36:000D']],
] as const)
  test(`a guest has its devices: ${name}`, async (t) => {
    const { directory, boot: kernel } = makeFiles(t);
    const yaml = `name: one\naccel: tcg\nmemory: 256MiB\n${keys}\n${kernel}`;
    const started = await start(t, directory, yaml);
    await boot(started);
    const ids = await pciIds(started);
    for (const id of found) assert.ok(ids.includes(id), `${id} among\n${ids}`);
    holdsLimits(started);
  });

test('a guest sees its disks with the labels, sizes, threads and limits that were asked for', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const image = (name: string): string => {
    const path = join(directory, name);
    writeFileSync(path, Buffer.alloc(4 * 1024 ** 2));
    return path;
  };
  const started = await start(
    t,
    directory,
    `name: disks
accel: tcg
memory: 256MiB
cpu: {count: 2}
iothreads: 2
scsiControllers: [{queues: 2, commandsPerLun: 64, maxSectors: 2048}, {iothread: 2}]
disks:
  - id: root
    path: ${directory}/over.qcow2
    format: qcow2
    backing: [{path: ${directory}/base.qcow2, format: qcow2}]
    iothread: 1
    queues: 2
    queueSize: 64
    copyOnRead: true
    detectZeroes: unmap
    serial: 'Serial no. 1, really'
    blockSize: {logical: 4096, physical: 4096}
    discardGranularity: 64KiB
    errors: {read: report, write: enospc}
    limits: {readIops: 1000, writeIops: 500, bps: 50MiB, burst: {readIops: 2000, bps: 80MiB}, burstSeconds: {bps: 60}, iopsSize: 64KiB}
  - {id: one, path: ${image('one')}, format: raw, bus: scsi, unit: 1, wwn: 6000c50015ea71aa, vendor: SEAGATE, product: 'ST1000 A', removable: true, rotationRate: 7200, limits: {iops: 900, group: slow}}
  - {id: two, path: ${image('two')}, format: raw, bus: scsi, limits: {iops: 900, group: slow}}
  - {id: three, path: ${image('three')}, format: raw, bus: scsi, controller: 1, errors: {read: ignore, write: ignore}}
  - {id: ssd, path: ${image('ssd')}, format: raw, bus: sata, rotationRate: 1, wwn: 5000c50015ea71aa}
  - {id: stick, path: ${image('stick')}, format: raw, bus: usb, removable: true}
cdroms: [{id: cd, bus: scsi, serial: CD-1}, {id: dvd}]
${kernel}`,
  );
  await boot(started);
  const root = '/sys/block/vda';
  const seen = await ask(
    started,
    `cat ${root}/serial; echo; cat ${root}/queue/logical_block_size ${root}/queue/discard_granularity; ls ${root}/mq | wc -l`,
  );
  assert.deepEqual(seen.trimEnd().split('\n'), ['Serial no. 1, really', '4096', '65536', '2']);
  const scsi = await ask(
    started,
    'cat /sys/block/sd*/device/vendor /sys/block/sd*/device/model /sys/block/sd*/device/wwid /sys/block/sd*/removable /sys/block/sd*/queue/rotational',
  );
  for (const label of ['SEAGATE', 'ST1000 A', 'naa.6000c50015ea71aa'])
    assert.ok(scsi.includes(label), `${label} in\n${scsi}`);
  const qtree = await hmp(started, 'info qtree');
  assert.match(qtree, /dev: usb-storage/);
  assert.match(
    qtree,
    /rotation_rate = 1 [^]*wwn = 5764824127192592810|wwn = 5764824127192592810[^]*rotation_rate = 1 /,
  );
  const throttled = await hmp(started, 'info block -n -v');
  assert.match(throttled, /copy-on-read/);
  const threads = (await started.execute('query-iothreads')) as { id: string }[];
  assert.deepEqual(threads.map(({ id }) => id).toSorted(), ['io.1', 'io.2']);
  const write =
    'dd if=/dev/urandom of=/dev/vda bs=64k count=4 conv=fsync 2>&1 && dd if=/dev/vda of=/dev/null bs=64k count=16 2>&1';
  assert.match(await ask(started, write), /4\+0 records out[^]*16\+0 records out/);
  assert.match(
    await ask(started, 'for d in sda sdb sdc; do dd if=/dev/$d of=/dev/null bs=4k count=4 2>&1; done'),
    /(4\+0 records out[^]*){3}/,
  );
  holdsLimits(started);
});

test('a guest sees its cells, its rings, and ports that QEMU listens to', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: memory
accel: tcg
cpu: {count: 2}
memory: 256MiB
memoryMaximum: 1GiB
memorySlots: 2
memoryBacking: {preallocate: true}
numa:
  - {cpus: '1', memory: 128MiB, distances: [10, 21]}
  - {cpus: '0', memory: 128MiB, distances: [21, 10]}
serials: [{id: com2}, {id: card, type: pci}, {id: stick, type: usb}]
channels: [{id: words, name: org.example_words.0}]
disks: [{id: root, path: ${directory}/flat.raw, format: raw, cache: none, aio: native}]
${kernel}`,
  );
  await boot(started);
  const nodes = '/sys/devices/system/node';
  const seen = await ask(started, `cat ${nodes}/online ${nodes}/node0/distance`);
  assert.deepEqual(seen.trimEnd().split('\n'), ['0-1', '10 21']);
  // Linux counts cells from that of its first CPU, so QEMU is asked.
  assert.match(await hmp(started, 'info numa'), /node 0 cpus: 1\r?\n[^]*node 1 cpus: 0\r?\n/);
  const size = (await started.execute('query-memory-size-summary')) as { 'base-memory': number };
  assert.equal(size['base-memory'], 256 * 1024 ** 2);
  assert.match(
    await ask(started, 'dd if=/dev/vda of=/dev/null bs=64k count=16 iflag=direct 2>&1'),
    /16\+0 records out/,
  );
  await ask(started, 'echo a word on the second port > /dev/ttyS1');
  const heard = await started.execute('ringbuf-read', { device: 'port.com2', size: 4096 });
  assert.match(String(heard), /a word on the second port/);
  assert.match(
    await hmp(started, 'info qtree'),
    /dev: pci-serial[^]*dev: virtserialport|dev: virtserialport[^]*dev: pci-serial/,
  );
  assert.match(await hmp(started, 'info usb'), /QEMU USB Serial/);
  holdsLimits(started);
});
