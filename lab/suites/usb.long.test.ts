/**
 * A USB device of the host in a machine: its node is opened by the broker alone, a guest reads it through a QEMU that has no capability,
 * and it comes back after it was pulled out.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { drillChanges, drilled } from '../drill.ts';
import { stickText } from '../host.ts';
import { installedHost } from '../suite-host.ts';

const stick = '46f4:0001';
const images = '/var/lib/qward/images';

/** A guest with the host's own kernel, which has drivers for USB; it says what is on each stick that comes, and that it went. */
const guest = `set -e
mkdir -p /run/guest/{bin,dev,proc,sys,modules}
cp /bin/busybox /run/guest/bin/
for module in xhci_pci usb_storage sd_mod; do modprobe --show-depends $module; done |
  sed -n 's/^insmod \\([^ ]*\\).*/\\1/p' | awk '!seen[$0]++' > /run/modules
for module in $(cat /run/modules); do cp $module /run/guest/modules/; done
sed 's|.*/||' /run/modules > /run/guest/modules/list
cat > /run/guest/init <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
exec </dev/console >/dev/console 2>&1
dmesg -n 1
while read -r module; do insmod /modules/$module; done </modules/list
echo qward-demo: ready
before=
while :; do
  now=
  for disk in /dev/sd?; do [ -b $disk ] && now="$(dd if=$disk bs=${stickText.length} count=1 2>/dev/null)"; done
  [ "$now" = "$before" ] || echo "stick: \${now:-gone}"
  before=$now
  sleep 0.5
done
INIT
chmod 0755 /run/guest/init
(cd /run/guest && find . | cpio -o -H newc --quiet) > ${images}/usb.cpio
cp /boot/vmlinuz-* ${images}/usb-vmlinuz`;

const host = await installedHost({ usbStick: true, prepare: guest });

const define = (name: string, more: string): string => `qward define - <<'END'
name: ${name}
accel: kvm
memory: 256MiB
${more}
boot: {kernel: ${images}/usb-vmlinuz, initrd: ${images}/usb.cpio, cmdline: console=ttyS0 quiet panic=-1}
END`;
const lines = (text: string): string =>
  `sed -i -e 's|"relaxations": .*|"relaxations": [${text}],|' /etc/qward/policy.json && qward policy check`;
const line = (to: string): string =>
  `{ "relax": "usb", "to": "${to}", "machines": ["store", "rival", "bare"] }`;
const log = (name: string): string => `/var/lib/qward/manager/console/${name}/*`;
const said = (name: string, text: string, times = 1): string =>
  `for i in $(seq 240); do [ $(cat ${log(name)} 2>/dev/null | grep -c '${text}') -ge ${times} ] && break; sleep 0.5; done
[ $(cat ${log(name)} | grep -c '${text}') -ge ${times} ] || { cat ${log(name)}; qward logs ${name}; false; }`;
const pid = (name: string): string =>
  `$(qward status ${name} --json | sed -n 's/.*"pid": *\\([0-9]*\\).*/\\1/p' | head -n 1)`;
const node = `$(for d in /sys/bus/usb/devices/*; do [ "$(cat $d/serial 2>/dev/null)" = qward-lab ] && printf '/dev/bus/usb/%03d/%03d' $(cat $d/busnum) $(cat $d/devnum); done)`;

async function refused(script: string): Promise<string> {
  const { status, output } = await host.run(script, 180_000);
  assert.notEqual(status, 0, output);
  return output;
}

test('no machine gets the stick without a line of the policy', async () => {
  await host.demand(`for i in $(seq 60); do [ -b /dev/sda ] && break; sleep 0.5; done; [ -b /dev/sda ]`);
  await host.demand(define('store', `hostDevices: [{id: stick, usb: "${stick}", reason: keys}]`));
  assert.match(
    await refused('qward start store'),
    /relaxation "usb 46f4:0001" is not one that the policy gives machine "store"/,
  );
  assert.match(await host.demand('qward doctor || true'), /USB devices .*46f4:0001 at \d-2/);
});

