import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addToList } from './list-items.ts';

const item = { id: 'data', path: '/srv/data.qcow2', format: 'qcow2' };
const line = '{"id":"data","path":"/srv/data.qcow2","format":"qcow2"}';
const block = 'disks:\n  # the system\n  - id: root\n    path: /srv/root.raw # raw\n    format: raw\n';

test('an item joins a list of any form, and all else stays as it was written', () => {
  for (const [before, after] of [
    ['name: a\n', `name: a\ndisks:\n  - ${line}\n`],
    ['name: a', `name: a\ndisks:\n  - ${line}\n`],
    [`name: a\n${block}# end\nmemory: 1GiB\n`, `name: a\n${block}  - ${line}\n# end\nmemory: 1GiB\n`],
    [`name: a\n${block.trimEnd()}`, `name: a\n${block}  - ${line}\n`],
    ['name: a\ndisks: []\nmemory: 1GiB\n', `name: a\ndisks: [${line}]\nmemory: 1GiB\n`],
    [
      'name: a\ndisks: [{ id: b, path: /b, format: raw }] # one\n',
      `name: a\ndisks: [{ id: b, path: /b, format: raw }, ${line}] # one\n`,
    ],
  ] as const)
    assert.deepEqual(addToList(before, 'disks', item), { ok: true, source: after });
});

test('what the rules of definitions do not allow is refused', () => {
  for (const wrong of [
    { ...item, id: 'root' },
    { ...item, colour: 'red' },
    { ...item, path: 'x' },
  ]) {
    const added = addToList(`name: a\n${block}`, 'disks', wrong);
    assert.equal(added.ok, false, JSON.stringify(wrong));
  }
});

test('a text in which nothing can be added alone says so', () => {
  const added = addToList('{name: a, memory: 1GiB}\n', 'disks', item);
  assert.ok(!added.ok && added.faults[0]?.message.includes('cannot be added to'), JSON.stringify(added));
});
