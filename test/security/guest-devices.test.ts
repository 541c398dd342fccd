/**
 * Promises 2 and 6: a machine has the devices that its definition names, those that its board cannot do without, and no other;
 * no network within QEMU, and nothing that listens but the sockets of the plan. Asked of the running QEMU. Needs root.
 */
import assert from 'node:assert/strict';
import { readFileSync, readlinkSync } from 'node:fs';
import { after, test } from 'node:test';
import { startInstance } from '../support/instance.ts';
import { define, granted, start } from '../support/small-machine.ts';

const instance = await startInstance();
after(() => instance[Symbol.asyncDispose]());
const disk = instance.disk('root');

const pc = [
  'fw_cfg_io',
  'i8257',
  'ioapic',
  'isa-i8259',
  'isa-pcspk',
  'isa-pit',
  'isa-serial',
  'kvmvapic',
  'mc146818rtc',
];
const virtio = ['virtio-balloon-device', 'virtio-rng-device'];
const virtioPci = ['virtio-balloon-pci', 'virtio-rng-pci'];
const q35 = [...pc, ...virtio, ...virtioPci, 'ICH9-LPC', 'mch', 'pcie-root-port', 'q35-pcihost'];

interface Machine {
  readonly name: string;
  readonly lines: readonly string[];
  readonly devices: readonly string[];
  /** Drives, as `info block` names them. */
  readonly drives?: readonly string[];
}

const machines: readonly Machine[] = [
  { name: 'lean', lines: ['machine: q35', 'memory: 32MiB'], devices: q35 },
  {
    name: 'bare',
    lines: [
      'machine: q35',
      'memory: 32MiB',
      'console: false',
      'balloon: false',
      'rng: false',
      'hotplug: {ports: 0}',
    ],
    devices: q35.filter((device) => !/virtio|serial|root-port/.test(device)),
  },
  {
    name: 'drives',
    lines: [
      'machine: q35',
      'memory: 32MiB',
      `disks: [{id: root, path: ${disk}, format: qcow2}]`,
      'cdroms: [{id: cd}]',
    ],
    devices: [...q35, 'virtio-blk-pci', 'virtio-blk-device', 'ich9-ahci', 'ide-cd'],
    drives: ['cd', 'root'],
  },
  {
    name: 'screen',
    lines: ['machine: q35', 'memory: 64MiB', 'firmware: uefi', 'vnc: true'],
    devices: [
      ...q35,
      'bochs-display',
      'qemu-xhci',
      'usb-tablet',
      'cfi.pflash01',
      'i8042',
      'port92',
      'ps2-kbd',
      'ps2-mouse',
    ],
    drives: ['uefi.code', 'uefi.vars'],
  },
  {
    name: 'old',
    lines: ['machine: pc', 'memory: 32MiB'],
    // QEMU 7.2 builds them in; the floppy controller's ports lie where no guest reaches them.
    devices: [
      ...pc,
      ...virtio,
      ...virtioPci,
      'i440FX',
      'i440FX-pcihost',
      'PIIX3',
      'PIIX4_PM',
      'isa-fdc',
      'piix3-ide',
      'smbus-eeprom',
    ],
  },
  {
    name: 'micro',
    lines: ['machine: microvm', 'memory: 96MiB', `boot: {kernel: ${instance.guest.kernel}}`],
    devices: [
      ...pc.filter((device) => !['i8257', 'isa-pcspk'].includes(device)),
      ...virtio,
      'acpi-ged-x86',
      'isabus-bridge',
      'virtio-mmio',
    ],
  },
];

/** Local addresses and ports of every socket of the network namespace. */
function inetSockets(pid: number): string[] {
  return ['tcp', 'tcp6', 'udp', 'udp6', 'raw', 'raw6'].flatMap((kind) =>
    readFileSync(`/proc/${pid}/net/${kind}`, 'latin1')
      .split('\n')
      .slice(1)
      .filter((line) => line !== ''),
  );
}

for (const { name, lines, devices, drives = [] } of machines)
  test(`${name}: ${lines.filter((line) => !line.startsWith('memory')).join(', ')}`, async () => {
    await define(instance, [`name: ${name}`, 'accel: tcg', ...lines, ''].join('\n'));
    const pid = await start(instance, name);
    const ask = async (command: string): Promise<string> =>
      granted(await instance.client.call('monitor', { name, command })).output.replaceAll('\r', '');
    const tree = new Set(
      [...(await ask('info qtree')).matchAll(/^\s*dev: ([^,\s]+)/gm)].map(([, dev]) => dev),
    );
    assert.deepEqual(tree, new Set(devices));
    const blocks = [...(await ask('info block')).matchAll(/^(\S[^:]*): /gm)].map(([, id]) => id);
    assert.deepEqual(new Set(blocks), new Set(drives));
    assert.equal((await ask('info network')).trim(), '');
    const own = `unix:${instance.paths.machines}/${name}/`;
    for (const line of (await ask('info chardev')).trim().split('\n'))
      assert.ok(line.includes(`filename=${own}`) && line.endsWith('.sock,server=on'), line);
    assert.doesNotMatch(await ask('info vnc'), /server|address|client/i);
    assert.deepEqual(inetSockets(pid), []);
    assert.notEqual(readlinkSync(`/proc/${pid}/ns/net`), readlinkSync('/proc/self/ns/net'));
    granted(await instance.client.call('kill', { name }));
  });
