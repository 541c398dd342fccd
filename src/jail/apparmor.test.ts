import assert from 'node:assert/strict';
import { test } from 'node:test';
import { labelFor, labelsIn } from './apparmor.ts';

const profiles = 'man_filter (enforce)\nqward-qemu (enforce)\nqward-qemu-img (complain)\n';

test('a loaded profile gives the label that its process must have, whatever its mode', () => {
  assert.equal(labelFor('qemu', profiles), 'qward-qemu (enforce)');
  assert.equal(labelFor('drill', profiles), 'qward-qemu (enforce)');
  assert.equal(labelFor('qemu-img', profiles), 'qward-qemu-img (enforce)');
});

test('a profile that is not loaded is told from a host without AppArmor', () => {
  assert.equal(labelFor('hook', profiles), '');
  // Another profile whose name begins like it is not it.
  assert.equal(labelFor('qemu', 'qward-qemu-img (enforce)\n'), '');
});

test('the OCI configuration names the profile, and none where there is none', () => {
  assert.deepEqual(labelsIn({}, 'qward-qemu (enforce)'), { apparmorProfile: 'qward-qemu' });
  assert.deepEqual(labelsIn({}, ''), {});
  assert.deepEqual(labelsIn({}, undefined), {});
});
