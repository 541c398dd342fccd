/** Machines of other managers: imported, defined, started in a jail, and exported again, by the real command line. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chownSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { done, statusOf } from '../support/driver.ts';
import { startInstance } from '../support/instance.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const { kernel, initrd, cmdline } = instance.guest;
const directory = join(instance.directory, 'foreign');
mkdirSync(directory);

const domain = (name: string, inner = ''): string => `<domain type='qemu'>
  <name>${name}</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>${kernel}</kernel>
    <initrd>${initrd}</initrd>
    <cmdline>${cmdline}</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/>
      <source file='${instance.disk(name.toLowerCase())}'/>
      <target dev='vda' bus='virtio'/>
    </disk>
    <serial type='pty'/>
    ${inner}
  </devices>
</domain>
`;
const file = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};

test('a domain of libvirt is defined and started in its jail by one command', async () => {
  const path = file('web.xml', domain('Web', "<floppy colour='red'/>"));
  const { status, stdout, stderr } = await instance.qward(['import', 'libvirt', path, '--start']);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^web: defined$/m);
  assert.match(stdout, /^web: started$/m);
  assert.match(stderr, /line 2: name: "Web" is called "web" here/);
  assert.match(stderr, /line 19: floppy: a definition has no key for it/);
  assert.equal((await statusOf(instance, 'web')).state, 'running');
  await done(instance, 'audit web');
  await done(instance, 'kill web');
});

test('without --define the definition is printed and nothing is changed', async () => {
  const yaml = await done(instance, ['import', 'libvirt', '-'], { stdin: domain('shown') });
  assert.match(yaml, /^name: shown\n/);
  assert.doesNotMatch(await done(instance, 'list'), /shown/);
  await done(instance, 'define --dry-run -', { stdin: yaml });
});

test('several files are imported at once, and what is no domain is said with its line', async () => {
  file('one.xml', domain('one'));
  file('two.xml', domain('two'));
  file('three.xml', "<!DOCTYPE domain [<!ENTITY x SYSTEM 'file:///etc/shadow'>]>\n<domain>&x;</domain>");
  const { status, stdout, stderr } = await instance.qward([
    'import',
    'libvirt',
    join(directory, 't*.xml'),
    join(directory, 'one.xml'),
    '--define',
  ]);
  assert.equal(status, 2, stderr);
  assert.match(stderr, /three\.xml:1:\d+: a document type .* is not taken/);
  assert.match(stdout, /^two: defined$/m);
  assert.match(stdout, /^one: defined$/m);
  assert.doesNotMatch(stderr + stdout, /root:/);
});

test('--json gives the account as data, and --strict makes a loss a failure', async () => {
  const path = file('lossy.xml', domain('lossy', '<smartcard mode="host"/>'));
  const { status, stdout } = await instance.qward(['import', 'libvirt', path, '--strict', '--json']);
  assert.equal(status, 1);
  const { machines } = JSON.parse(stdout) as {
    machines: {
      name: string;
      account: { unsupported: number; notes: { kind: string; lines: number[] }[] };
    }[];
  };
  assert.equal(machines[0]?.name, 'lossy');
  assert.deepEqual(machines[0]?.account.notes.filter(({ kind }) => kind === 'unsupported')[0]?.lines, [19]);
});

test('what is exported and imported again is the same machine', async () => {
  const { status, stdout, stderr } = await instance.qward(['export', 'libvirt', 'two']);
  assert.equal(status, 0, stderr);
  const again = await instance.qward(['import', 'libvirt', '-', '--define', '--replace'], { stdin: stdout });
  assert.equal(again.status, 0, again.stderr);
  assert.match(again.stdout, /^two: (?:unchanged|changed)$/m);
  assert.equal((await instance.qward(['export', 'libvirt', 'two'])).stdout, stdout);
});

test('a machine of Xen, one of qemu-init and a command line of QEMU each start in a jail by one command', async () => {
  const disk = instance.disk('foreign');
  const started = async (name: string, words: readonly string[]): Promise<string> => {
    const { status, stdout, stderr } = await instance.qward(['import', ...words, '--start'].flat());
    assert.equal(status, 0, stderr);
    assert.match(stdout, new RegExp(`^${name}: started$`, 'm'));
    await done(instance, `audit ${name}`);
    await done(instance, `kill ${name}`);
    return stderr;
  };

  const xl = file(
    'xen.cfg',
    [
      'type = "hvm"',
      'name = "Xen Guest"',
      'memory = 128',
      `disk = [ 'format=qcow2, vdev=xvda, access=rw, target=${disk}' ]`,
      'device_model_user = "nobody"',
      'serial = "pty"',
      'device_model_args = [ "-accel", "tcg" ]',
    ].join('\n'),
  );
  assert.match(
    await started('xen-guest', ['xl', xl]),
    /line 5: device_model_user: the machine has a uid of its own/,
  );

  const dat = join(directory, 'dat');
  mkdirSync(dat);
  writeFileSync(
    join(dat, 'store-qemud.rc'),
    `NAME=store\nTGTARCH=qemu-system-x86_64\nRUNAS=qemud\nKVM=0\nRAM=128\nNETWORK=none\nHDA=${disk},format=qcow2\nFLUX=1\n`,
  );
  writeFileSync(join(dat, 'store-qemu.cfg'), '-smp 2\n-device pvpanic\n');
  assert.match(await started('store', ['qemu-init', dat]), /line 8: FLUX: no key of qemu-init/);

  const words = [
    'qemu',
    '--name',
    'bare',
    '--',
    'qemu-system-x86_64',
    '-accel',
    'tcg',
    '-m',
    '128',
    '-nodefaults',
  ];
  const { status, stdout, stderr } = await instance.qward([
    'import',
    '--start',
    ...words,
    '-drive',
    `file=${disk},format=qcow2,if=virtio`,
    '-fw_cfg',
    'name=opt/org.example/x,string=1',
  ]);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /^bare: started$/m);
  assert.match(stderr, /argument \d+: -fw_cfg: handed to QEMU as it is, within the jail/);
  const pid = (await statusOf(instance, 'bare')).pid ?? 0;
  const again = await instance.qward(['import', 'qemu', '--pid', String(pid), '--name', 'seen']);
  assert.match(again.stdout, /^name: seen$/m);
  await done(instance, 'kill bare');
});

test('a whole host of libvirt: what it runs or starts is refused, and what the policy needs is said', async () => {
  const root = join(directory, 'host');
  const etc = join(root, 'etc/libvirt');
  for (const path of ['qemu/autostart', 'qemu/networks']) mkdirSync(join(etc, path), { recursive: true });
  mkdirSync(join(root, 'run/libvirt/qemu'), { recursive: true });
  const card = "<interface type='network'><source network='lan'/><model type='virtio'/></interface>";
  writeFileSync(join(etc, 'qemu/Quiet.xml'), domain('Quiet', card));
  for (const name of ['busy', 'early']) writeFileSync(join(etc, `qemu/${name}.xml`), domain(name));
  writeFileSync(join(root, 'run/libvirt/qemu/busy.xml'), '<domstatus/>');
  symlinkSync('../early.xml', join(etc, 'qemu/autostart/early.xml'));
  writeFileSync(
    join(etc, 'qemu/networks/lan.xml'),
    "<network><name>lan</name><forward mode='bridge'/><bridge name='br7'/></network>",
  );
  writeFileSync(join(etc, 'qemu.conf'), 'user = "root"\n#security_driver = "none"\nseccomp_sandbox = 0\n');
  const image = join(instance.paths.images, 'quiet.qcow2');
  chownSync(image, 64055, 64055);

  const looked = await instance.qward(['import', 'libvirt', '--all', root]);
  assert.match(looked.stdout, /^name: quiet$[\s\S]*^name: busy$/m);
  assert.doesNotMatch(await done(instance, 'list'), /quiet/);

  const { status, stdout, stderr } = await instance.qward(['import', 'libvirt', '--all', root, '--define']);
  assert.equal(status, 1, stderr);
  assert.match(stdout, /^quiet: defined$/m);
  assert.doesNotMatch(stdout, /busy|early/);
  assert.match(stderr, /^busy runs under libvirt\n {2}Shut it down first: virsh shutdown busy$/m);
  assert.match(
    stderr,
    /^early is started by libvirt .*\n {2}virsh autostart --disable early; .* qward autostart on early$/m,
  );
  assert.match(stderr, /the network lan is the bridge br7/);
  assert.match(stderr, /the policy needs: "bridges": \["br7"\]/);
  assert.match(
    stderr,
    /qemu\.conf: user = "root": .* confinement: \{user: root\}, and in the policy: "allowRoot": true/,
  );
  assert.match(stderr, /qemu\.conf: seccomp_sandbox = 0: .*"relax": "seccomp", "to": "off"/);
  assert.doesNotMatch(stderr, /security_driver/);
  assert.match(stderr, /quiet\.qcow2 belongs to libvirt-qemu/);
  assert.equal(statSync(image).uid, 64055, 'an import changes no owner');
});

const ovmf = '/usr/share/OVMF/OVMF_VARS_4M.fd';

/** Raw variables, in which a place is written that OVMF leaves alone. */
function variablesFile(name: string, mark: string): string {
  const bytes = readFileSync(ovmf);
  bytes.write(mark, bytes.length - 64);
  const path = join(directory, name);
  writeFileSync(path, bytes, { mode: 0o600 });
  return path;
}

