/** Control files of cgroups on hosts with v1, v2 and both. */
import assert from 'node:assert/strict';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { addressOf, syscall } from '../../src/linux/libc.ts';
import { countDevicePrograms } from '../../src/linux/process-facts-bpf.ts';
import { readCgroupFiles } from '../../src/linux/process-facts-cgroup.ts';

function tree(context: TestContext, files: Readonly<Record<string, string>>): string {
  const top = mkdtempSync(join(tmpdir(), 'qward-cgroup-'));
  context.after(() => rmSync(top, { recursive: true, force: true }));
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(top, path)), { recursive: true });
    writeFileSync(join(top, path), `${text}\n`);
  }
  return top;
}

const mount = (point: string, type: string, options: string, root = '/'): string =>
  `31 23 0:28 ${root} ${point} rw,relatime - ${type} ${type} ${options}\n`;

test('on v2 all files are in one hierarchy', (context) => {
  const top = tree(context, {
    'qward/web1/pids.max': '100',
    'qward/web1/memory.max': 'max',
    'qward/pids.max': '9',
  });
  const { cgroupFiles } = readCgroupFiles('0::/qward/web1\n', mount(top, 'cgroup2', 'rw,nsdelegate'));
  assert.deepEqual(cgroupFiles, { 'pids.max': '100', 'memory.max': 'max' });
});

test('on v1 each controller has its hierarchy, some share one, and names do not count', (context) => {
  const top = tree(context, {
    'pids/web1/pids.max': '100',
    'cpu,cpuacct/web1/cpu.shares': '1024',
    'devices/web1/devices.list': 'c 1:3 rwm\nc 1:5 rwm',
    'systemd/web1/pids.max': '1',
  });
  const mounts = [
    mount(`${top}/systemd`, 'cgroup', 'rw,name=systemd'),
    mount(`${top}/pids`, 'cgroup', 'rw,pids'),
    mount(`${top}/cpu,cpuacct`, 'cgroup', 'rw,cpu,cpuacct'),
    mount(`${top}/devices`, 'cgroup', 'rw,devices'),
  ].join('');
  const cgroup = '4:devices:/web1\n3:cpu,cpuacct:/web1\n2:pids:/web1\n1:name=systemd:/web1\n';
  const { cgroupFiles, devicePrograms } = readCgroupFiles(cgroup, mounts);
  assert.deepEqual(cgroupFiles, {
    'pids.max': '100',
    'cpu.shares': '1024',
    'devices.list': 'c 1:3 rwm\nc 1:5 rwm',
  });
  assert.equal(devicePrograms, null);
});

test('on a host with both, the files of both are found', (context) => {
  const top = tree(context, { 'pids/web1/pids.max': '100', 'unified/web1/memory.max': '7' });
  const mounts = `${mount(`${top}/pids`, 'cgroup', 'rw,pids')}${mount(`${top}/unified`, 'cgroup2', 'rw')}`;
  const { cgroupFiles } = readCgroupFiles('1:pids:/web1\n0::/web1\n', mounts);
  assert.deepEqual(cgroupFiles, { 'pids.max': '100', 'memory.max': '7' });
});

test('a hierarchy mounted from below its top is followed, and what lies outside is not reached', (context) => {
  const top = tree(context, { 'web1/pids.max': '100', 'pids.max': '5' });
  const mounts = mount(top, 'cgroup2', 'rw', '/container');
  assert.deepEqual(readCgroupFiles('0::/container/web1\n', mounts).cgroupFiles, { 'pids.max': '100' });
  assert.deepEqual(readCgroupFiles('0::/other/web1\n', mounts).cgroupFiles, {});
  assert.deepEqual(readCgroupFiles('0::/../container/web1\n', mounts).cgroupFiles, {});
});

test('a device program on a v2 cgroup is counted', (context) => {
  const point = /^\S+ \S+ \S+ \/ (\S+) .* - cgroup2 /m.exec(
    readFileSync('/proc/self/mountinfo', 'utf8'),
  )?.[1];
  if (point === undefined) return context.skip('this host has no cgroup v2');
  const directory = `${point}/qward-facts-${process.pid}`;
  mkdirSync(directory);
  context.after(() => rmdirSync(directory));
  const before = countDevicePrograms(directory) ?? assert.fail('the kernel does not tell');
  attachDeviceProgram(directory);
  assert.equal(countDevicePrograms(directory), before + 1);
  assert.equal(countDevicePrograms('/proc'), null);
});

/** BPF_PROG_LOAD (5) of "allow all" as a cgroup-device program (15), and BPF_PROG_ATTACH (8); gone with the cgroup. */
function attachDeviceProgram(directory: string): void {
  // mov r0, 1; exit
  const program = Buffer.from([0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0]);
  const licence = Buffer.from('GPL\0');
  const load = Buffer.alloc(72);
  load.writeUInt32LE(15, 0);
  load.writeUInt32LE(2, 4);
  load.writeBigUInt64LE(addressOf(program), 8);
  load.writeBigUInt64LE(addressOf(licence), 16);
  const loaded = Number(syscall(321, [5, addressOf(load), load.length]));
  assert.ok(loaded >= 0 && licence.length === 4, 'the kernel loads the program');
  const cgroup = openSync(directory, 'r');
  const attach = Buffer.alloc(16);
  attach.writeUInt32LE(cgroup, 0);
  attach.writeUInt32LE(loaded, 4);
  attach.writeUInt32LE(6, 8);
  const attached = syscall(321, [8, addressOf(attach), attach.length]);
  closeSync(cgroup);
  closeSync(loaded);
  assert.equal(attached, 0n);
}