test('a stick whose file system is mounted stays with the host', async () => {
  await host.demand(
    `${lines(line(stick))}\nmkdir -p /run/mnt; cp /dev/sda /run/stick; mkfs.ext4 -q -F /dev/sda; mount /dev/sda /run/mnt`,
  );
  assert.match(await refused('qward start store'), /is in use: a file system is mounted at \/run\/mnt/);
  await host.demand('umount /run/mnt; cat /run/stick > /dev/sda; sync');
});

test('the guest reads it, and its QEMU has its own uid, no capability, and no node', async () => {
  await host.demand(`qward start store\n${said('store', `stick: ${stickText}`)}`, 360_000);
  const status = await host.demand(`cat /proc/${pid('store')}/status`);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
    assert.match(status, new RegExp(`^${set}:\\t0000000000000000$`, 'm'));
  assert.match(status, /^Uid:\t(1879\d{6})\t\1\t\1\t\1$/m);
  assert.equal((await host.demand(`ls /proc/${pid('store')}/root/dev | grep -c bus || true`)).trim(), '0');
  assert.match(await host.demand(`stat -c '%u %a' ${node}`), /^0 66[04]$/m);
  await host.demand('qward audit store');
  assert.match(await host.demand('qward list'), /^store +running \+/m);
  assert.match(await host.demand('qward status store'), /usb 46f4:0001/);
  assert.match(await host.demand('qward explain store'), /USB device 46f4:0001/);
});

test('pulled out and plugged in anew it is with the machine again, and the walls stand', async () => {
  await host.unplug();
  await host.demand(said('store', 'stick: gone'), 180_000);
  await host.demand('sleep 5; qward audit store');
  await host.plug();
  await host.demand(said('store', `stick: ${stickText}`, 2), 180_000);
  await host.demand('qward audit store');
});

test('another machine does not get it meanwhile', async () => {
  await host.demand(define('rival', `hostDevices: [{id: stick, usb: "${stick}"}]`));
  assert.match(await refused('qward start rival'), /is with machine "store"/);
});

test('once its line is taken out of the policy, it does not come back', async () => {
  await host.demand(lines(''));
  await host.unplug();
  await host.demand(said('store', 'stick: gone', 2), 180_000);
  await host.plug();
  await host.demand(`for i in $(seq 60); do qward logs store | grep -q 'stays with the host' && break; sleep 0.5; done
qward logs store | grep 'stays with the host: .*not one that the policy gives'`);
  await host.demand('qward audit store && qward stop store', 180_000);
});

test('it is attached to a machine that was made ready for it, and detached', async () => {
  await host.demand(lines(`${line(stick)}, ${line('reserve')}`));
  await host.demand(
    `${define('bare', 'hotplug: {usb: true}')}\nqward start bare\n${said('bare', 'ready')}`,
    240_000,
  );
  await host.demand(`qward attach bare usb ${stick}\n${said('bare', `stick: ${stickText}`)}`, 240_000);
  assert.match(await host.demand('qward attach bare'), /usb-46f4-0001 +46f4:0001 +yes/);
  await host.demand('qward audit bare');
  await host.demand(`qward detach bare ${stick}\n${said('bare', 'stick: gone')}`, 180_000);
  await host.demand('qward audit bare');
  // The host has it again.
  await host.demand('for i in $(seq 60); do [ -b /dev/sd? ] && break; sleep 0.5; done; [ -b /dev/sd? ]');
});

test('a manager that begins anew knows what is attached, and expects it', async () => {
  await host.demand(`qward attach bare usb ${stick}\n${said('bare', `stick: ${stickText}`, 2)}`, 240_000);
  await host.demand('systemctl restart qward-manager; qward audit bare; qward stop bare', 240_000);
});

test('the drill of a machine that has it differs in what libusb needs, and in nothing else', async () => {
  await host.demand(define('plain', ''));
  const plain = await drilled(host, 'plain');
  assert.ok(plain.size > 50, `${plain.size} probes`);
  assert.equal(plain.get('open-usb-device'), 'blocked');
  assert.deepEqual(drillChanges(plain, await drilled(host, 'store')), ['socket-devices: blocked -> opened']);
});