/** What the guest's flash chip has. */
function chipOf(name: string): Buffer {
  const raw = join(directory, `${name}.raw`);
  const store = join(instance.paths.vars, `${name}.qcow2`);
  execFileSync('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', store, raw]);
  return readFileSync(raw);
}

test('UEFI variables that a machine had under libvirt come with it, once, and its owner replaces them at will', async () => {
  const path = variablesFile('Firm_VARS.fd', 'from libvirt');
  const loader = `<loader readonly='yes' type='pflash'>/usr/share/OVMF/OVMF_CODE_4M.fd</loader><nvram>${path}</nvram>`;
  const xml = file('firm.xml', domain('Firm').replace('<kernel>', `${loader}<kernel>`));
  const { status, stderr } = await instance.qward(['import', 'libvirt', xml, '--start']);
  assert.equal(status, 0, stderr);
  const running = await instance.qward(['nvram', 'firm', '--reset']);
  assert.match(running.stderr, /machine "firm" runs/);
  await done(instance, 'kill firm');
  assert.equal(chipOf('firm').subarray(-64).toString('latin1').slice(0, 12), 'from libvirt');
  assert.equal(statSync(path).mode & 0o777, 0o600);

  await done(instance, ['nvram', 'firm', variablesFile('later.fd', 'by its owner')]);
  await done(instance, ['import', 'libvirt', xml, '--define', '--replace']);
  assert.equal(chipOf('firm').subarray(-64).toString('latin1').slice(0, 12), 'by its owner');
  await done(instance, 'nvram firm --reset');
  await done(instance, 'start firm');
  await done(instance, 'kill firm');
  assert.equal(chipOf('firm').equals(readFileSync(ovmf)), true);
});

