import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDefinition } from './parse.ts';

const kernel = 'boot: {kernel: /k}';
const disk = (id: string, more = ''): string =>
  `{id: ${id}, path: /${id}, format: raw${more === '' ? '' : `, ${more}`}}`;
const nic = (id: string, more = ''): string =>
  `{id: ${id}, kind: bridge, bridge: br0${more === '' ? '' : `, ${more}`}}`;
const many = (count: number, make: (id: string) => string): string =>
  Array.from({ length: count }, (_, index) => make(`d${index}`)).join(', ');

/** What breaks a rule, and the fault; one fault each. */
const refused: readonly (readonly [rule: string, lines: readonly string[], fault: RegExp])[] = [
  [
    'ids are unique',
    [`disks: [${disk('a')}]`, 'cdroms: [{id: a}]'],
    /^cdroms\.a\.id: "a" is the id of a disk already/,
  ],
  [
    'ids are unique',
    [`nics: [${nic('a')}, ${nic('a')}]`],
    /^nics\.a\.id: "a" is the id of another network card already/,
  ],
  [
    'addresses differ',
    [`nics: [${nic('a', 'mac: "52:54:00:00:00:01"')}, ${nic('b', 'mac: "52:54:00:00:00:01"')}]`],
    /^nics\.b\.mac: .* of the network card "a" already/,
  ],
  ['tags are there once', ['tags: [web, web]'], /^tags\[1\]: "web" is in the list already/],
  [
    'boot order is known',
    [`disks: [${disk('root')}]`, 'boot: {order: [rot]}'],
    /^boot\.order\[0\]: there is no .* "rot" Did you mean "root"\?/,
  ],
  ['boot order is known', ['boot: {order: [root]}'], /"root" This machine has none at all/],
  ['initrd needs a kernel', ['boot: {initrd: /i}'], /^boot\.initrd: needs boot\.kernel/],
  ['cmdline needs a kernel', ['boot: {cmdline: quiet}'], /^boot\.cmdline: needs boot\.kernel/],
  ['microvm needs a kernel', ['machine: microvm'], /^machine: microvm boots a kernel directly/],
  ['microvm has no UEFI', ['machine: microvm', kernel, 'firmware: uefi'], /^firmware: microvm has no UEFI/],
  ['microvm has no VNC', ['machine: microvm', kernel, 'vnc: true'], /^vnc: microvm has no graphics card/],
  [
    'microvm has no CD-ROM',
    ['machine: microvm', kernel, 'cdroms: [{id: a}]'],
    /^cdroms: microvm has no CD-ROM/,
  ],
  [
    'microvm has no menu',
    ['machine: microvm', 'boot: {kernel: /k, menu: true}'],
    /^boot\.menu: microvm has no firmware menu/,
  ],
  [
    'microvm has no order',
    ['machine: microvm', 'boot: {kernel: /k, order: [a]}', `disks: [${disk('a')}]`],
    /^boot\.order: microvm has no boot order/,
  ],
  [
    'microvm has virtio',
    ['machine: microvm', kernel, `disks: [${disk('a', 'bus: scsi')}]`],
    /^disks\.a\.bus: microvm has no scsi, only virtio/,
  ],
  [
    'microvm has virtio',
    ['machine: microvm', kernel, `nics: [${nic('a', 'model: e1000e')}]`],
    /^nics\.a\.model: microvm has no e1000e/,
  ],
  [
    'microvm has room',
    ['machine: microvm', kernel, `disks: [${many(20, disk)}]`, `nics: [${nic('a')}]`],
    /^nics\.a: microvm has room for 20 .* found 21/,
  ],
  ['q35 has no IDE', [`disks: [${disk('a', 'bus: ide')}]`], /^disks\.a\.bus: q35 has no ide/],
  [
    'AHCI has room',
    [`disks: [${many(6, (id) => disk(id, 'bus: sata'))}]`, 'cdroms: [{id: a}]'],
    /^cdroms\.a: there is room for 6 .* found 7/,
  ],
  [
    'IDE has room',
    ['machine: pc', `disks: [${many(4, (id) => disk(id, 'bus: ide'))}]`, 'cdroms: [{id: a}]'],
    /^cdroms\.a: there is room for 4 .* found 5/,
  ],
  [
    'AHCI has room',
    ['machine: pc', `disks: [${many(7, (id) => disk(id, 'bus: sata'))}]`],
    /^disks\.d6: there is room for 6 SATA disks, found 7/,
  ],
  [
    'IDE is written',
    ['machine: pc', `disks: [${disk('a', 'bus: ide, readonly: true')}]`],
    /^disks\.a\.readonly: QEMU has no read-only disks on ide/,
  ],
  [
    'SATA is written',
    [`disks: [${disk('a', 'bus: sata, readonly: true')}]`],
    /^disks\.a\.readonly: QEMU has no read-only disks on sata/,
  ],
  [
    'shared is raw',
    ['disks: [{id: a, path: /a, format: qcow2, shared: true}]'],
    /^disks\.a\.shared: only raw images can be shared/,
  ],
  [
    'shared is written',
    [`disks: [${disk('a', 'shared: true, readonly: true')}]`],
    /^disks\.a\.shared: a disk is either shared or readonly/,
  ],
  [
    'raw has no chain',
    [`disks: [${disk('a', 'backing: [{path: /b, format: raw}]')}]`],
    /^disks\.a\.backing: a raw image has no backing chain/,
  ],
  [
    'raw ends a chain',
    [
      'disks: [{id: a, path: /a, format: qcow2, backing: [{path: /b, format: raw}, {path: /c, format: raw}]}]',
    ],
    /^disks\.a\.backing\[0\]\.format: a raw image ends the chain/,
  ],
  [
    'written images are used once',
    [`disks: [${disk('a')}, {id: b, path: /a, format: raw, readonly: true}]`],
    /^disks\.b\.path: \/a is used twice: written by disk "a", and read by disk "b"/,
  ],
  [
    'written images are used once',
    ['disks: [{id: a, path: /a, format: qcow2, backing: [{path: /a, format: qcow2}]}]'],
    /^disks\.a\.backing\[0\]\.path: \/a is used twice: .* read by the backing chain of disk "a"/,
  ],
  [
    'written images are used once',
    [`disks: [${disk('a')}]`, 'cdroms: [{id: b, path: /a}]'],
    /^cdroms\.b\.path: \/a is used twice/,
  ],
  [
    'memory fits its limit',
    ['memory: 1GiB', 'limits: {memory: 512MiB}'],
    /^limits\.memory: 512MiB is less than the guest's memory, 1GiB/,
  ],
];

