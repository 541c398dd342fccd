import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ValueFaults } from '../protocol/values.ts';
import { parseRequest } from './parse.ts';

const launch = {
  machine: 'web1',
  binary: '/usr/bin/qemu-system-x86_64',
  argv: ['-S'],
  env: { LANG: 'C' },
  descriptors: [{ kind: 'socket', name: 'qmp' }],
  devices: ['/dev/kvm'],
  root: [{ source: '/usr/lib/a', target: '/usr/lib/a' }],
  limits: { memory: 1, pids: 1, cpuWeight: 1, cpuQuota: null, ioWeight: 1, openFiles: 16, fileSize: 1 },
  program: 'qemu',
};
const parse = (value: unknown): unknown => parseRequest(Buffer.from(JSON.stringify(value)));
const refused = (value: unknown): void =>
  assert.throws(() => parse(value), ValueFaults, JSON.stringify(value));

test('well-formed requests come through unchanged', () => {
  for (const request of [
    { v: 1, call: 'status' },
    { v: 1, call: 'kill', machine: 'a' },
    { v: 1, call: 'history', log: 'claims', since: '2026-01-01T00:00:00.000Z', limit: 5000 },
    {
      v: 1,
      call: 'launch',
      launch: {
        ...launch,
        relaxed: [{ relax: 'seccomp', to: 'off' }],
        shown: [],
        pins: [{ thread: 'CPU 0/KVM', cpus: [0, 3] }],
      },
    },
  ]) {
    assert.deepEqual(parse(request), request);
  }
});

test('unknown calls, versions, fields and types are refused', () => {
  for (const request of [
    null,
    1,
    'status',
    [],
    {},
    { call: 'status' },
    { v: 2, call: 'status' },
    { v: 1, call: 'exec' },
    { v: 1, call: '__proto__' },
    { v: 1, call: 'constructor' },
    { v: 1, call: 'status', extra: 1 },
    { v: 1, call: 'kill' },
    { v: 1, call: 'history', log: 'broker', since: '2026-01-01T00:00:00.000Z', limit: 5001 },
    { v: 1, call: 'history', log: 'broker', since: '2'.repeat(33), limit: 1 },
    { v: 1, call: 'history', log: 'broker', since: 0, limit: 1 },
    { v: 1, call: 'history', log: '../slots', since: '2026', limit: 1 },
    { v: 1, call: 'history', since: '2026', limit: 1 },
    { v: 1, call: 'kill', machine: ['a'] },
    { v: 1, call: 'inspect-pid', pid: -1 },
    { v: 1, call: 'inspect-pid', pid: 1.5 },
    { v: 1, call: 'launch', launch: { ...launch, uid: 0 } },
  ])
    refused(request);
});

test('machine_rejects_structure: names that could be paths are refused', () => {
  for (const machine of [
    '',
    '..',
    'a/b',
    '../x',
    'A',
    'a.b',
    'a\0',
    'a\n',
    '-a',
    'a'.repeat(64),
    '1a',
    'Trial',
  ])
    refused({ v: 1, call: 'kill', machine });
});

test('every field of a launch is bounded', () => {
  for (const change of [
    { argv: ['a\0b'] },
    { argv: Array.from({ length: 3000 }, () => 'x') },
    { argv: ['x'.repeat(20_000)] },
    { env: { 'ld preload': 'x' } },
    { env: { A: 'x\ny' } },
    { descriptors: [{ kind: 'file', path: 'relative', access: 'ro', claimant: null, reopened: false }] },
    { descriptors: [{ kind: 'device', path: '/dev/sda' }] },
    { descriptors: [{ kind: 'socket', name: '../x' }] },
    { devices: ['/dev/shm/x'] },
    { shown: [{ kind: 'device', path: '/dev/sda', access: 'rw', claimant: null }] },
    { shown: [{ kind: 'file', path: 'x', access: 'rw', claimant: null }] },
    { shown: [{ kind: 'file', path: '/x', access: 'rwx', claimant: null }] },
    { shown: [{ kind: 'file', path: '/x', access: 'rw', claimant: 0 }] },
    { devices: ['/dev/../etc'] },
    { devices: ['/etc/shadow'] },
    { pins: [{ thread: 'a', cpus: [1024] }] },
    { pins: [{ thread: 'CPU 0;', cpus: [1] }] },
    { pins: Array.from({ length: 401 }, () => ({ thread: '', cpus: [1] })) },
    { relaxed: [{ relax: 'root', to: 'x' }] },
    { relaxed: [{ relax: 'user', to: 'a b' }] },
    { relaxed: [{ relax: 'user' }] },
    { relaxed: Array.from({ length: 129 }, () => ({ relax: 'seccomp', to: 'off' })) },
    { limits: { ...launch.limits, memory: -1 } },
    { limits: { ...launch.limits, pids: 1e9 } },
    { limits: { ...launch.limits, nproc: 1 } },
    { seccomp: 'off' },
    { root: [{ source: '/usr/a', target: '/usr/a', options: ['rw'] }] },
  ])
    refused({ v: 1, call: 'launch', launch: { ...launch, ...change } });
});

test('no bytes make the parser throw anything but ValueFaults', () => {
  const harmless = (body: Buffer): void => {
    try {
      parseRequest(body);
    } catch (error) {
      assert.ok(error instanceof ValueFaults);
    }
  };
  fc.assert(fc.property(fc.uint8Array(), (bytes) => harmless(Buffer.from(bytes))));
  fc.assert(fc.property(fc.json(), (text) => harmless(Buffer.from(text))));
});
