import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cloneDefinition, renameInDefinition } from './clone.ts';

const source = `name: shop # the shop
disks:
  - {id: root, path: /i/shop.qcow2, format: qcow2} # system
  - {id: tools, path: /i/tools.raw, format: raw, readonly: true}
nics:
  - id: lan
    mac: "52:54:00:00:00:01" # registered
    kind: bridge
    bridge: br0
`;

test('rename changes the name alone', () => {
  assert.deepEqual(renameInDefinition(source, 'store'), {
    ok: true,
    source: source.replace('name: shop', 'name: store'),
  });
  assert.deepEqual(renameInDefinition('{name: "a"}', 'true'), { ok: true, source: '{name: "true"}' });
});

test('rename refuses what is no name', () => {
  const result = renameInDefinition(source, 'My Shop');
  assert.ok(!result.ok);
  assert.match(
    `${result.faults[0]?.message} ${result.faults[0]?.hint}`,
    /found "My Shop".*Did you mean "my-shop"/,
  );
});

test('a clone has its own name and images, and no written MAC address', () => {
  const expected = source
    .replace('name: shop', 'name: test')
    .replace('/i/shop.qcow2', '/i/test.qcow2')
    .replace('    mac: "52:54:00:00:00:01" # registered\n', '');
  assert.deepEqual(cloneDefinition(source, { name: 'test', diskPaths: { root: '/i/test.qcow2' } }), {
    ok: true,
    source: expected,
  });
});

test('a clone without an image of its own for a disk that is written is refused, and so is a disk that is not there', () => {
  const result = cloneDefinition(source, { name: 'test', diskPaths: { rot: '/x', tools: '/i/tools.raw' } });
  assert.ok(!result.ok);
  assert.deepEqual(
    result.faults.map(({ message, hint }) => `${message} | ${hint}`),
    [
      'disks.rot: there is no such disk | Did you mean "root"?',
      'disks.root: "test" needs an image of its own for this disk, which is written | Copy /i/shop.qcow2, and name the copy as its path.',
    ],
  );
  assert.equal(cloneDefinition(source, { name: 'test', diskPaths: { root: '/i/shop.qcow2' } }).ok, false);
});

test('what may be there once stays behind, and the guest is told that it is a copy', () => {
  const cloned = cloneDefinition(
    'name: a\nuuid: 4dea22b3-1d52-d8f3-2516-782e98ab3fa0\nvsock: {cid: 3}\ngenerationId: 5dea22b3-1d52-d8f3-2516-782e98ab3fa0\n',
    { name: 'b', diskPaths: {} },
  );
  assert.ok(cloned.ok, JSON.stringify(cloned));
  assert.equal(cloned.source, 'name: b\ngenerationId: auto\n');
});
