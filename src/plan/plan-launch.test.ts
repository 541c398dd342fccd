import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Fault } from '../definition/fault.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { HostFacts } from './launch-plan.ts';
import { wallNames } from './launch-plan.ts';
import { UnsafeTokenError } from './options.ts';
import { planLaunch } from './plan-launch.ts';
import { definitionOf, fileOf, planOf, sampleFacts } from './sample-facts.ts';

function faultsOf(yaml: string, overrides: Partial<HostFacts> = {}): readonly Fault[] {
  const definition = definitionOf(yaml);
  const outcome = planLaunch(definition, sampleFacts(definition, overrides));
  return outcome.ok ? [] : outcome.faults;
}

const codes = (faults: readonly Fault[]): readonly string[] => faults.map((fault) => fault.code);
const missing = {
  ok: false,
  fault: { code: 'file-missing', message: '"/i/a" does not exist', hint: 'Make it.' },
} as const;

test('every fault is told at once, with its place in the definition', () => {
  const yaml =
    'name: a\naccel: kvm\nmemory: 32GiB\nfirmware: uefi\nboot: {kernel: /i/k}\ndisks: [{id: d, path: /i/a, format: raw}]\n';
  const faults = faultsOf(yaml, {
    qemu: null,
    uefi: null,
    hostMemory: 1024 ** 3,
    files: { '/i/a': missing },
  });
  assert.deepEqual(
    faults.map((fault) => [fault.code, fault.path?.join('.')]),
    [
      ['qemu-missing', undefined],
      ['firmware-missing', 'firmware'],
      ['resources-short', 'memory'],
      ['kvm-unavailable', 'accel'],
      ['file-missing', 'boot.kernel'],
      ['file-missing', 'disks.0.path'],
    ],
  );
  for (const fault of faults) assert.ok(fault.message !== '' && fault.hint !== '', fault.code);
  assert.equal(faults.at(-1)?.message, 'disk "d": "/i/a" does not exist');
});

test('QEMU older than 7.2 is refused, 7.2 and later are not', () => {
  const { qemu } = sampleFacts(definitionOf('name: a'));
  assert.ok(qemu !== null);
  for (const [major, minor, expected] of [
    [7, 1, ['qemu-too-old']],
    [6, 9, ['qemu-too-old']],
    [7, 2, []],
    [8, 0, []],
  ] as const)
    assert.deepEqual(
      codes(faultsOf('name: a', { qemu: { ...qemu, version: { major, minor, micro: 0 } } })),
      expected,
    );
});

test('auto takes KVM only where it was proved, and CPU model host only exists there', () => {
  const kvm = { works: true, reason: 'a guest ran' };
  assert.deepEqual(planOf('name: a', { kvm }).launch.devices, ['/dev/kvm']);
  assert.deepEqual(planOf('name: a').launch.devices, []);
  assert.match(planOf('name: a').accel.reason, /no guest ran under KVM/);
  assert.deepEqual(codes(faultsOf('name: a\ncpu: {model: host}')), ['kvm-unavailable']);
  assert.deepEqual(codes(faultsOf('name: a\ncpu: {model: host}', { kvm })), []);
});

test('KVM needs no TCG module in the root, TCG does', () => {
  const targets = (overrides: Partial<HostFacts>): string =>
    planOf('name: a', overrides)
      .launch.root.map((path) => path.target)
      .join(' ');
  assert.doesNotMatch(targets({ kvm: { works: true, reason: '' } }), /accel-tcg/);
  assert.match(targets({}), /accel-tcg-x86_64\.so/);
});

test('no path of the host reaches the command line', () => {
  const yaml = `name: a
boot: {kernel: /i/kernel, initrd: /i/initrd}
disks: [{id: d, path: /i/d.qcow2, format: qcow2, backing: [{path: /i/base, format: raw}]}]
cdroms: [{id: c, path: /i/cd.iso}]
nics: [{id: n, kind: bridge, bridge: br0}]`;
  const { argv, descriptors } = planOf(yaml).launch;
  assert.equal(
    argv.some((word) => word.includes('/i/')),
    false,
  );
  const paths = descriptors.flatMap((descriptor) => (descriptor.kind === 'file' ? [descriptor.path] : []));
  assert.deepEqual([...new Set(paths)], ['/i/kernel', '/i/initrd', '/i/base', '/i/d.qcow2', '/i/cd.iso']);
});

test('what is only read gets no writable descriptor', () => {
  const yaml = `name: a
disks:
  - {id: w, path: /i/w, format: qcow2, backing: [{path: /i/base, format: raw}]}
  - {id: r, path: /i/r, format: raw, readonly: true}
cdroms: [{id: c, path: /i/cd.iso}]`;
  const { descriptors } = planOf(yaml).launch;
  const writable = descriptors.filter(
    (descriptor) => descriptor.kind === 'file' && descriptor.access === 'rw',
  );
  assert.deepEqual(writable, [{ kind: 'file', path: '/i/w', access: 'rw', claimant: null, reopened: false }]);
});

test('every grant of a descriptor has its number, in order, and every wall is planned once', () => {
  const plan = planOf('name: a\nagent: true\ndisks: [{id: d, path: /i/d, format: raw}]');
  const fds = plan.grants.flatMap((grant) => (grant.fd === null ? [] : [grant.fd]));
  assert.deepEqual(
    fds,
    plan.launch.descriptors.map((_, index) => index + 3),
  );
  assert.deepEqual(
    plan.walls.map((row) => row.wall),
    [...wallNames],
  );
  for (const row of plan.walls) assert.notEqual(row.expected, '');
});

