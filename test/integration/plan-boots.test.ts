/** The command lines of launch plans, run by the QEMU of this host without a jail: they boot, and hold what they promise. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { writeQcow2 } from '../../src/plan/qcow2-image.ts';
import { boot, consoleUntil, hmp, holdsLimits, makeFiles, start } from '../support/plan-boot.ts';

test('q35 with every kind of drive boots, and nested virtualisation is off', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: full
accel: tcg
memory: 256MiB
${kernel}
disks:
  - {id: root, path: ${directory}/plain.qcow2, format: qcow2, limits: {iops: 500, bps: 50MiB}}
  - id: chain
    path: ${directory}/over.qcow2
    format: qcow2
    bus: sata
    backing: [{path: ${directory}/base.qcow2, format: qcow2}]
  - {id: flat, path: ${directory}/flat.raw, format: raw, bus: scsi, readonly: true}
cdroms: [{id: empty}]
agent: true`,
  );
  const said = await boot(started);
  assert.match(said, /disk vda, 64 MiB/);
  assert.match(said, /disk sd[ab], 32 MiB/);
  const [cpu] = (await started.execute('query-cpus-fast')) as { 'qom-path': string }[];
  for (const property of ['svm', 'vmx'])
    assert.equal(await started.execute('qom-get', { path: cpu?.['qom-path'] ?? '', property }), false);
  assert.doesNotMatch(await hmp(started, 'info qtree'), /dev: (isa-fdc|i8042|.*vga|isa-parallel|hpet)/i);
  holdsLimits(started);
});

test('pc boots from IDE, and no guest reaches its floppy controller', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: old
machine: pc
accel: tcg
memory: 256MiB
${kernel}
disks: [{id: c, path: ${directory}/flat.raw, format: raw, bus: ide}]
cdroms: [{id: empty}]`,
  );
  assert.match(await boot(started), /disk sda, 32 MiB/);
  // The main status register: 0x80 where there is a controller, all ones where nothing answers.
  for (const port of ['0x3f2', '0x3f4', '0x3f5', '0x3f7'])
    assert.match(await hmp(started, `i /b ${port}`), /= 0xff/, port);
  holdsLimits(started);
});

test('UEFI boots with its variable store, NVMe and a screen', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  writeFileSync(join(directory, 'uefi.qcow2'), writeQcow2(readFileSync('/usr/share/OVMF/OVMF_VARS_4M.fd')));
  const started = await start(
    t,
    directory,
    `name: uefi
firmware: uefi
accel: tcg
vnc: true
memory: 256MiB
${kernel}
disks:
  - {id: root, path: ${directory}/plain.qcow2, format: qcow2, bus: nvme}
  - {id: flat, path: ${directory}/flat.raw, format: raw, cache: writethrough, shared: true}`,
  );
  const said = await boot(started);
  assert.match(said, /disk nvme0n1, 64 MiB/);
  assert.match(said, /disk vda, 32 MiB/);
  assert.match(await hmp(started, 'info qtree'), /dev: bochs-display/);
  holdsLimits(started);
});

test('microvm reaches its kernel', async (t) => {
  const { directory, boot: kernel } = makeFiles(t);
  const started = await start(
    t,
    directory,
    `name: micro
machine: microvm
accel: tcg
memory: 256MiB
${kernel.replace(' quiet', '')}
disks: [{id: root, path: ${directory}/plain.qcow2, format: qcow2}]
agent: true`,
  );
  const said = consoleUntil(started.console, 'Linux version');
  await started.execute('cont');
  await said;
  holdsLimits(started);
});
