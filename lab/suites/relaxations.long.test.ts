/**
 * Relaxations on a real host: raw SCSI commands to a device that the kernel keeps for CAP_SYS_RAWIO, AppArmor's profiles, and
 * the audit of what gave way with cgroup v2.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { file } from '../../test/support/cpio.ts';
import { buildDemoGuest } from '../../test/support/demo-guest.ts';
import { addToInitrd, librariesOf } from '../../test/support/guest-initrd.ts';
import { drillChanges, drilled } from '../drill.ts';
import { installedHost } from '../suite-host.ts';

/** WRITE BUFFER, which downloads firmware: nobody without CAP_SYS_RAWIO may give it to a disk (drivers/scsi/scsi_ioctl.c). */
const rawCommand = (device: string): string =>
  `head -c 512 /dev/zero | sg_write_buffer --mode=5 --length=512 --read-stdin ${device}`;

const host = await installedHost({
  bring: (directory) => {
    const binary = '/usr/bin/sg_write_buffer';
    addToInitrd(buildDemoGuest(), join(directory, 'initrd.cpio'), [
      file('bin/sg_write_buffer', readFileSync(binary), 0o755),
      file('sbin/raw-command', Buffer.from(`#!/bin/sh\n${rawCommand('/dev/sda')}\n`), 0o755),
      ...librariesOf(binary),
    ]);
    return Promise.resolve();
  },
});
let disk = '';
test('a device of scsi_debug, and a policy that gives it', async () => {
  disk = (
    await host.demand(`modprobe scsi_debug dev_size_mb=64 lbpu=1 lbprz=1
udevadm settle
lsblk -dnro PATH,MODEL | awk '$2 == "scsi_debug" { print $1 }'`)
  ).trim();
  assert.match(disk, /^\/dev\/sd[a-z]$/);
  const lines = [
    { relax: 'capability', to: 'sys_rawio', machines: ['raw'] },
    { relax: 'capability', to: 'net_raw', machines: ['sniffer'] },
    { relax: 'apparmor', to: 'unconfined', machines: ['open', 'unlabelled'] },
    { relax: 'device-cgroup', to: 'off', machines: ['open'] },
    { relax: 'seccomp', to: 'qemu', machines: ['open'] },
    { relax: 'namespace', to: 'net', machines: ['open'] },
  ];
  await host.demand(`sed -i -e 's|"relaxations": \\[\\]|"relaxations": ${JSON.stringify(lines)}|' \\
  -e 's|"blockDevices": \\[\\]|"blockDevices": [{ "path": "${disk}", "access": "rw", "rawio": true }]|' /etc/qward/policy.json
qward policy check`);
});

const define = (name: string, more: string): string => `qward define - <<'END'
name: ${name}
accel: tcg
memory: 128MiB
boot: {kernel: /var/lib/qward/images/vmlinuz, initrd: /var/lib/qward/images/initrd.cpio, cmdline: console=ttyS0 qward.raw-command}
${more}
END`;
const pidOf = (name: string): string =>
  `$(qward status ${name} --json | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' | head -n 1)`;

test('the command needs the capability on this host: without it the kernel refuses, with it alone it does not', async () => {
  await host.demand(`chown nobody ${disk}`);
  const as = `setpriv --reuid 65534 --regid 65534 --clear-groups`;
  const command = `sh -c "${rawCommand(disk)}"`;
  const without = await host.run(`${as} --inh-caps=-all --bounding-set=-all ${command}`);
  assert.notEqual(without.status, 0, without.output);
  assert.match(without.output, /not permitted/);
  await host.demand(`${as} --inh-caps=-all,+sys_rawio --ambient-caps=-all,+sys_rawio ${command}`);
  await host.demand(`chown root ${disk}`);
});

