import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overlaps } from './slots.ts';

const range = { base: 200_000, count: 100 };
const files =
  (content: Readonly<Record<string, string>>) =>
  (path: string): string =>
    content[path] ?? '';

test('a range that is alone has no overlaps', () => {
  const read = files({
    '/etc/passwd': 'root:x:0:0::/root:/bin/sh\na:x:199999:199999::/:\n',
    '/etc/subuid': 'a:100000:100000\nb:200100:65536\n',
  });
  assert.deepEqual(overlaps(range, read), []);
});

test('accounts, groups and subordinate ids in the range are each named', () => {
  const read = files({
    '/etc/passwd': 'eve:x:200099:1::/:\n',
    '/etc/group': 'devs:x:200000:\n',
    '/etc/subuid': '# comment\na:100000:100001\n',
    '/etc/subgid': 'b:200050:10\n',
  });
  assert.deepEqual(overlaps(range, read), [
    'account "eve" (200099) in /etc/passwd',
    'group "devs" (200000) in /etc/group',
    'subordinate ids of "a" (100000:100001) in /etc/subuid',
    'subordinate ids of "b" (200050:10) in /etc/subgid',
  ]);
});

test('the account that claims the range for qward is no overlap', () => {
  const read = files({
    '/etc/passwd': 'qward-machines:x:200000:200000::/:\n',
    '/etc/subuid': 'qward-machines:200000:100\n',
  });
  assert.deepEqual(overlaps(range, read), []);
});
