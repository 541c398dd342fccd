import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ProcessFacts } from '../protocol/broker.ts';
import { filesOfExposure, listExposure, type ExposureOptions } from './exposure.ts';
import { parseState } from './process-state.ts';

const at = '2026-12-01T12:00:00.000Z';

function exposure(
  args: readonly string[],
  mappedFiles: readonly string[] = [],
  known: ExposureOptions = {},
): Record<string, string> {
  const facts = {
    pid: 1,
    kernel: '6.18.0',
    exe: '/usr/bin/qemu-system-x86_64',
    cmdline: ['qemu', ...args],
    status: '',
    threads: [],
    mountinfo: '',
    hostMountinfo: '',
    netDev: '',
    mappedFiles,
  };
  const rows = listExposure(parseState(facts as unknown as ProcessFacts), at, known);
  return Object.fromEntries(rows.map(({ subject, found, note }) => [subject, `${found}: ${note}`]));
}

test('devices and back-ends are counted, in lists and in JSON', () => {
  const args = [
    ['-device', 'virtio-net-pci,netdev=n'],
    ['-device', '{"driver":"virtio-blk-pci"}'],
    ['-device', 'virtio-blk-pci'],
    ['-netdev', 'user,id=n'],
    ['-blockdev', '{"driver":"qcow2"}'],
    ['-vnc', ':1'],
  ];
  const found = exposure(args.flat());
  assert.match(found['devices'] ?? '', /^virtio-net-pci; virtio-blk-pci \(2\):/);
  assert.match(found['back-ends'] ?? '', /^netdev user; blockdev qcow2; vnc :1:/);
});

test('accelerator and machine type are told with what QEMU promises', () => {
  assert.match(exposure(['-accel', 'kvm', '-machine', 'q35'])['accelerator'] ?? '', /^kvm:/);
  assert.match(exposure(['-enable-kvm'])['accelerator'] ?? '', /^kvm:/);
  assert.match(exposure(['-machine', 'pc-q35-7.2,accel=kvm'])['accelerator'] ?? '', /^kvm:/);
  assert.match(exposure([])['accelerator'] ?? '', /^tcg: QEMU promises no security/);
  assert.match(exposure(['-M', 'microvm'])['machine type'] ?? '', /^microvm: inside/);
  assert.match(exposure(['-machine', 'type=pc-i440fx-7.2'])['machine type'] ?? '', /^pc-i440fx-7\.2: inside/);
  assert.match(exposure(['-M', 'isapc'])['machine type'] ?? '', /^isapc: outside/);
  assert.match(exposure(['-M', 'pcx'])['machine type'] ?? '', /^pcx: outside/);
});

test('risky libraries are named by their file', () => {
  const found = exposure([], ['/usr/lib/libslirp.so.0.4.0', '/usr/lib/libc.so.6']);
  assert.match(found['library'] ?? '', /^libslirp\.so\.0\.4\.0:/);
});

test('odd option names do no harm', () => {
  assert.match(exposure(['-constructor', 'x', '-__proto__', 'y'])['devices'] ?? '', /^none/);
});

test('versions and ages of QEMU, its firmware and the kernel are told as far as the host knows them', () => {
  const qemu = '/usr/bin/qemu-system-x86_64';
  const files = new Map([
    [qemu, { version: 'qemu-system-x86 1:7.2+dfsg-7', made: new Date('2026-05-25T20:44:29Z') }],
    ['/usr/share/seabios/bios-256k.bin', { version: 'seabios 1.16.2-1', made: new Date('2023-04-11') }],
    ['/usr/share/OVMF/OVMF_CODE_4M.fd', { made: new Date('2026-11-30') }],
  ]);
  const found = exposure([], [], { files, kernelBuild: '#1 SMP Debian 6.1.158-1 (2026-11-09)' });
  assert.match(
    found['QEMU'] ?? '',
    /^\S+qemu-system-x86_64, qemu-system-x86 1:7\.2\+dfsg-7, of 2026-05-25, 6 months old: /,
  );
  assert.match(
    found['firmware'] ?? '',
    /^\/usr\/share\/seabios\/bios-256k\.bin, seabios 1\.16\.2-1, of 2023-04-11, 3 years old: /,
  );
  assert.match(found['kernel'] ?? '', /^6\.18\.0, of 2026-11-09, 22 days old: /);
  const code = '{"driver":"file","filename":"/usr/share/OVMF/OVMF_CODE_4M.fd","node-name":"code"}';
  const uefi = exposure(['-blockdev', code], [], {
    files,
    kernelBuild: '#1 SMP PREEMPT_DYNAMIC Tue Feb  3 04:05:06 UTC 2026',
  });
  assert.match(uefi['firmware'] ?? '', /^\S+OVMF_CODE_4M\.fd, of 2026-11-30, 1 day old: /);
  assert.match(uefi['kernel'] ?? '', /^6\.18\.0, of 2026-02-03, 9 months old: /);
  assert.match(exposure([])['firmware'] ?? '', /^\/usr\/share\/seabios\/bios-256k\.bin: /);
  assert.match(exposure([], [], { kernelBuild: '#1 odd' })['kernel'] ?? '', /^6\.18\.0: /);
});

test('the firmware is what the command line names, or what QEMU takes of its own accord', () => {
  const firmware = (...args: readonly string[]): string | undefined =>
    filesOfExposure({ exe: '/usr/bin/qemu', cmdline: ['qemu', ...args] })[1];
  assert.equal(firmware(), '/usr/share/seabios/bios-256k.bin');
  assert.equal(firmware('-M', 'microvm'), '/usr/share/seabios/bios-microvm.bin');
  assert.equal(firmware('-bios', '/usr/share/qemu/qboot.rom'), '/usr/share/qemu/qboot.rom');
  assert.equal(
    firmware('-drive', 'if=pflash,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE.fd'),
    '/usr/share/OVMF/OVMF_CODE.fd',
  );
  const vars = ['-drive', 'if=pflash,format=raw,file=/srv/web_OVMF_VARS.fd'];
  assert.equal(firmware(...vars), '/usr/share/seabios/bios-256k.bin');
  const nested = '{"driver":"raw","file":{"driver":"file","filename":"/usr/share/qemu/edk2-x86_64-code.fd"}}';
  assert.equal(firmware('-blockdev', nested), '/usr/share/qemu/edk2-x86_64-code.fd');
  assert.equal(firmware('-blockdev', '{"driver":'), '/usr/share/seabios/bios-256k.bin');
});