for (const [rule, lines, fault] of refused) {
  test(`${rule}: ${lines.join(' ').slice(0, 60)} is refused`, () => {
    const parsed = parseDefinition(['name: a', ...lines, ''].join('\n'));
    assert.ok(!parsed.ok);
    assert.equal(parsed.faults.length, 1, JSON.stringify(parsed.faults));
    assert.match(`${parsed.faults[0]?.message} ${parsed.faults[0]?.hint}`, fault);
  });
}

const accepted: readonly (readonly [what: string, lines: readonly string[]])[] = [
  ['a kernel with UEFI', ['firmware: uefi', kernel]],
  ['UEFI on pc', ['machine: pc', 'firmware: uefi']],
  ['a full microvm', ['machine: microvm', kernel, `disks: [${many(19, disk)}]`, `nics: [${nic('a')}]`]],
  ['six SATA units on q35', [`disks: [${many(5, (id) => disk(id, 'bus: sata'))}]`, 'cdroms: [{id: a}]']],
  [
    'four IDE units on pc',
    ['machine: pc', `disks: [${many(3, (id) => disk(id, 'bus: ide'))}]`, 'cdroms: [{id: a}]'],
  ],
  [
    'read-only disks on virtio, scsi and nvme',
    [
      `disks: [${['virtio', 'scsi', 'nvme'].map((bus) => disk(bus, `bus: ${bus}, readonly: true`)).join(', ')}]`,
    ],
  ],
  [
    'one image read by many',
    [
      `disks: [${disk('a', 'readonly: true')}, {id: b, path: /a, format: raw, readonly: true}]`,
      'cdroms: [{id: c, path: /a}]',
    ],
  ],
  [
    'one shared image on two buses',
    [`disks: [${disk('a', 'shared: true')}, {id: b, path: /a, format: raw, shared: true}]`],
  ],
  [
    'two overlays on one base',
    [
      'disks: [{id: a, path: /a, format: qcow2, backing: [{path: /x, format: raw}]}, {id: b, path: /b, format: qcow2, backing: [{path: /x, format: raw}]}]',
    ],
  ],
  ["a limit of just the guest's memory", ['memory: 1GiB', 'limits: {memory: 1GiB}']],
  ['two tags', ['tags: [a, b]']],
];

for (const [what, lines] of accepted) {
  test(`${what} is accepted`, () => {
    const parsed = parseDefinition(['name: a', ...lines, ''].join('\n'));
    assert.deepEqual(parsed.ok ? [] : parsed.faults, []);
  });
}

test('rules are checked although another part is wrong', () => {
  const parsed = parseDefinition(
    `name: A\nmachine: microvm\nvnc: true\ndisks: [${disk('a', 'bus: sata')}, {id: b}]\n`,
  );
  assert.ok(!parsed.ok);
  assert.deepEqual(
    parsed.faults.map(({ path }) => path?.join('.')),
    ['name', 'machine', 'vnc', 'disks.0.bus', 'disks.1.path', 'disks.1.format'],
  );
});

test('a boot order is not blamed for the id of a part that could not be read', () => {
  const parsed = parseDefinition(
    'name: a\ndisks: [{id: Root, path: /a, format: raw}]\nboot: {order: [root]}\n',
  );
  assert.ok(!parsed.ok);
  assert.deepEqual(
    parsed.faults.map(({ path }) => path?.join('.')),
    ['disks.0.id'],
  );
});
