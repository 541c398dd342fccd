import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setInDefinition } from './set.ts';

const source = `# a machine of mine
name: shop   # do not rename
tags: [web, production]

cpu:
  count: 4 # sockets do not matter
memory: "8GiB"

disks:
    # the system
  - id: root
    path: /images/shop.qcow2
    format: qcow2
  - {id: data, path: '/images/data.raw', format: raw, cache: none}   # fast
boot: {order: [root, data]}
`;

/** Lines that differ, `-` before and `+` after. */
function difference(changes: Readonly<Record<string, string | null>>, text = source): readonly string[] {
  const result = setInDefinition(
    text,
    Object.entries(changes).map(([key, value]) => ({ key, value })),
  );
  if (!result.ok) return result.faults.map(({ message, hint }) => `! ${message} | ${hint}`);
  const [before, after] = [text.split('\n'), result.source.split('\n')];
  return [
    ...before.filter((line) => !after.includes(line)).map((line) => `- ${line}`),
    ...after.filter((line) => !before.includes(line)).map((line) => `+ ${line}`),
  ];
}

test('a value is replaced and its comment stays', () => {
  assert.deepEqual(difference({ 'cpu.count': '8' }), [
    '-   count: 4 # sockets do not matter',
    '+   count: 8 # sockets do not matter',
  ]);
  assert.deepEqual(difference({ memory: '16G' }), ['- memory: "8GiB"', '+ memory: 16G']);
});

test('items of a list are named by their id, in blocks and between brackets', () => {
  assert.deepEqual(difference({ 'disks.root.cache': 'none' }), ['+     cache: none']);
  assert.deepEqual(difference({ 'disks.data.cache': 'unsafe', 'disks.data.limits.iops': '100' }), [
    "-   - {id: data, path: '/images/data.raw', format: raw, cache: none}   # fast",
    "+   - {id: data, path: '/images/data.raw', format: raw, cache: unsafe, limits: { iops: 100 }}   # fast",
  ]);
});

test('values get the type that the schema asks for', () => {
  assert.deepEqual(difference({ vnc: 'true' }), ['+ vnc: true']);
  assert.deepEqual(difference({ description: 'true' }), ['+ description: "true"']);
  assert.deepEqual(difference({ description: 'a: b #c' }), ['+ description: "a: b #c"']);
  assert.deepEqual(difference({ 'limits.cpuQuota': '1.5' }), ['+ limits:', '+   cpuQuota: 1.5']);
  assert.deepEqual(difference({ tags: 'web, test' }), ['- tags: [web, production]', '+ tags: [web, test]']);
  assert.deepEqual(difference({ tags: '' }), ['- tags: [web, production]', '+ tags: []']);
});

test('null takes a key out, with what would be left empty', () => {
  assert.deepEqual(difference({ memory: null }), ['- memory: "8GiB"']);
  assert.deepEqual(difference({ 'cpu.count': null }), ['- cpu:', '-   count: 4 # sockets do not matter']);
  assert.deepEqual(difference({ 'boot.order': null }), ['- boot: {order: [root, data]}']);
  assert.deepEqual(difference({ 'disks.data': null, 'boot.order': 'root' }).length, 3);
  assert.deepEqual(difference({ 'cpu.model': null }), []);
});

test('several changes see each other, and all or none are made', () => {
  assert.deepEqual(
    difference({ 'disks.root': null, 'disks.data.bus': 'scsi', 'boot.order': null }).filter((line) =>
      line.startsWith('+'),
    ),
    ["+   - {id: data, path: '/images/data.raw', format: raw, cache: none, bus: scsi}   # fast"],
  );
  assert.deepEqual(difference({ 'cpu.count': '8', 'disks.data': null }), [
    '! boot.order[1]: there is no disk, CD-ROM drive or network card "data" | There are root.',
  ]);
});

test('a list in a block keeps the comments of the items that stay', () => {
  const text = 'name: a\ntags:\n  # the first\n  - web # why\n  # second\n  - test\n  - prod\n# end\n';
  assert.deepEqual(difference({ tags: 'web,prod,new' }, text), ['-   - test', '+   - new']);
  assert.deepEqual(difference({ tags: 'new' }, text).slice(-1), ['+ tags: [new]']);
});

test('a text without a last line break, and one with CRLF, stay well-formed', () => {
  assert.deepEqual(difference({ memory: '2G', vnc: 'true' }, 'name: a'), [
    '+ memory: 2G',
    '+ vnc: true',
    '+ ',
  ]);
  const result = setInDefinition('name: a\r\nmemory: 1G\r\ncpu:\r\n  count: 1\r\n', [
    { key: 'memory', value: '2G' },
  ]);
  assert.deepEqual(result, { ok: true, source: 'name: a\r\nmemory: 2G\r\ncpu:\r\n  count: 1\r\n' });
});

test('unknown keys and ids are refused with what was meant, all at once', () => {
  assert.deepEqual(
    difference({
      memry: '1G',
      'disks.rot.cache': 'none',
      'cpu.count.x': '1',
      disks: 'x',
      'disks.root': 'x',
      name: 'b',
    }),
    [
      '! memry: there is no such key | Did you mean "memory"?',
      '! disks.rot.cache: nothing in disks has the id "rot" | Did you mean "root"?',
      '! cpu.count.x: there is no such key | There are no keys below this one.',
      '! disks: this is no single value | Use `qward edit` for lists.',
      '! disks.root: this is no single value | Set one of its keys: id, path, format, bus, readonly, shared, cache, aio, discard, detectZeroes, copyOnRead, errors, serial, wwn, vendor, product, removable, rotationRate, blockSize, discardGranularity, queues, queueSize, iothread, controller, unit, limits, rawio, backing.',
      '! name: the name cannot be set | Use `qward rename`.',
    ],
  );
});

test('a value that the schema refuses changes nothing, and the fault names no line of a text that nobody saw', () => {
  const result = setInDefinition(source, [{ key: 'memory', value: '2048' }]);
  assert.ok(!result.ok);
  assert.match(result.faults[0]?.message ?? '', /^memory: found 2048; expected a size/);
  assert.deepEqual([result.faults[0]?.line, result.faults[0]?.path], [undefined, ['memory']]);
});
test('a text that cannot be changed at one place alone is refused, not spoilt', () => {
  const refused = 'cannot be changed alone in the way this definition is written | Use `qward edit`.';
  assert.deepEqual(difference({ 'cpu.count': null }, 'name: a\n? cpu\n: {count: 2}\n'), [
    `! cpu.count: ${refused}`,
  ]);
  assert.deepEqual(difference({ vnc: 'true' }, '? name\n: a\n'), [`! vnc: ${refused}`]);
});