test('a chain with more files than one launch carries is refused', () => {
  const backing = Array.from({ length: 16 }, (_, depth) => `{path: /i/b${depth}, format: qcow2}`).join(', ');
  const disks = Array.from(
    { length: 15 },
    (_, n) => `  - {id: d${n}, path: /i/d${n}, format: qcow2, backing: [${backing}]}`,
  ).join('\n');
  const definition = definitionOf(`name: a\ndisks:\n${disks}\n`);
  const facts = sampleFacts(definition);
  const files: HostFacts['files'] = {
    ...facts.files,
    '/i/b15': fileOf({ format: 'qcow2' }),
  };
  const outcome = planLaunch(definition, { ...facts, files });
  assert.ok(!outcome.ok);
  assert.deepEqual(codes(outcome.faults), ['definition-invalid']);
  assert.match(outcome.faults[0]?.message ?? '', /272 open files.* 250/);
});

const structure = [',', '"', '\n', '\0'] as const;

/** Each place of a definition from which a string reaches a token, past the schema that would have refused it. */
const places: readonly (readonly [string, (text: string) => Partial<MachineDefinition>])[] = (() => {
  const parts = definitionOf(`name: a
disks: [{id: d, path: /i/d, format: raw, limits: {iops: 5}}]
cdroms: [{id: c}]
nics: [{id: n, kind: bridge, bridge: br0}]`);
  const [disk] = parts.disks;
  const [nic] = parts.nics;
  assert.ok(disk !== undefined && nic !== undefined);
  return [
    ['name', (text) => ({ name: text })],
    ['cpu model', (text) => ({ cpu: { ...parts.cpu, model: text } })],
    ['disk id', (text) => ({ disks: [{ ...disk, id: text }] })],
    [
      'disk id with limits',
      (text) => ({ disks: [{ ...disk, id: text, limits: { iops: 1, burst: {}, burstSeconds: {} } }] }),
    ],
    ['cdrom id', (text) => ({ cdroms: [{ id: text, bus: 'auto' }] })],
    ['nic id', (text) => ({ nics: [{ ...nic, id: text }] })],
    ['nic mac', (text) => ({ nics: [{ ...nic, mac: text }] })],
  ];
})();

for (const [place, change] of places)
  test(`${place.replaceAll(' ', '_')}_rejects_structure`, () => {
    const base = definitionOf('name: a\nboot: {kernel: /i/k}');
    for (const character of structure) {
      const definition = { ...base, ...change(`x${character}y`) };
      const files = { '/i/k': fileOf(), '/i/d': fileOf() };
      assert.throws(() => planLaunch(definition, sampleFacts(definition, { files })), UnsafeTokenError);
    }
  });

test('cmdline_rejects_structure: it stays one argument, and control characters are refused', () => {
  const base = definitionOf('name: a\nboot: {kernel: /i/k}');
  const plan = (cmdline: string): readonly string[] => {
    const definition = { ...base, boot: { ...base.boot, cmdline } };
    const outcome = planLaunch(definition, sampleFacts(definition));
    return outcome.ok ? outcome.plan.launch.argv : [];
  };
  const argv = plan('root=/dev/vda init="/a, b" -device');
  assert.equal(argv[argv.indexOf('-append') + 1], 'root=/dev/vda init="/a, b" -device');
  for (const character of ['\n', '\0']) assert.throws(() => plan(`a${character}b`), UnsafeTokenError);
});

test('paths_reject_structure: whatever a path holds, it is in no argument', () => {
  const base = definitionOf('name: a\ndisks: [{id: d, path: /i/d, format: raw}]');
  const plain = planLaunch(base, sampleFacts(base));
  for (const character of structure) {
    const path = `/i/x${character}readonly=off`;
    const definition = { ...base, disks: base.disks.map((disk) => ({ ...disk, path })) };
    const outcome = planLaunch(definition, sampleFacts(definition));
    assert.ok(outcome.ok && plain.ok);
    assert.deepEqual(outcome.plan.launch.argv, plain.plan.launch.argv);
  }
});

test('words that are for people only reach no argument', () => {
  const base = definitionOf('name: a');
  const definition = { ...base, description: 'x,y"\n', tags: ['z,z'] };
  const [told, silent] = [definition, base].map((each) => planLaunch(each, sampleFacts(each)));
  assert.ok(told?.ok && silent?.ok);
  assert.deepEqual(told.plan.launch.argv, silent.plan.launch.argv);
});

test('files are asked for with the claim of the user who has one for the path, all others with none', () => {
  const { launch } = planOf(
    `name: a
boot: {kernel: /home/u/k}
firmware: uefi
disks: [{id: one, path: /home/u/1, format: raw}, {id: two, path: /i/2, format: raw}]`,
    { claimants: { '/home/u/1': 1000, '/home/u/k': 1000 } },
  );
  const files = launch.descriptors.flatMap((one) =>
    one.kind === 'file' ? [`${one.path} ${one.access} ${one.claimant}`] : [],
  );
  assert.deepEqual(files, [
    '/home/u/k ro 1000',
    '/var/lib/qward/vars/a.qcow2 ro null',
    '/var/lib/qward/vars/a.qcow2 rw null',
    '/home/u/1 ro 1000',
    '/home/u/1 rw 1000',
    '/i/2 ro null',
    '/i/2 rw null',
  ]);
});
