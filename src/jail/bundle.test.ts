import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import type { LaunchRequest } from '../protocol/launch.ts';
import { compileBundle, sharesOf, type JailSite } from './bundle.ts';

const golden = new URL('../../test/golden/jail/', import.meta.url);
const site: JailSite = {
  uid: 1_879_048_192,
  gid: 1_879_048_192,
  rootDirectory: '/run/qward/broker/roots/0123',
  cgroup: '/qward/web1',
  cgroups: 'v2',
  deviceNumbers: { '/dev/kvm': { type: 'c', major: 10, minor: 232 } },
};
const launch: LaunchRequest = {
  machine: 'web1',
  binary: '/usr/bin/qemu-system-x86_64',
  argv: ['-nodefaults', '-S'],
  env: { LANG: 'C' },
  descriptors: [{ kind: 'socket', name: 'qmp' }],
  devices: [],
  root: [
    {
      source: '/usr/lib/x86_64-linux-gnu/libpixman-1.so.0.42.2',
      target: '/usr/lib/x86_64-linux-gnu/libpixman-1.so.0',
    },
  ],
  limits: {
    memory: 1 << 30,
    pids: 90,
    cpuWeight: 100,
    cpuQuota: 150_000,
    ioWeight: 50,
    openFiles: 256,
    fileSize: 1 << 34,
  },
  program: 'qemu',
};

/** Everything but the filter, which has tests of its own. */
function compiled(request: LaunchRequest, where: JailSite): string {
  const config = compileBundle(request, where);
  return `${JSON.stringify({ ...config, linux: { ...config.linux, seccomp: '(resources/seccomp/qemu.json)' } }, null, 2)}\n`;
}

for (const [name, request, where] of [
  ['tcg-v2', launch, site],
  ['kvm-v1', { ...launch, devices: ['/dev/kvm'] }, { ...site, cgroups: 'v1' }],
] as const) {
  test(`bundle of ${name} is the golden one`, () => {
    const file = new URL(`${name}.json`, golden);
    const found = compiled(request, where);
    if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(file, found);
    assert.equal(found, readFileSync(file, 'utf8'));
  });
}

test('whatever a machine asks for, it has no capability, no group and six namespaces', () => {
  const config = compileBundle({ ...launch, devices: ['/dev/kvm'] }, site);
  assert.deepEqual(Object.values(config.process.capabilities), [[], [], [], [], []]);
  assert.deepEqual(config.process.user.additionalGids, []);
  assert.equal(config.process.noNewPrivileges, true);
  assert.equal(config.linux.namespaces.length, 6);
  assert.ok(
    config.mounts.filter(({ type }) => type === 'bind').every(({ options }) => options.includes('ro')),
  );
});

test('weights of v2 go through shares and come back', () => {
  // The runtimes' own conversion (runc, libcontainer/cgroups: ConvertCPUSharesToCgroupV2Value).
  const back = (shares: number): number => 1 + Math.floor(((shares - 2) * 9999) / 262_142);
  for (const weight of [1, 50, 100, 1000, 10_000])
    assert.ok(Math.abs(back(sharesOf(weight)) - weight) <= 1, `${weight}`);
});

test('of a scope systemd knows every limit itself, since it sets them all with each daemon-reload', () => {
  const { linux, annotations } = compileBundle(launch, { ...site, cgroup: 'qward.slice:qward:web1' });
  assert.equal(linux.cgroupsPath, 'qward.slice:qward:web1');
  assert.deepEqual(annotations, {
    'run.oci.systemd.subgroup': '',
    'org.systemd.property.MemoryMax': 'uint64 1073741824',
    'org.systemd.property.TasksMax': 'uint64 90',
    'org.systemd.property.CPUWeight': 'uint64 100',
    'org.systemd.property.CPUQuotaPerSecUSec': 'uint64 1500000',
    'org.systemd.property.IOWeight': 'uint64 50',
  });
  assert.equal(compileBundle(launch, site).annotations, undefined);
});
