/** Host facts for a plan, read from this host directly and without a broker: for tests that start QEMU from a plan. */
import { noManagedNetworks } from '../../src/plan/network-server.ts';
import { noUserNetwork } from '../../src/plan/user-network.ts';
import { closeSync, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import type { MachineDefinition } from '../../src/definition/schema.ts';
import { parseImageHeader } from '../../src/plan/image-header.ts';
import type { FileFacts, HostFacts } from '../../src/plan/launch-plan.ts';
import { requiredFiles } from '../../src/plan/required-files.ts';

function fileFacts(path: string): FileFacts {
  if (!existsSync(path))
    return { ok: false, fault: { code: 'file-missing', message: `"${path}" does not exist`, hint: '' } };
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const head = Buffer.alloc(1024);
    const image = parseImageHeader(head.subarray(0, readSync(fd, head, 0, head.length, 0)), size);
    return { ok: true, size, worldReadable: true, image };
  } finally {
    closeSync(fd);
  }
}

export function localFacts(definition: MachineDefinition, varsDirectory: string): HostFacts {
  const files = requiredFiles(definition, varsDirectory).map(({ path }) => [path, fileFacts(path)] as const);
  return {
    qemu: {
      binary: '/usr/bin/qemu-system-x86_64',
      version: { major: 7, minor: 2, micro: 0 },
      closure: [],
      modules: {},
    },
    kvm: { works: false, reason: 'not tried by this test' },
    files: Object.fromEntries(files),
    claimants: {},
    uefi: { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', varsTemplate: '/usr/share/OVMF/OVMF_VARS_4M.fd' },
    secureUefi: {
      code: '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd',
      varsTemplate: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd',
    },
    swtpm: null,
    virtiofsd: null,
    varsDirectory,
    vhostNet: false,
    userNetwork: noUserNetwork,
    networks: noManagedNetworks,
    hostMemory: 64 * 1024 ** 3,
    time: { now: Date.UTC(2026, 6, 1), zone: 'Europe/Berlin' },
  };
}
