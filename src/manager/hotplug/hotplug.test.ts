import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planOf } from '../../plan/sample-facts.ts';
import type { LaunchedMachine } from '../../protocol/broker.ts';
import { asIfLaunched } from '../lifecycle/held-files.ts';
import { beyondRun } from './beyond-run.ts';
import { firstNote, Hotplug, parseHotplugNote, type Attached } from './hotplug.ts';

const [web, data] = ['/var/lib/qward/images/web.qcow2', '/var/lib/qward/images/data.raw'];
const { launch } = planOf(`
name: a
scsiControllers: [{}]
disks:
  - { id: root, path: ${web}, format: qcow2, bus: scsi }
`);
const launched = { launch, files: { [web]: { device: 1, inode: 2 } } } as unknown as LaunchedMachine;
const more: Attached = {
  id: 'more',
  device: { driver: 'virtio-blk-pci', id: 'more', bus: 'port.0', drive: 'hot.1' },
  nodes: ['hot.0', 'hot.1'],
  groups: [],
  netdevs: [],
  files: (['ro', 'rw'] as const).map((access) => ({
    file: { kind: 'file', path: data, access, claimant: 1000, reopened: false },
    identity: { device: 3, inode: 4 },
  })),
  card: null,
  layers: [],
};
const card: Attached = {
  ...more,
  id: 'lan',
  device: { driver: 'virtio-net-pci', id: 'lan', bus: 'port.1', netdev: 'net.lan' },
  nodes: [],
  netdevs: ['net.lan'],
  files: [],
  card: { bridge: 'br0', network: '', tap: 'qward3' },
};

test('what is attached is held as if it had been launched so, and what is detached is not', () => {
  const hotplug = new Hotplug(launched);
  assert.equal(asIfLaunched(launched, [hotplug.sinceLaunch]), launched);
  hotplug.attach(more);
  hotplug.attach(card);
  hotplug.detach('root');
  const now = asIfLaunched(launched, [hotplug.sinceLaunch]);
  assert.deepEqual(
    now.launch.descriptors.flatMap((one) =>
      one.kind === 'file' ? [`${one.access} ${one.path}`] : one.kind === 'tap' ? [`tap ${one.bridge}`] : [],
    ),
    [`ro ${data}`, `rw ${data}`, 'tap br0'],
  );
  assert.deepEqual(now.files, { [data]: { device: 3, inode: 4 } });
  assert.deepEqual(
    hotplug.disks.map(({ id }) => id),
    ['more'],
  );
  assert.equal(hotplug.device('lan')?.what, 'card');
  hotplug.detach('more');
  hotplug.detach('lan');
  assert.deepEqual([hotplug.disks, hotplug.cards], [[], []]);
});

const cpu: Attached = {
  ...card,
  id: 'cpu.1',
  device: { driver: 'max-x86_64-cpu', id: 'cpu.1', 'core-id': 1 },
  netdevs: [],
  card: null,
};
const module: Attached = {
  ...cpu,
  id: 'memory.0',
  device: { driver: 'pc-dimm', id: 'memory.0', memdev: 'hot.2' },
  groups: ['hot.2'],
  memory: 128 * 1024 ** 2,
};

test('CPUs and memory are no disks, and hold no file', () => {
  const hotplug = new Hotplug(launched);
  hotplug.attach(cpu);
  hotplug.attach(module);
  assert.deepEqual(
    [hotplug.disk('cpu.1'), hotplug.device('cpu.1')?.what, hotplug.device('memory.0')?.what],
    [undefined, 'cpu', 'memory'],
  );
  assert.deepEqual(
    [hotplug.disks, hotplug.cpus, hotplug.modules].map((list) => list.map(({ id }) => id)),
    [['root'], ['cpu.1'], ['memory.0']],
  );
  assert.equal(hotplug.modules[0]?.memory, 128 * 1024 ** 2);
  assert.equal(hotplug.hasNote, true);
  const read = parseHotplugNote(JSON.parse(JSON.stringify(hotplug.note)));
  assert.deepEqual(new Hotplug(launched, read).note, hotplug.note);
  hotplug.detach('cpu.1');
  assert.equal(hotplug.device('cpu.1'), undefined);
});

