import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { LaunchRequest } from '../protocol/launch.ts';
import { compileBundle } from './bundle.ts';
import { compileRootless, type RootlessSite } from './rootless.ts';

const launch: LaunchRequest = {
  machine: 'web1',
  program: 'qemu',
  binary: '/usr/bin/qemu-system-x86_64',
  argv: ['-S'],
  env: {},
  descriptors: [],
  devices: ['/dev/kvm'],
  root: [],
  limits: {
    memory: 1 << 30,
    pids: 90,
    cpuWeight: 100,
    cpuQuota: null,
    ioWeight: 100,
    openFiles: 256,
    fileSize: 1 << 34,
  },
};
const bind = { destination: '/usr/bin/x', type: 'none', source: '/usr/bin/x', options: ['bind', 'ro'] };
const site: RootlessSite = {
  uid: 1000,
  gid: 100,
  rootDirectory: '/run/user/1000/qward/broker/bundles/web1/root',
  cgroup: '',
  cgroups: 'v2',
  deviceNumbers: { '/dev/kvm': { type: 'c', major: 10, minor: 232 } },
  mounts: [bind],
  threadLimit: true,
  ioWeights: true,
};

test('every wall of the system’s jail stands in the rootless one', () => {
  const [system, own] = [compileBundle(launch, site), compileRootless(launch, site)];
  assert.deepEqual(own.linux.seccomp, system.linux.seccomp);
  assert.deepEqual(own.process.capabilities, system.process.capabilities);
  assert.equal(own.process.noNewPrivileges, true);
  assert.equal(own.root.readonly, true);
  const types = own.linux.namespaces.map(({ type }) => type);
  assert.deepEqual(types, [...system.linux.namespaces.map(({ type }) => type), 'user']);
  for (const limit of system.process.rlimits)
    assert.ok(own.process.rlimits.some(({ type, hard }) => type === limit.type && hard === limit.hard));
});

test('its one uid and gid are the user’s, and threads are bounded by an rlimit', () => {
  const { process, linux } = compileRootless(launch, site);
  assert.deepEqual(linux.uidMappings, [{ containerID: 0, hostID: 1000, size: 1 }]);
  assert.deepEqual(linux.gidMappings, [{ containerID: 0, hostID: 100, size: 1 }]);
  assert.deepEqual(process.user, { uid: 0, gid: 0, additionalGids: [] });
  assert.deepEqual(process.rlimits.at(-1), { type: 'RLIMIT_NPROC', hard: 90, soft: 90 });
  const { process: older } = compileRootless(launch, { ...site, threadLimit: false });
  assert.equal(
    older.rlimits.some(({ type }) => type === 'RLIMIT_NPROC'),
    false,
  );
});

test('/dev, which would be its own, is read-only, and what the root shows is bound', () => {
  const { mounts } = compileRootless(launch, site);
  assert.ok(mounts.find(({ destination }) => destination === '/dev')?.options.includes('ro'));
  assert.deepEqual(mounts.at(-1), bind);
  const { linux } = compileRootless(launch, site);
  assert.deepEqual(linux.devices, []);
  assert.ok(mounts.some(({ destination, source }) => destination === '/dev/kvm' && source === '/dev/kvm'));
});

test('a weight of I/O is asked for where the user’s systemd may give one', () => {
  const weighed = { ...launch, limits: { ...launch.limits, ioWeight: 50 } };
  const scope = { ...site, cgroup: 'qward.slice:qward:web1' };
  const unifiedOf = (ioWeights: boolean): unknown =>
    compileRootless(weighed, { ...scope, ioWeights }).linux.resources['unified'];
  assert.deepEqual(unifiedOf(true), { 'cpu.weight': '100', 'io.weight': 'default 50' });
  assert.deepEqual(unifiedOf(false), { 'cpu.weight': '100' });
});

test('without a cgroup there is none in it, and with one the limits of the system’s', () => {
  const none = compileRootless(launch, site);
  assert.equal(none.linux.cgroupsPath, undefined);
  assert.deepEqual(Object.keys(none.linux.resources), ['devices']);
  const scope = { ...site, cgroup: 'qward.slice:qward:web1' };
  const own = compileRootless(launch, scope);
  assert.deepEqual(own.linux.resources, compileBundle(launch, scope).linux.resources);
  assert.equal(own.linux.cgroupsPath, scope.cgroup);
  assert.deepEqual(own.annotations, compileBundle(launch, scope).annotations);
});
