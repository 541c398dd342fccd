/**
 * A PCI device of the host in a machine, without root: bound for it, driven by a guest under KVM whose QEMU has no capability,
 * and with its own driver again after every kind of death.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drillChanges, drilled } from '../drill.ts';
import { installedHost } from '../suite-host.ts';

const host = await installedHost({ spareDisk: true });
const device = '0000:00:10.0';

const define = (name: string): string => `qward define - <<'END'
name: ${name}
accel: kvm
memory: 128MiB
hostDevices: [{id: disk, pci: "${device}", reason: a disk of its own}]
boot: {kernel: /var/lib/qward/images/vmlinuz, initrd: /var/lib/qward/images/initrd.cpio, cmdline: console=ttyS0 quiet panic=-1 qward.synced}
END`;
const given = `sed -i -e 's|"relaxations": .*|"relaxations": [{ "relax": "pci", "to": "${device}", "machines": ["store", "rival"] }],|' /etc/qward/policy.json
qward policy check`;
const pid = `$(qward status store --json | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' | head -n 1)`;
const driver = `basename "$(readlink /sys/bus/pci/devices/${device}/driver)"`;
const log = '/var/lib/qward/manager/console/store/*';
const untilSynced = `for i in $(seq 240); do grep -qs 'qward-demo: synced' ${log} && break; sleep 0.5; done
grep -q 'qward-demo: synced' ${log}`;
const untilBack = `for i in $(seq 60); do [ -b /dev/nvme0n1 ] && break; sleep 0.5; done; [ -b /dev/nvme0n1 ]`;

async function refused(script: string): Promise<string> {
  const { status, output } = await host.run(script, 180_000);
  assert.notEqual(status, 0, output);
  return output;
}

test('the host has the device, and no machine gets it without a line of the policy', async () => {
  await host.demand(untilBack);
  assert.equal((await host.demand(driver)).trim(), 'nvme');
  await host.demand(`modprobe vfio-pci\n${define('store')}`);
  assert.match(
    await refused('qward start store'),
    /relaxation "pci 0000:00:10.0" is not one that the policy gives machine "store"/,
  );
  assert.equal((await host.demand(driver)).trim(), 'nvme');
});

test('a device whose file system is mounted stays with the host', async () => {
  await host.demand(`${given}\nmkfs.ext4 -q /dev/nvme0n1 && mount /dev/nvme0n1 /mnt`);
  assert.match(await refused('qward start store'), /is in use: a file system is mounted at \/mnt/);
  assert.equal((await host.demand(driver)).trim(), 'nvme');
  await host.demand('umount /mnt');
});

test('the guest drives the device, and its QEMU has its own uid and no capability', async () => {
  await host.demand('qward start store', 240_000);
  await host.demand(untilSynced, 240_000);
  assert.equal((await host.demand(driver)).trim(), 'vfio-pci');
  await host.demand('[ ! -e /dev/nvme0n1 ]');
  const status = await host.demand(`cat /proc/${pid}/status`);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\t0000000000000000$`, 'm'));
  assert.match(status, /^Uid:\t(1879\d{6})\t\1\t\1\t\1$/m);
  // Nodes of the jail are the machine's; those of the host stay root's.
  const nodes = await host.demand(`ls -ln /proc/${pid}/root/dev/vfio; echo; ls -ln /dev/vfio`);
  assert.match(nodes, /^crw------- 1 (1879\d{6}) \1 .* vfio$/m);
  assert.match(nodes, /^crw------- 1 0 0 .* \d+$/m);
  const audit = await host.demand('qward audit store');
  assert.match(audit, /\/dev\/vfio\/vfio/);
  assert.match(await host.demand('qward list'), /^store +running \+/m);
  assert.match(await host.demand('qward status store'), /pci 0000:00:10\.0/);
  assert.match(await host.demand('qward explain store'), /0000:00:10\.0/);
});

test('another machine does not get it meanwhile', async () => {
  await host.demand(define('rival'));
  assert.match(await refused('qward start rival'), /which machine "store" has/);
  assert.equal((await host.demand(driver)).trim(), 'vfio-pci');
});

test('after QEMU was killed the host has its disk again, with all that the guest had synced', async () => {
  await host.demand(`kill -9 ${pid}\n${untilBack}`, 120_000);
  assert.equal((await host.demand(driver)).trim(), 'nvme');
  const said = Number(await host.demand(`grep -ho 'synced [0-9]*' ${log} | tail -n 1 | tr -dc 0-9`));
  const written = Number(await host.demand(`dd if=/dev/nvme0n1 bs=512 count=1 status=none | tr -dc 0-9`));
  assert.ok(said > 0 && written >= said, `${said} said, ${written} written`);
  assert.equal((await host.demand(`cat /sys/bus/pci/devices/${device}/driver_override`)).trim(), '(null)');
});

test('the drill of a machine that has it is that of one that has not, and the host has its disk again', async () => {
  await host.demand(define('plain').replace(/^hostDevices: .*\n/m, ''));
  const plain = await drilled(host, 'plain');
  // Some probes need a disk.
  assert.ok(plain.size > 60, `${plain.size} probes`);
  assert.deepEqual(drillChanges(plain, await drilled(host, 'store')), []);
  await host.demand(untilBack, 120_000);
  assert.equal((await host.demand(driver)).trim(), 'nvme');
});

test('so it has after manager, broker and QEMU were killed together', async () => {
  await host.demand(`rm -f ${log}; qward start store\n${untilSynced}`, 240_000);
  await host.demand(
    `kill -9 ${pid} $(systemctl show -p MainPID --value qward-manager) $(systemctl show -p MainPID --value qward-broker)
systemctl reset-failed; systemctl start qward-manager
${untilBack}`,
    180_000,
  );
  assert.equal((await host.demand(driver)).trim(), 'nvme');
});

test('what was with vfio-pci before, somebody else put there, and it stays', async () => {
  await host.demand(`echo vfio-pci > /sys/bus/pci/devices/${device}/driver_override
echo ${device} > /sys/bus/pci/devices/${device}/driver/unbind
echo ${device} > /sys/bus/pci/drivers_probe`);
  await host.demand('qward start store && qward kill store', 240_000);
  assert.equal((await host.demand(driver)).trim(), 'vfio-pci');
});