test('the next manager reads what the one before noted, and leaves out what it cannot', () => {
  const hotplug = new Hotplug(launched);
  hotplug.attach(more);
  hotplug.attach(card);
  hotplug.detach('root');
  const read = parseHotplugNote(JSON.parse(JSON.stringify(hotplug.note)));
  assert.deepEqual(new Hotplug(launched, read).note, hotplug.note);
  for (const wrong of [null, 7, 'x']) assert.equal(parseHotplugNote(wrong), undefined);
  assert.deepEqual(
    parseHotplugNote({ attached: [{ id: 1 }, null, { id: 'a', device: 7 }], detached: [7, 'b'] }),
    {
      attached: [],
      detached: ['b'],
    },
  );
});

test('a disk for raw commands is not attached to a process without the capability, and the answer says why', () => {
  const wanted = { ...launch, relaxed: [{ relax: 'capability', to: 'sys_rawio' }] } as const;
  const [fault, ...others] = beyondRun({ what: 'disk', id: 'tape' }, wanted, launch);
  assert.deepEqual(others, []);
  assert.match(fault?.message ?? '', /CAP_SYS_RAWIO.*cannot be added to a running process/);
  assert.match(fault?.hint ?? '', /`rawio: reserve`/);
  assert.deepEqual(beyondRun({ what: 'disk', id: 'tape' }, wanted, wanted), []);
});

test('nothing is attached that goes beyond what the process was started with', () => {
  const large = { ...launch, limits: { ...launch.limits, fileSize: launch.limits.fileSize * 2 } };
  assert.match(beyondRun({ what: 'disk', id: 'x' }, large, launch)[0]?.hint ?? '', /fileSize/);
  const kvm = { ...launch, devices: ['/dev/kvm'] };
  assert.match(
    beyondRun({ what: 'card', id: 'x' }, kvm, { ...launch, devices: [] })[0]?.message ?? '',
    /\/dev\/kvm/,
  );
  const open = { ...launch, relaxed: [{ relax: 'seccomp', to: 'off' }] } as const;
  assert.match(beyondRun({ what: 'disk', id: 'x' }, open, launch)[0]?.message ?? '', /"seccomp off"/);
});

test('USB devices go and come: what is waited for is noted, and what came again is held as its own node', () => {
  const { launch: given } = planOf(
    "name: a\nhostDevices: [{id: key, usb: '046d:c52b'}, {id: late, usb: 1-2, optional: true}]\n",
    {
      absentUsb: ['late'],
    },
  );
  const node = { device: 6, inode: 700 };
  const there = { launch: given, files: { '046d:c52b': node } } as unknown as LaunchedMachine;
  const definition = {
    hostDevices: [
      { id: 'key', usb: '046d:c52b', rom: true, optional: false },
      { id: 'late', usb: '1-2', rom: true, optional: true },
    ],
  };
  const hotplug = new Hotplug(there, firstNote({ launched: there, definition }));
  assert.deepEqual(
    hotplug.usb.map(({ id, identity, attached }) => ({ id, identity, attached })),
    [{ id: 'key', identity: node, attached: false }],
  );
  assert.deepEqual(hotplug.waiting, [{ id: 'late', device: '1-2' }]);
  assert.equal(hotplug.device('key')?.what, 'usb');
  // It is pulled out.
  hotplug.detach('key');
  hotplug.wait({ id: 'key', device: '046d:c52b' });
  const without = asIfLaunched(there, [hotplug.sinceLaunch]);
  assert.deepEqual(
    [without.launch.descriptors.filter(({ kind }) => kind === 'usb'), without.files],
    [[], {}],
  );
  const next = new Hotplug(there, parseHotplugNote(JSON.parse(JSON.stringify(hotplug.note))));
  assert.deepEqual(
    next.waiting.map(({ id }) => id),
    ['late', 'key'],
  );
  // It is plugged in.
  const anew = { device: 6, inode: 701 };
  next.attach({
    ...more,
    id: 'key',
    device: { driver: 'usb-host', id: 'key', bus: 'ctl.usb.0' },
    nodes: [],
    files: [],
    usb: { device: '046d:c52b', identity: anew },
  });
  assert.equal(next.waitNoMore('key'), true);
  const after = asIfLaunched(there, [next.sinceLaunch]);
  assert.deepEqual(
    after.launch.descriptors.filter(({ kind }) => kind === 'usb'),
    [{ kind: 'usb', device: '046d:c52b' }],
  );
  assert.deepEqual(after.files, { '046d:c52b': anew });
  assert.equal(next.devices.filter(({ id }) => id === 'key').length, 1);
});
