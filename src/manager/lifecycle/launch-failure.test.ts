import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainLaunchFailure, type FailedLaunch } from './launch-failure.ts';

const failed: FailedLaunch = {
  machine: 'web',
  log: [],
  end: { signal: null, exitCode: 1 },
  monitor: 'QEMU closed its monitor',
  lock: undefined,
  memoryLimit: 1024,
  memoryLimitHit: false,
};
test('a locked image is named, and the machine that has it', () => {
  const fault = explainLaunchFailure({ ...failed, lock: { path: '/srv/web.qcow2', holder: 'db' } });
  assert.equal(fault.code, 'image-locked');
  assert.equal(
    fault.message,
    'machine "web" was not started: image "/srv/web.qcow2" is in use by machine "db"',
  );
  assert.match(fault.hint, /qward stop db/);
});

test('an image that a stranger locks is said to be in foreign hands', () => {
  const fault = explainLaunchFailure({ ...failed, lock: { path: '/srv/web.qcow2', holder: undefined } });
  assert.match(fault.message, /not qward's/);
  assert.match(fault.hint, /fuser -v \/srv\/web.qcow2/);
});

test('of a lock that QEMU does not place, its own words are told', () => {
  const lock = { path: undefined, holder: undefined };
  const fault = explainLaunchFailure({ ...failed, log: ['qemu: Failed to get "write" lock'], lock });
  assert.match(fault.message, /an image is in use .*it said: Failed to get "write" lock/);
});

test('lack of memory and of threads is resources-short', () => {
  for (const line of [
    "qemu-system-x86_64: cannot set up guest memory 'ram': Cannot allocate memory",
    'qemu: qemu_thread_create: Resource temporarily unavailable',
  ])
    assert.equal(explainLaunchFailure({ ...failed, log: [line] }).code, 'resources-short', line);
});

test('a QEMU that the kernel killed for its memory is resources-short', () => {
  const fault = explainLaunchFailure({ ...failed, memoryLimitHit: true });
  assert.equal(fault.code, 'resources-short');
  assert.match(fault.message, /memory limit of 1024 bytes/);
});

test('a QEMU that somebody killed is not said to be short of memory', () => {
  const fault = explainLaunchFailure({ ...failed, end: { signal: 'SIGKILL', exitCode: null } });
  assert.equal(fault.code, 'qemu-refused');
  assert.match(fault.message, /QEMU was ended by SIGKILL/);
});

test("everything else gives QEMU's own words, cut", () => {
  const fault = explainLaunchFailure({ ...failed, log: ['qemu: no such thing', 'x'.repeat(5000)] });
  assert.equal(fault.code, 'qemu-refused');
  assert.match(fault.message, /no such thing/);
  assert.ok(fault.message.length < 2000);
});

test('a QEMU that said nothing is told by how it ended', () => {
  assert.match(explainLaunchFailure(failed).message, /status 1; it said nothing/);
});