test('what is no flash chip of this host with UEFI variables is refused, and the machine keeps its own', async () => {
  const before = chipOf('firm');
  const good = readFileSync(ovmf);
  const bad: readonly [string, Buffer, RegExp][] = [
    ['empty.fd', Buffer.alloc(0), /no firmware volume/],
    ['image.fd', readFileSync(instance.disk('other')).subarray(0, 65_536), /no firmware volume/],
    ['cut.fd', good.subarray(0, good.length / 2), /cut off/],
    ['long.fd', Buffer.concat([good, good.subarray(0, 4096)]), /another build of OVMF/],
  ];
  for (const [name, bytes, why] of bad) {
    const path = join(directory, name);
    writeFileSync(path, bytes);
    const { status, stderr } = await instance.qward(['nvram', 'firm', path]);
    assert.equal(status, 2, stderr);
    assert.match(stderr, why);
  }
  const bomb = execFileSync('sh', ['-c', 'head -c 400000000 /dev/zero | gzip -9 | base64 -w0']).toString();
  const reply = await instance.client.call('setVariables', {
    name: 'firm',
    variables: bomb.slice(0, 450_000),
  });
  assert.equal(reply.ok, false);
  const none = await instance.qward(['nvram', 'web', ovmf]);
  assert.match(none.stderr, /machine "web" does not boot by UEFI/);
  assert.equal(chipOf('firm').equals(before), true);
});
