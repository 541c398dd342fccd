/** Keys that few machines set: QEMU takes each, and the guest sees it where it can. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ask, boot, hmp, holdsLimits, makeFiles, start } from '../support/plan-boot.ts';

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
