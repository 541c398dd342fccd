import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requiredFiles } from './required-files.ts';
import { definitionOf } from './sample-facts.ts';

test('every file once, with the widest access, and the variable store with UEFI', () => {
  const definition = definitionOf(`name: a
firmware: uefi
boot: {kernel: /i/k, initrd: /i/r}
disks:
  - {id: one, path: /i/1, format: qcow2, backing: [{path: /i/base, format: raw}]}
  - {id: two, path: /i/2, format: qcow2, readonly: true, backing: [{path: /i/base, format: raw}]}
cdroms: [{id: c, path: /i/c}, {id: empty}]`);
  assert.deepEqual(requiredFiles(definition, '/vars'), [
    { path: '/i/k', access: 'ro' },
    { path: '/i/r', access: 'ro' },
    { path: '/i/1', access: 'rw' },
    { path: '/i/base', access: 'ro' },
    { path: '/i/2', access: 'ro' },
    { path: '/i/c', access: 'ro' },
    { path: '/vars/a.qcow2', access: 'rw' },
  ]);
});
