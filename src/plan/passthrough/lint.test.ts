/** What arguments name of the host: each row an argument as people write it, and all that is to be found in it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { definitionOf } from '../sample-facts.ts';
import { hostResources } from './host-resources.ts';
import { lintArguments } from './lint.ts';
import { readOptions } from './qemu-options.ts';
import { refusedOptions } from './refused-options.ts';

const rows: readonly (readonly [args: string, found: string])[] = [
  ['-bios /srv/fw.bin', 'file ro /srv/fw.bin'],
  [
    '-kernel /srv/k -initrd /srv/i1,/srv/i2 -append root=/dev/sda',
    'file ro /srv/k; file ro /srv/i1; file ro /srv/i2',
  ],
  ['-hda /srv/d.img', 'file rw /srv/d.img'],
  ['/srv/d.img', 'file rw /srv/d.img'],
  ['-cdrom /srv/i.iso', 'file ro /srv/i.iso'],
  ['-drive file=/srv/a,,b.img,if=virtio,format=raw', 'file rw /srv/a,b.img'],
  ['-drive /srv/p.img,if=virtio', 'file rw /srv/p.img'],
  ['-drive if=pflash,readonly=on,file=/usr/share/x.fd', 'file ro /usr/share/x.fd'],
  ['-drive file=file:/srv/f.img', 'file rw /srv/f.img'],
  ['-drive file=json:{"driver":"qcow2",,"file":{"driver":"file",,"filename":"/srv/j"}}', 'file rw /srv/j'],
  ['-drive file=fat:rw:/srv/dir', 'directory rw /srv/dir'],
  ['-drive file=nbd:unix:/run/n.sock', 'socket rw /run/n.sock'],
  ['-drive file=nbd+unix:///x?socket=/run/n2.sock', 'socket rw /run/n2.sock'],
  ['-drive file=nbd:10.0.0.1:10809', 'network rw 10.0.0.1:10809'],
  ['-drive file=https://example.org/x.iso,media=cdrom', 'network ro example.org/x.iso'],
  ['-drive file=/dev/sdb,format=raw', 'device rw /dev/sdb'],
  ['-drive file=/dev/fdset/1', 'descriptor rw /dev/fdset/1'],
  ['-blockdev {"driver":"file","filename":"/srv/b","node-name":"x"}', 'file rw /srv/b'],
  ['-blockdev {"driver":"file","filename":"/srv/b","read-only":true,"node-name":"x"}', 'file ro /srv/b'],
  ['-blockdev driver=raw,node-name=x,file.driver=file,file.filename=/srv/c', 'file rw /srv/c'],
  ['-blockdev driver=nbd,server.type=inet,server.host=h,server.port=1,node-name=n', 'network rw h:1'],
  [
    '-blockdev {"driver":"nbd","node-name":"n","server":{"type":"unix","path":"/run/x.sock"}}',
    'socket rw /run/x.sock',
  ],
  ['-chardev file,id=c,path=/srv/log', 'file rw /srv/log'],
  ['-chardev socket,id=c,path=/run/c.sock', 'socket rw /run/c.sock'],
  ['-chardev socket,id=c,path=/run/c.sock,server=on,wait=off', 'socket listens rw /run/c.sock'],
  ['-chardev socket,id=c,host=127.0.0.1,port=4444,server,nowait', 'network listens rw 127.0.0.1:4444'],
  ['-chardev udp,id=c,host=h,port=9', 'network rw h:9'],
  ['-chardev serial,id=c,path=/dev/ttyS0', 'device rw /dev/ttyS0'],
  ['-chardev null,id=c,logfile=/srv/l', 'file rw /srv/l'],
  ['-serial file:/srv/out', 'file rw /srv/out'],
  ['-serial unix:/run/s,server=on,wait=off', 'socket listens rw /run/s'],
  ['-serial tcp:127.0.0.1:5', 'network rw 127.0.0.1:5'],
  ['-serial mon:telnet::6,server', 'network listens rw :6'],
  ['-serial /dev/ttyUSB0', 'device rw /dev/ttyUSB0'],
  ['-serial pipe:/srv/p', 'file rw /srv/p.in; file rw /srv/p.out'],
  ['-serial stdio -parallel none', ''],
  ['-gdb tcp::1234 -s', 'network rw :1234; network listens rw port 1234'],
  ['-netdev socket,id=n,listen=:1234', 'network listens rw :1234'],
  ['-netdev stream,id=n,server=off,addr.type=unix,addr.path=/run/passt.sock', 'socket rw /run/passt.sock'],
  [
    '-netdev dgram,id=n,local.type=unix,local.path=/run/a,remote.type=unix,remote.path=/run/b',
    'socket listens rw /run/a; socket rw /run/b',
  ],
  ['-netdev tap,id=n,fd=9', 'descriptor rw fd=9'],
  ['-netdev vde,id=n,sock=/run/vde', 'socket rw /run/vde'],
  ['-netdev vhost-vdpa,id=n,vhostdev=/dev/vhost-vdpa-0', 'device rw /dev/vhost-vdpa-0'],
  ['-fsdev local,id=f,path=/srv/share,security_model=none', 'file rw /srv/share'],
  ['-virtfs local,path=/srv/share,mount_tag=t,security_model=none,readonly=on', 'file ro /srv/share'],
  ['-virtfs proxy,socket=/run/p,mount_tag=t', 'socket rw /run/p'],
  ['-object memory-backend-file,id=m,size=1G,mem-path=/dev/hugepages,share=on', 'file rw /dev/hugepages'],
  ['-object rng-random,id=r,filename=/dev/urandom', ''],
  ['-object rng-random,id=r,filename=/dev/hwrng', 'device ro /dev/hwrng'],
  ['-object secret,id=s,file=/etc/key', 'file ro /etc/key'],
  ['-object {"qom-type":"tls-creds-x509","id":"t","dir":"/etc/pki","endpoint":"server"}', 'file ro /etc/pki'],
  ['-object input-linux,id=k,evdev=/dev/input/event3', 'device rw /dev/input/event3'],
  ['-object filter-dump,id=d,netdev=n,file=/srv/dump', 'file rw /srv/dump'],
  ['-device virtio-net-pci,romfile=/srv/pxe.rom', 'file ro /srv/pxe.rom'],
  ['-device {"driver":"usb-host","hostdevice":"/dev/bus/usb/001/002"}', 'device rw /dev/bus/usb/001/002'],
  ['-device vhost-vsock-pci,guest-cid=3', 'device rw /dev/vhost-vsock'],
  ['-device virtio-blk-pci,drive=x,serial=/not/a/path', ''],
  ['-fw_cfg name=opt/x,file=/srv/cfg', 'file ro /srv/cfg'],
  ['-fw_cfg name=opt/x,string=/srv/cfg', ''],
  ['-acpitable file=/srv/slic', 'file ro /srv/slic'],
  ['-smbios file=/srv/smbios', 'file ro /srv/smbios'],
  ['-tpmdev passthrough,id=t,path=/dev/tpm0,cancel-path=/sys/x', 'device rw /dev/tpm0; file rw /sys/x'],
  ['-spice port=5930,addr=127.0.0.1,disable-ticketing=on', 'network listens rw port 5930'],
  ['-D /srv/qemu.log', 'file rw /srv/qemu.log'],
  ['-L /srv/data', 'file ro /srv/data'],
  ['-name /srv/x -uuid 00000000-0000-0000-0000-000000000000 -m 1G', ''],
  ['-newarg path=/srv/x', 'file rw /srv/x'],
];

for (const [args, found] of rows)
  test(`${args}: ${found === '' ? 'nothing' : found}`, () => {
    const resources = readOptions(args.split(' ')).flatMap(hostResources);
    assert.equal(resources.map(({ kind, access, name }) => `${kind} ${access} ${name}`).join('; '), found);
  });

const refused: readonly (readonly [args: string, rule: string | null])[] = [
  ['-daemonize', 'one-process'],
  ['--daemonize', 'one-process'],
  ['-runas joe', 'no-privileges'],
  ['-chroot /', 'no-privileges'],
  ['-run-with chroot=/', 'no-privileges'],
  ['-pidfile /run/x', 'no-privileges'],
  ['-sandbox off', 'seccomp-by-name'],
  ['-qmp stdio', 'one-monitor'],
  ['-monitor unix:/x,server', 'one-monitor'],
  ['-mon chardev=c', 'one-monitor'],
  ['-accel qtest', 'one-monitor'],
  ['-accel kvm', null],
  ['-add-fd fd=3,set=1', 'own-descriptors'],
  ['-readconfig /srv/x', 'seen-arguments'],
  ['-incoming defer', 'audit-before-guest'],
  ['-preconfig', 'audit-before-guest'],
  ['-vnc :1', 'vnc-by-descriptor'],
  ['-display vnc=:1', 'vnc-by-descriptor'],
  ['-display none', null],
  ['-cpu host', 'no-nesting'],
  ['-cpu host,vmx=off,svm=off', null],
  ['-netdev user,id=n', 'no-user-network'],
  ['-nic {"type":"user"}', 'no-user-network'],
  ['-net user', 'no-user-network'],
  ['-netdev tap,id=n,ifname=t', 'no-new-privileges'],
  ['-netdev tap,id=n,fd=5', null],
  ['-fda /x', 'no-floppy'],
  ['-drive file=/x,if=floppy', 'no-floppy'],
  ['-device floppy', 'no-floppy'],
  ['-device {"driver":"isa-fdc"}', 'no-floppy'],
  ['-help', 'a-machine'],
  ['-device pvpanic', null],
];

for (const [args, rule] of refused)
  test(`${args} is ${rule === null ? 'taken' : `refused: ${rule}`}`, () => {
    const { refusals } = lintArguments(args.split(' '), definitionOf('name: a'), []);
    assert.equal(refusals.length, rule === null ? 0 : 1);
    if (rule !== null) assert.match(refusals[0]?.message ?? '', new RegExp(`\\(${rule}\\)`));
  });

test('every row of the table of refusals is met by a test', () => {
  const met = new Set(refused.map(([, rule]) => rule));
  for (const { rule } of refusedOptions) assert.ok(met.has(rule), rule);
});

test('an argument that holds option and value in one is told in the two-entry form', () => {
  const { refusals } = lintArguments(['-device pvpanic'], definitionOf('name: a'), []);
  assert.equal(refusals.length, 1);
  assert.match(refusals[0]?.hint ?? '', /two entries: "-device" and its value/);
});

test('an option at the end that lacks its value is told', () => {
  const { refusals } = lintArguments(['-device'], definitionOf('name: a'), []);
  assert.match(refusals[0]?.message ?? '', /takes a value, and none comes after it/);
});

const granted = definitionOf(`name: a
confinement:
  files: [{path: /srv/ro}, {path: /srv/rw, access: rw}]
  devices: [/dev/foo]
  sockets: [{path: /run/s, reason: x}]
`);

const grants: readonly (readonly [args: string, grant: string | null])[] = [
  ['-bios /srv/ro', 'confinement.files[0]'],
  ['-bios /srv/ro/below', 'confinement.files[0]'],
  ['-bios /srv/robust', null],
  ['-hda /srv/ro', null],
  ['-hda /srv/rw/x', 'confinement.files[1]'],
  ['-bios /usr/share/qemu/x.bin', 'the system files of every jail'],
  ['-hda /usr/share/qemu/x.bin', null],
  ['-chardev tty,id=c,path=/dev/foo', 'confinement.devices[0]'],
  ['-chardev socket,id=c,path=/run/s', 'confinement.sockets[0]'],
  ['-chardev socket,id=c,path=/srv/rw/s,server=on', 'confinement.files[1]'],
  ['-chardev socket,id=c,path=/srv/other/s,server=on', null],
  ['-s', null],
  ['-gdb tcp::1', null],
];

for (const [args, grant] of grants)
  test(`${args} is reached by ${grant ?? 'nothing, and the line to add is told'}`, () => {
    const { findings } = lintArguments(args.split(' '), granted, ['/usr/share/qemu']);
    assert.equal(findings.length, 1);
    assert.equal(findings[0]?.grant, grant);
    assert.equal(findings[0]?.cure === '', grant !== null);
    if (grant === null) assert.match(findings[0]?.cure ?? '', /^confinement: \{/);
  });

test('the line to add is exact: with it the same argument is reached', () => {
  const args = ['-drive', 'file=/srv/odd "name",if=virtio'];
  const [finding] = lintArguments(args, definitionOf('name: a'), []).findings;
  const after = definitionOf(`name: a\n${finding?.cure ?? ''}\n`);
  assert.equal(lintArguments(args, after, []).findings[0]?.grant, 'confinement.files[0]');
});

test('no words make the linter throw', () => {
  const word = fc.oneof(
    fc.constantFrom('-drive', '-chardev', '-serial', '-blockdev', '-object', '-device', '-netdev', '-initrd'),
    fc.string({ unit: fc.constantFrom(...Array.from('abz=,:/{}"[]- \\1')), maxLength: 30 }),
    fc.json().map((json) => `json:${json}`),
    fc.json(),
  );
  fc.assert(
    fc.property(fc.array(word, { maxLength: 6 }), (words) => {
      lintArguments(words, granted, []);
    }),
  );
});