test("a guest's command reaches the device, and QEMU has that capability in all five sets and no other", async () => {
  await host.demand(define('raw', `disks: [{id: tape, path: ${disk}, format: raw, bus: scsi, rawio: true}]`));
  await host.demand('qward start raw', 180_000);
  const status = await host.demand(`cat /proc/${pidOf('raw')}/status`);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\t0000000000020000$`, 'm'));
  assert.equal(await host.demand('getcap /usr/bin/qemu-system-x86_64 2>/dev/null || true'), '');
  assert.match(await host.demand('qward audit raw'), /qward-qemu-relaxed \(enforce\)/);
  await host.demand(
    `for i in $(seq 120); do qward console --log raw | grep -q "qward-demo: raw command" && break; sleep 2; done
qward console --log raw | grep "qward-demo: raw command done"`,
    400_000,
  );
  await host.demand('qward kill raw');
  assert.equal((await host.demand('dmesg | grep \'apparmor="DENIED"\' | grep qward || true')).trim(), '');
});

test('another machine gets neither the capability nor, with it, a device without the word for it', async () => {
  const thief = await host.run(
    `${define('thief', `disks: [{id: tape, path: ${disk}, format: raw, bus: scsi, rawio: true}]`)}
qward start thief`,
  );
  assert.notEqual(thief.status, 0);
  assert.match(
    thief.output,
    /relaxation "capability sys_rawio" is not one that the policy gives machine "thief"/,
  );
  await host.demand(`sed -i 's|, "rawio": true||' /etc/qward/policy.json`);
  const again = await host.run('qward start raw');
  assert.notEqual(again.status, 0);
  assert.match(again.output, /not a block device that the policy gives for raw commands/);
});

test('walls that gave way are audited with cgroup v2 and AppArmor as they were asked for', async () => {
  await host.demand(
    define(
      'open',
      'confinement: {apparmor: unconfined, deviceCgroup: "off", seccomp: qemu, namespaces: {net: host}}',
    ),
  );
  await host.demand('qward start open', 180_000);
  assert.equal((await host.demand(`cat /proc/${pidOf('open')}/attr/current`)).trim(), 'unconfined');
  const audit = await host.demand('qward audit open');
  assert.match(audit, /unconfined/);
  await host.demand('qward kill open');
});

test('the drill of a machine without a profile of AppArmor, and of one with vsock, is that of one with neither', async () => {
  await host.demand(`modprobe vhost_vsock
sed -i 's|"devices": \\[|"devices": ["/dev/vhost-vsock", |' /etc/qward/policy.json
qward policy check`);
  await host.demand(
    [
      define('plain', ''),
      define('unlabelled', 'confinement: {apparmor: unconfined}'),
      define('phone', 'vsock: {cid: 33}'),
    ].join('\n'),
  );
  const plain = await drilled(host, 'plain');
  // Some probes need a disk.
  assert.ok(plain.size > 60, `${plain.size} probes`);
  assert.deepEqual([...new Set(plain.values())], ['blocked']);
  for (const name of ['unlabelled', 'phone'])
    assert.deepEqual(drillChanges(plain, await drilled(host, name)), [], name);
  await host.demand('qward start phone && qward audit phone && qward kill phone', 180_000);
});

test('a capability that the unit takes from the broker is refused by name, and the drop-in of the message gives it', async () => {
  await host.demand(define('sniffer', 'confinement: {capabilities: [net_raw]}'));
  const refused = await host.run('qward start sniffer');
  assert.notEqual(refused.status, 0);
  assert.match(refused.output, /"sniffer" is to have CAP_NET_RAW, which the broker cannot give/);
  assert.match(await host.demand('qward doctor || true'), /degraded +capabilities +.*CAP_NET_RAW/);
  const [, path = '', ...lines] =
    /make (\S+) with the lines "(.*?)" and "(.*?)"; then/.exec(refused.output.replaceAll(/\s+/g, ' ')) ?? [];
  await host.demand(`mkdir -p $(dirname ${path}) && printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} > ${path}
systemctl daemon-reload && systemctl restart qward-broker`);
  await host.demand('qward start sniffer', 180_000);
  const status = await host.demand(`cat /proc/${pidOf('sniffer')}/status`);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\t0000000000002000$`, 'm'));
  assert.match(await host.demand('qward doctor || true'), /ok +capabilities +.*net_raw/);
  await host.demand('qward audit sniffer && qward kill sniffer');
});
