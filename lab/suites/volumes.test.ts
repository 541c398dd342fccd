/** Logical volumes as disks on a real host: lvm2, device mapper and udev as they are there. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installedHost } from '../suite-host.ts';

const host = await installedHost({
  prepare: `for group in guests private; do
  truncate -s 256M /var/lib/$group.img
  device=$(losetup --find --show /var/lib/$group.img)
  vgcreate -q $group $device
  lvcreate -q -y -n data-1 -L 64M $group
done
sed -i 's|"lvmGroups": \\[\\]|"lvmGroups": [{ "group": "guests", "access": "rw" }]|' /etc/qward/policy.json
grep -q '"group": "guests"' /etc/qward/policy.json
qward policy check`,
});

const facts = 'stat -Lc "%U:%G %a" /dev/guests/data-1; getfacl -cpn /dev/guests/data-1';
const define = (name: string, volume: string): string => `qward define - <<'END'
name: ${name}
accel: tcg
memory: 128MiB
disks: [{id: data, path: ${volume}, format: raw}]
boot: {kernel: /var/lib/qward/images/vmlinuz, initrd: /var/lib/qward/images/initrd.cpio, cmdline: console=ttyS0 qward.counter}
END`;

test('a volume of a group that the policy lists is a disk, written by the guest, and stays who it was', async () => {
  const before = await host.demand(facts);
  await host.demand(define('store', '/dev/guests/data-1'));
  await host.demand('qward start store', 120_000);
  await host.demand('qward audit store');
  assert.equal(await host.demand(facts), before);
  const counter = 'dd if=/dev/guests/data-1 bs=512 count=1 iflag=direct status=none | tr -cd 0-9';
  const counted = await host.demand(
    `for i in $(seq 100); do [ "$(${counter})" ] && break; sleep 2; done; ${counter}`,
    300_000,
  );
  assert.ok(Number(counted) > 0, counted);
  assert.match(await host.demand('qward stop store', 120_000), /shut down/);
  assert.equal(await host.demand(facts), before);
});

test('a volume of another group, and the device behind the group, are refused with the rule', async () => {
  for (const path of ['/dev/private/data-1', '/dev/loop0', '/dev/vda']) {
    const { status, output } = await host.run(define('thief', path));
    assert.notEqual(status, 0, output);
    assert.match(output, /policy|lvmGroups|blockDevices/);
  }
});

test('a volume that is renamed into the group by a link of /dev is another device', async () => {
  const { status, output } = await host.run(`ln -s ../private/data-1 /dev/guests/stolen
${define('thief', '/dev/guests/stolen')}`);
  assert.notEqual(status, 0, output);
});
