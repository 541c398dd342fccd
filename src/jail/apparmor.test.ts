import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HiddenProfiles, labelFor, labelsIn, loaded, profilesOf } from './apparmor.ts';

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

test('profiles that are hidden from root are not taken for a host without AppArmor', () => {
  const failing = (code: string) => (): string => {
    throw Object.assign(new Error(code), { code });
  };
  assert.equal(loaded(failing('ENOENT'), true), undefined);
  for (const code of ['EACCES', 'EPERM']) {
    assert.throws(
      () => loaded(failing(code), true),
      (error) => error instanceof HiddenProfiles && error.message.includes(code),
    );
    assert.equal(loaded(failing(code), false), undefined);
  }
});

test('a machine that is given more has the profile for it, and one that names a profile that', () => {
  assert.deepEqual(profilesOf({ program: 'qemu', devices: ['/dev/kvm'] }), []);
  assert.deepEqual(profilesOf({ program: 'qemu', devices: ['/dev/foo'] }), ['qward-qemu-relaxed']);
  const relaxed = [{ relax: 'capability', to: 'sys_rawio' }] as const;
  assert.deepEqual(profilesOf({ program: 'qemu', devices: [], relaxed }), ['qward-qemu-relaxed']);
  assert.deepEqual(
    profilesOf({ program: 'qemu', devices: [], relaxed: [...relaxed, { relax: 'apparmor', to: 'mine' }] }),
    ['mine'],
  );
  assert.equal(labelFor('qemu', profiles, ['unconfined']), 'unconfined');
  assert.equal(labelFor('qemu', 'mine (enforce)\n', ['mine']), 'mine (enforce)');
  assert.equal(labelFor('qemu', undefined, ['mine']), undefined);
});
