import assert from 'node:assert/strict';
import { test } from 'node:test';
import { orderOf, type Order, type Wish } from './order.ts';

const none: ReadonlySet<string> = new Set();

/** `'web: db cache'`. */
function wishes(...lines: readonly string[]): readonly Wish[] {
  return lines.map((line) => {
    const [name = '', after = ''] = line.split(':');
    return { name, after: after.split(' ').filter(Boolean) };
  });
}

const texts = ({ held }: Order): Record<string, string> =>
  Object.fromEntries([...held].map(([name, { text }]) => [name, text]));
const startable = ({ steps }: Order): readonly string[] => steps.map(({ name }) => name);

function order(lines: readonly string[], { defined = [] as string[], running = [] as string[] } = {}): Order {
  const list = wishes(...lines);
  const names = [...list.map(({ name }) => name), ...defined, ...running];
  return orderOf(list, { defined: new Set(names), running: new Set(running) });
}

test('a chain starts in any order of the list', () => {
  const made = order(['c: b', 'b: a', 'a']);
  assert.deepEqual([startable(made), texts(made)], [['c', 'b', 'a'], {}]);
});

test('a cycle is named from each machine on it, and holds those behind it', () => {
  const made = order(['a: b', 'b: c', 'c: a', 'd: b', 'e: d', 'f']);
  assert.deepEqual(startable(made), ['f']);
  assert.deepEqual(texts(made), {
    a: 'it comes after itself: a after b after c after a',
    b: 'it comes after itself: b after c after a after b',
    c: 'it comes after itself: c after a after b after c',
    d: 'it comes after b, which was not started either: it comes after itself: b after c after a after b',
    e: 'it comes after d, which was not started either: it comes after itself: b after c after a after b',
  });
});

test('a machine that comes after itself is a cycle of one', () => {
  assert.deepEqual(texts(order(['a: a'])), { a: 'it comes after itself: a after a' });
});

test('what is not there, and what nobody starts, holds who comes after it', () => {
  const made = order(['web: db', 'app: web', 'mail: nothing', 'other'], { defined: ['db'] });
  assert.deepEqual(startable(made), ['other']);
  assert.deepEqual(texts(made), {
    web: 'it comes after db, which does not start with the host (`qward autostart on db`) and does not run',
    mail: 'it comes after nothing, which is not defined',
    app: 'it comes after web, which was not started either: it comes after db, which does not start with the host (`qward autostart on db`) and does not run',
  });
});

test('what runs without being enabled is waited for, and not started', () => {
  const made = order(['web: db'], { running: ['db', 'other'] });
  assert.deepEqual(made.steps, [
    { name: 'db', after: [], enabled: false },
    { name: 'web', after: ['db'], enabled: true },
  ]);
});

test('a reason for those who do not see all machines names only what the definition does', () => {
  const { held } = order(['web: db', 'db: secret']);
  const web = held.get('web');
  assert.equal(web?.plain, 'it comes after db, which is not ready');
  assert.deepEqual(web?.about, ['db', 'secret']);
  assert.equal(held.get('db')?.plain, 'it comes after secret, which is not ready');
});

test('a long chain, and one that ends in a cycle, need neither depth nor long', () => {
  const length = 5000;
  const chain = (last: string): readonly Wish[] =>
    Array.from({ length }, (_, index) => ({
      name: `m${index}`,
      after: [index + 1 < length ? `m${index + 1}` : last],
    }));
  const begun = performance.now();
  assert.equal(orderOf(chain('nothing'), { defined: none, running: none }).held.size, length);
  const looped = orderOf([...chain('x'), ...wishes('x: y', 'y: x')], { defined: none, running: none });
  assert.equal(looped.steps.length, 0);
  assert.ok(performance.now() - begun < 5000);
});
