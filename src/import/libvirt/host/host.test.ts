import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDefinition } from '../../../definition/parse.ts';
import { readNetwork } from './host-network.ts';
import { policyLines } from './policy-lines.ts';
import { readQemuConf, relaxationsOfHost } from './qemu-conf.ts';

test('a qemu.conf that only has comments relaxes nothing', () => {
  const conf = readQemuConf(
    '# user = "root"\n  # seccomp_sandbox = 0\n#cgroup_device_acl = [\n#  "/dev/foo"\n#]\n',
  );
  assert.deepEqual([...conf], []);
  assert.deepEqual(relaxationsOfHost(conf), []);
});

test('each setting that relaxes all machines is said as the lines for one', () => {
  const conf = readQemuConf(
    'user = "+107"\nsecurity_driver = [ "none" ]\nnamespaces = [ ]\nseccomp_sandbox = 0\n' +
      'cgroup_controllers = [ "cpu", "memory" ]\ncgroup_device_acl = [\n  "/dev/null", # usual\n  "/dev/foo"\n]\n',
  );
  assert.deepEqual(
    relaxationsOfHost(conf).map(({ definition }) => definition),
    [
      'confinement: {user: 107}',
      'confinement: {selinux: none} or {apparmor: unconfined}',
      'confinement: {seccomp: off}',
      'confinement: {devices: [/dev/…]}',
      'confinement: {deviceCgroup: off}',
      'confinement: {devices: [/dev/foo]}',
    ],
  );
});

test('a network is its bridge, and hostile XML is none', () => {
  assert.deepEqual(
    readNetwork("<network><name>a</name><forward mode='nat'/><bridge name='virbr0'/></network>"),
    {
      name: 'a',
      bridge: 'virbr0',
      made: true,
    },
  );
  assert.equal(readNetwork("<network><name>a</name><forward mode='bridge'/></network>")?.bridge, undefined);
  assert.equal(readNetwork('<!DOCTYPE network><network/>'), undefined);
  assert.equal(readNetwork('<domain/>'), undefined);
});

test('the policy needs a root for each directory, the block devices, the bridges, and a line for each device of the host', () => {
  const parsed = parseDefinition(
    'name: a\ndisks:\n  - {id: a, path: /srv/a.img, format: raw}\n  - {id: b, path: /dev/vg/b, format: raw}\n' +
      '  - {id: c, path: /var/lib/qward/images/c.img, format: raw}\ncdroms: [{id: d, path: /srv/iso/d.iso}]\n' +
      'nics: [{id: n, kind: bridge, bridge: br0}]\n' +
      'hostDevices: [{id: key, usb: "046d:c52b"}, {id: gpu, pci: "0000:65:00.0"}]\n',
  );
  assert.ok(parsed.ok);
  assert.deepEqual(policyLines([parsed.definition]), [
    '"storageRoots": [{ "path": "/srv", "access": "rw" }, { "path": "/srv/iso", "access": "ro" }, { "path": "/var/lib/qward/images", "access": "rw" }]',
    '"blockDevices": [{ "path": "/dev/vg/b", "access": "rw" }]',
    '"bridges": ["br0"]',
    '"relaxations": [{ "relax": "usb", "to": "046d:c52b", "machines": ["a"] }, { "relax": "pci", "to": "0000:65:00.0", "machines": ["a"] }]',
  ]);
});
