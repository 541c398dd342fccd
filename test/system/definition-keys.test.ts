/** Keys that few machines set, in the jail: every wall stands, the filter lets QEMU do it, and what needs the policy says so. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import type { AuditReport } from '../../src/audit/report.ts';
import { startInstance, type Instance } from '../support/instance.ts';
import { define, smallMachine, start, statusOf } from '../support/small-machine.ts';

let instance: Instance;

before(async () => {
  instance = await startInstance();
});

after(async () => {
  await instance[Symbol.asyncDispose]();
});

async function allWallsStand(name: string): Promise<void> {
  const audit = await instance.qward(['audit', name, '--json']);
  assert.equal((JSON.parse(audit.stdout) as AuditReport).ok, true, audit.stdout);
}

test('a machine with many keys runs in its jail, and explain and audit show what it has', async () => {
  const disk = instance.disk('many');
  await define(
    instance,
    smallMachine('many', [
      'vnc: true',
      "machineVersion: '6.2'",
      'uuid: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0',
      'generationId: auto',
      'platform: {smm: true, vmport: true, vmcoreinfo: true}',
      'clock: {base: timezone, timezone: Asia/Tokyo, hpet: true, driftFix: slew}',
      "smbios: {system: {manufacturer: 'Maker, Inc.'}}",
      'memoryBacking: {preallocate: true}',
      "numa: [{cpus: '0', memory: 32MiB}, {memory: 32MiB}]",
      'video: {model: virtio, heads: 2}',
      'inputs: [{type: tablet}, {type: keyboard, bus: virtio}, {type: mouse, bus: ps2}]',
      'sound: {model: ich9}',
      'watchdog: {model: i6300esb, action: pause}',
      'panic: pci',
      'iommu: {model: intel}',
      'iothreads: 1',
      'serials: [{id: com2}, {id: card, type: pci}, {id: stick, type: usb}]',
      'channels: [{id: words, name: org.example.words}]',
      'balloonOptions: {statsPeriod: 2s}',
      `disks: [{id: root, path: ${disk}, format: qcow2, iothread: 1, copyOnRead: true, detectZeroes: unmap}]`,
    ]).replace(/^memory: .*$/m, 'memory: 64MiB'),
  );
  const explained = await instance.qward(['explain', 'many']);
  for (const device of [
    'virtio-vga',
    'ich9-intel-hda',
    'i6300esb',
    'pvpanic-pci',
    'intel-iommu',
    'usb-serial',
  ])
    assert.ok(explained.stdout.includes(device), `${device} in ${explained.stdout}`);
  const pid = await start(instance, 'many');
  await allWallsStand('many');
  assert.ok(readFileSync(`/proc/${pid}/environ`, 'utf8').includes('TZ=QWARD-09:00:00'));
  const modules = readFileSync(`/proc/${pid}/maps`, 'utf8');
  assert.match(modules, /hw-display-virtio-vga\.so/);
  await instance.qward(['kill', 'many']);
});

test('huge pages and Linux asynchronous I/O start where the policy has their lines, and are refused with them', async (t) => {
  const disk = instance.disk('pages');
  const yaml = smallMachine('pages', [
    'memoryBacking: {hugePages: 2MiB}',
    `disks: [{id: root, path: ${disk}, format: qcow2, cache: none, aio: native}]`,
  ]).replace(/^memory: .*$/m, 'memory: 32MiB');
  await define(instance, yaml);
  const refused = await instance.qward(['start', 'pages']);
  assert.equal(refused.status, 4, refused.stderr);
  const calls = ['io_setup', 'io_submit', 'io_getevents', 'io_destroy', 'memfd_create'];
  for (const call of calls) assert.match(refused.stderr, new RegExp(`relaxation "syscall ${call}"`));
  instance.writePolicy({ relaxations: calls.map((to) => ({ relax: 'syscall', to, machines: ['pages'] })) });
  const pages = '/proc/sys/vm/nr_hugepages';
  const kept = readFileSync(pages, 'utf8');
  t.after(() => writeFileSync(pages, kept));
  writeFileSync(pages, String(Number(kept) + 17));
  const pid = await start(instance, 'pages');
  await allWallsStand('pages');
  assert.match(readFileSync(`/proc/${pid}/smaps`, 'utf8'), /KernelPageSize: +2048 kB/);
  const listed = await instance.qward(['list']);
  assert.match(listed.stdout, /pages +running \+/);
  const status = await instance.qward(['status', 'pages']);
  assert.match(status.stdout, /syscall memfd_create/);
  await instance.qward(['kill', 'pages']);
});

test('memory lies on the nodes of the host that were asked for, where the policy has the line for it', async () => {
  await define(
    instance,
    smallMachine('placed', [
      "memoryBacking: {hostNodes: {nodes: '0', policy: preferred}}",
      "numa: [{cpus: '0', memory: 32MiB, hostNodes: {nodes: '0'}}, {memory: 32MiB}]",
    ]).replace(/^memory: .*$/m, 'memory: 64MiB'),
  );
  const refused = await instance.qward(['start', 'placed']);
  assert.match(refused.stderr, /relaxation "syscall mbind" is not one that the policy gives/);
  instance.writePolicy({ relaxations: [{ relax: 'syscall', to: 'mbind', machines: ['placed'] }] });
  const pid = await start(instance, 'placed');
  await allWallsStand('placed');
  // numa(7): the policy of each mapping.
  const maps = readFileSync(`/proc/${pid}/numa_maps`, 'utf8');
  assert.match(maps, /^[0-9a-f]+ bind:0 /m);
  assert.match(maps, /^[0-9a-f]+ prefer(?:red)?(?:=|:| \(many\):)0 /m);
  await instance.qward(['kill', 'placed']);
});

test('threads of a machine run on the CPUs that were asked for, and the audit expects it', async () => {
  await define(
    instance,
    smallMachine('pinned', [
      'iothreads: 1',
      "cpu: {count: 2, pinning: {machine: '0-1', emulator: '0', vcpus: [{vcpu: 1, cpus: '1'}], iothreads: [{iothread: 1, cpus: '1'}]}}",
    ]),
  );
  const pid = await start(instance, 'pinned');
  const found = readdirSync(`/proc/${pid}/task`).map((tid) => {
    const status = readFileSync(`/proc/${pid}/task/${tid}/status`, 'utf8');
    const field = (name: string): string => new RegExp(`^${name}:\\t(.*)$`, 'm').exec(status)?.[1] ?? '';
    return `${field('Name')} on ${field('Cpus_allowed_list')}`;
  });
  for (const expected of ['CPU 0/TCG on 0-1', 'CPU 1/TCG on 1', 'IO io.1 on 1', 'qemu-system-x86 on 0'])
    assert.ok(found.includes(expected), `${expected} among ${found.join(', ')}`);
  await allWallsStand('pinned');
  // What somebody else changes on the live process, the audit sees.
  const vcpu = readdirSync(`/proc/${pid}/task`).find((tid) =>
    readFileSync(`/proc/${pid}/task/${tid}/comm`, 'utf8').startsWith('CPU 1/'),
  );
  execFileSync('taskset', ['--pid', '--cpu-list', '0', vcpu ?? '']);
  const audit = JSON.parse((await instance.qward(['audit', 'pinned', '--json'])).stdout) as AuditReport;
  const limits = audit.rows.find(({ wall }) => wall === 'rlimits');
  assert.match(limits?.found ?? '', /thread \d+ on CPUs 0/);
  await instance.qward(['kill', 'pinned']);
});

test('CPUs that the host has not are refused, and nothing is left', async () => {
  await define(instance, smallMachine('far', ["cpu: {pinning: {machine: '1000-1001'}}"]));
  const { status, stderr } = await instance.qward(['start', 'far']);
  assert.equal(status, 1, stderr);
  assert.match(stderr, /is to run on CPUs that this host has not: CPUs 1000, 1001/);
  assert.match(stderr, /change cpu\.pinning/);
  assert.equal((await statusOf(instance, 'far')).pid, null);
});
