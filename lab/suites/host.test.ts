/** The lab's host itself: it has what the other suites stand on. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { LabHost } from '../host.ts';
import { labImage } from '../image.ts';

const host = LabHost.create(await labImage((line) => console.log(line)));
before(() => host.boot());
after(() => host[Symbol.asyncDispose]());

test('systemd is up, and nothing of the boot failed', async () => {
  assert.equal((await host.run('systemctl is-system-running --wait')).output.trim(), 'running');
});

test('cgroup v2 is the only hierarchy, with every controller', async () => {
  const mounts = await host.demand('findmnt --noheadings --output FSTYPE,TARGET --types cgroup,cgroup2');
  assert.equal(mounts.trim().replace(/\s+/g, ' '), 'cgroup2 /sys/fs/cgroup');
  const controllers = (await host.demand('cat /sys/fs/cgroup/cgroup.controllers')).trim().split(' ');
  for (const name of ['cpu', 'io', 'memory', 'pids']) assert.ok(controllers.includes(name), name);
});

test('AppArmor is on, and there is an IOMMU', async () => {
  assert.equal((await host.run('aa-enabled --quiet')).status, 0);
  assert.notEqual((await host.demand('ls /sys/kernel/iommu_groups')).trim(), '');
});

test('crun runs a program in a container of its own', async () => {
  const output = await host.demand(
    [
      'mkdir -p /run/trial/root/bin && cd /run/trial && cp /bin/busybox root/bin/ && crun spec',
      `sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"\\/bin\\/busybox", "id", "-u"/' config.json`,
      `sed -i 's/"path": "rootfs"/"path": "root"/' config.json`,
      'crun run trial && rm -r /run/trial',
    ].join('\n'),
  );
  assert.equal(output.trim(), '0');
});

test('it shuts down in an orderly way and boots again with what was written', async () => {
  await host.demand('echo kept > /root/kept');
  assert.ok((await host.powerOff()) < 60_000);
  await host.boot();
  assert.equal((await host.demand('cat /root/kept')).trim(), 'kept');
});
