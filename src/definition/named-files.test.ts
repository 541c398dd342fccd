import assert from 'node:assert/strict';
import { test } from 'node:test';
import { filesOf } from './named-files.ts';
import { parseDefinition } from './parse.ts';
import { accessOfKey, writtenFiles } from './written-files.ts';

const source = `name: a
boot: {kernel: /i/k, initrd: /i/r}
disks:
  - {id: one, path: /i/1, format: qcow2, backing: [{path: /i/base, format: raw}]}
  - {id: two, path: /i/2, format: qcow2, readonly: true, backing: [{path: /i/base, format: raw}]}
cdroms: [{id: c, path: /i/c}, {id: empty}]
`;

test('every file once, with the widest access', () => {
  const parsed = parseDefinition(source);
  assert.ok(parsed.ok);
  assert.deepEqual(filesOf(parsed.definition), [
    { path: '/i/k', access: 'ro' },
    { path: '/i/r', access: 'ro' },
    { path: '/i/1', access: 'rw' },
    { path: '/i/base', access: 'ro' },
    { path: '/i/2', access: 'ro' },
    { path: '/i/c', access: 'ro' },
  ]);
});

test('the files of a text are those of its definition', () => {
  const parsed = parseDefinition(source);
  assert.ok(parsed.ok);
  const files = filesOf(parsed.definition);
  assert.deepEqual(writtenFiles(source), { name: 'a', files, readonlyDisks: ['two'] });
});

test('a text that can be read in two ways, or has no name, names nothing', () => {
  for (const text of [
    'disks: [{id: a, path: /x}]',
    'name: a\nname: b\ndisks: [{id: a, path: /x}]',
    'name: a\nx: &y /x\ndisks: [{id: a, path: *y}]',
    'name: a\ndisks: [{id: a, path: /x}',
    '',
    '[]',
  ])
    assert.equal(writtenFiles(text), undefined, text);
});

test('what is no path of a file is left out', () => {
  assert.deepEqual(writtenFiles('name: a\ndisks: [1, {id: a}, {path: 3}]\ncdroms: x\nboot: []')?.files, []);
});

test('keys whose values are paths', () => {
  const keys = [
    'disks.root.path',
    'cdroms.install.path',
    'boot.kernel',
    'boot.initrd',
    'boot.cmdline',
    'name',
  ];
  assert.deepEqual(keys.map(accessOfKey), ['rw', 'ro', 'ro', 'ro', undefined, undefined]);
});
