import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { endsBefore, type Ordered } from './shutdown-order.ts';

const shown = (machines: readonly Ordered[]): Record<string, string[]> =>
  Object.fromEntries([...endsBefore(machines)].map(([name, before]) => [name, [...before].sort()]));

test('a machine ends after those that come after it, also by way of others', () => {
  const machines = [
    { name: 'db', after: [] },
    { name: 'app', after: ['db'] },
    { name: 'web', after: ['app', 'cache'] },
    { name: 'alone', after: ['never-defined'] },
  ];
  assert.deepEqual(shown(machines), { db: ['app', 'web'], app: ['web'], web: [], alone: [] });
});

test('machines that come after each other do not wait for each other, and those around them still do', () => {
  const machines = [
    { name: 'base', after: [] },
    { name: 'left', after: ['right', 'base'] },
    { name: 'right', after: ['left'] },
    { name: 'top', after: ['left'] },
    { name: 'self', after: ['self'] },
  ];
  assert.deepEqual(shown(machines), {
    base: ['left', 'right', 'top'],
    left: ['top'],
    right: ['top'],
    top: [],
    self: [],
  });
});

test('whatever the definitions say, every machine gets its turn', () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  const after = fc.subarray(names);
  fc.assert(
    fc.property(fc.tuple(...names.map(() => after)), (all) => {
      const order = endsBefore(names.map((name, index) => ({ name, after: all[index] ?? [] })));
      const ended = new Set<string>();
      for (let more = true; more;) {
        const free = names.filter(
          (name) => !ended.has(name) && [...(order.get(name) ?? [])].every((other) => ended.has(other)),
        );
        for (const name of free) ended.add(name);
        more = free.length > 0;
      }
      assert.equal(ended.size, names.length);
    }),
  );
});
