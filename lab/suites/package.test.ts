/** The Debian package on a host with systemd: installed, used with KVM and crun, at rest without root, purged. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { defineScript, installScript } from '../payload.ts';
import { suiteHost } from '../suite-host.ts';

const host = await suiteHost();

const accounts =
  "getent passwd | grep '^qward' || true; getent group | grep '^qward' || true; grep -h '^qward' /etc/subuid /etc/subgid || true";

test('it installs, its services are up, and nothing failed', async () => {
  await host.demand(installScript, 300_000);
  assert.equal((await host.run('systemctl is-system-running --wait')).output.trim(), 'running');
  const doctor = await host.demand('qward doctor', 120_000);
  assert.match(doctor, /OCI runtime\s+crun\n/);
  assert.match(doctor, /cgroups\s+v2\n/);
  assert.match(doctor, /AppArmor\s+qward-qemu \(enforce\)\n/);
  assert.match(doctor, /KVM\s+a test guest ran/);
  assert.match(doctor, /can give every mandatory wall/);
});

test('a machine starts under KVM with every wall', async () => {
  await host.demand(defineScript('web', 'kvm'));
  assert.match(await host.demand('qward start web', 120_000), /started/);
  await host.demand('qward audit web');
  assert.match(await host.demand('qward qmp web query-kvm'), /"enabled": true/);
  assert.match(await host.demand('qward audit web'), /device-cgroup +ok .*[1-9]\d* device program/);
  const pid = (
    await host.demand('qward status web --json | sed -n \'s/.*"pid": *\\([0-9]*\\).*/\\1/p\' | head -1')
  ).trim();
  const status = await host.demand(`cat /proc/${pid}/status`);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`${set}:\\s0+\\n`));
  assert.match(await host.demand(`cat /proc/${pid}/cgroup`), /^0::\/qward\.slice\/qward-web\.scope\n$/);
  const limits = await host.demand(
    'cd /sys/fs/cgroup/qward.slice/qward-web.scope && cat memory.max pids.max cpu.weight',
  );
  assert.match(limits, /^\d+\n\d+\n100\n$/);
  assert.match(await host.demand(`ls -ln /proc/${pid}/root/dev/kvm`), /^crw------- 1 (18790481\d\d) \1 /);
  assert.match(await host.demand('ls -l /dev/kvm'), /^crw-rw---- 1 root kvm /);
  await host.demand(
    'for i in $(seq 60); do qward console --log web | grep -q "qward-demo: ready" && exit 0; sleep 1; done; qward console --log web | tail -n 20; exit 1',
    120_000,
  );
});

test('at rest nothing of qward is root', async () => {
  const count = 'ps -eo user=,args= | awk \'$1 == "root" && $2 ~ /qward/\' | grep -v lab | wc -l';
  const wait = `for i in $(seq 70); do [ "$(${count})" = 0 ] && break; sleep 1; done; ${count}`;
  const found = Number((await host.demand(wait, 120_000)).trim());
  const results = join(import.meta.dirname, '../../bench/results');
  mkdirSync(results, { recursive: true });
  writeFileSync(
    join(results, 'lab.json'),
    JSON.stringify({ rootProcessesAtRest: found, at: new Date().toISOString() }),
  );
  assert.equal(found, 0, await host.demand('ps -eo user,pid,args'));
  // It is there again when it is needed.
  assert.match(await host.demand('qward audit web'), /web/);
});

test('the manager may be killed: the machine goes on and is taken over', async () => {
  const pidOf = 'qward list --json | tr -d " \\n" | sed -n \'s/.*"pid":\\([0-9]*\\).*/\\1/p\'';
  const before = (await host.demand(pidOf)).trim();
  await host.demand(
    'systemctl kill --signal=KILL qward-manager; for i in $(seq 30); do qward list >/dev/null 2>&1 && exit 0; sleep 1; done; exit 1',
  );
  assert.equal((await host.demand(pidOf)).trim(), before);
  assert.match(await host.demand('qward stop web', 120_000), /shut down/);
});

test('host status, down and up go by the units, and down leaves machines where it is told to', async () => {
  await host.demand('qward start web', 120_000);
  const pid = 'cat /sys/fs/cgroup/qward.slice/qward-web.scope/cgroup.procs';
  const before = (await host.demand(pid)).trim();
  assert.match(await host.demand('qward host status'), /^qward-manager\.service +active \(running\)$/m);
  await host.demand('qward host down --leave-machines', 120_000);
  const down = await host.run('qward host status');
  assert.equal(down.status, 1);
  assert.match(down.output, /^qward-manager\.socket +inactive \(dead\)$/m);
  assert.equal((await host.demand(pid)).trim(), before);
  await host.demand('qward host up --no-autostart && qward audit web', 120_000);
  assert.equal((await host.demand(pid)).trim(), before);
  await host.demand('qward host down', 120_000);
  assert.equal((await host.run(pid)).status, 1, 'its scope is gone');
  await host.demand('qward host up && qward host status', 120_000);
  assert.match(await host.demand('qward list'), /^web +stopped/m);
});

test('purge leaves the images and nothing else', async () => {
  await host.demand(
    'echo "# of the administrator" >/etc/apparmor.d/local/qward-swtpm\ndpkg --purge qward',
    300_000,
  );
  assert.equal((await host.demand(accounts)).trim(), '');
  assert.equal((await host.demand('ls -A /var/lib/qward')).trim(), 'images');
  assert.match(await host.demand('ls /var/lib/qward/images'), /web\.qcow2/);
  const left = await host.demand(
    'ls -d /etc/apparmor.d/local/qward-* /etc/systemd/user/*/qward* /var/lib/systemd/*/*qward* /run/qward /etc/qward /usr/lib/qward /var/cache/qward /sys/fs/cgroup/qward /sys/fs/cgroup/qward.slice 2>/dev/null || true; findmnt -rn | grep qward || true',
  );
  assert.equal(left.trim(), '');
  assert.equal((await host.run('systemctl is-system-running')).output.trim(), 'running');
});
