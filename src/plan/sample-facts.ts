/** For tests: a host on which everything that a definition names is there and as declared. */
import { parseDefinition } from '../definition/parse.ts';
import type { MachineDefinition } from '../definition/schema.ts';
import type { FileFacts, HostFacts, ImageHeader, LaunchPlan } from './launch-plan.ts';
import { planLaunch } from './plan-launch.ts';
import { variableStorePath } from './boot.ts';
import { requiredFiles } from './required-files.ts';

const gib = 1024 ** 3;

export function definitionOf(yaml: string): MachineDefinition {
  const parsed = parseDefinition(yaml);
  if (!parsed.ok) throw new Error(parsed.faults.map((fault) => fault.message).join('\n'));
  return parsed.definition;
}

export function fileOf(image: Partial<ImageHeader> = {}, size = gib): FileFacts {
  const header = { format: 'raw', virtualSize: size, references: [], snapshots: 0, ...image } as const;
  return { ok: true, size, worldReadable: true, image: header };
}

/** Every file as the definition declares it, each qcow2 image with the backing file that the definition lists. */
export function declaredFiles(definition: MachineDefinition, varsDirectory: string): HostFacts['files'] {
  const files: Record<string, FileFacts> = {};
  for (const { path } of requiredFiles(definition, varsDirectory)) files[path] = fileOf();
  for (const disk of definition.disks)
    for (const [depth, image] of [disk, ...disk.backing].entries()) {
      const next = disk.backing[depth];
      if (image.format === 'qcow2')
        files[image.path] = fileOf(
          {
            format: 'qcow2',
            virtualSize: 10 * gib,
            references: next === undefined ? [] : [{ kind: 'backing file', name: next.path }],
          },
          gib / 4,
        );
    }
  const vars = variableStorePath(varsDirectory, definition);
  if (definition.firmware === 'uefi') files[vars] = fileOf({ format: 'qcow2' }, 851_968);
  return files;
}

/** A small closure in place of sixty libraries. */
const closure = ['/usr/bin/qemu-system-x86_64', '/usr/lib/x86_64-linux-gnu/libc.so.6', '/usr/share/qemu'];
const tcgModule = '/usr/lib/x86_64-linux-gnu/qemu/accel-tcg-x86_64.so';
const usbModule = '/usr/lib/x86_64-linux-gnu/qemu/hw-usb-host.so';

export function sampleFacts(definition: MachineDefinition, overrides: Partial<HostFacts> = {}): HostFacts {
  const varsDirectory = '/var/lib/qward/vars';
  return {
    qemu: {
      binary: '/usr/bin/qemu-system-x86_64',
      version: { major: 7, minor: 2, micro: 22 },
      closure: closure.map((path) => ({ source: path, target: path })),
      modules: {
        'accel-tcg-x86_64': [{ source: tcgModule, target: tcgModule }],
        'hw-usb-host': [{ source: usbModule, target: usbModule }],
      },
    },
    kvm: { works: false, reason: 'no guest ran under KVM within 2 s' },
    files: declaredFiles(definition, varsDirectory),
    claimants: {},
    uefi: { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', varsTemplate: '/usr/share/OVMF/OVMF_VARS_4M.fd' },
    secureUefi: {
      code: '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd',
      varsTemplate: '/usr/share/OVMF/OVMF_VARS_4M.ms.fd',
    },
    virtiofsd: {
      binary: '/usr/lib/qemu/virtiofsd',
      openFiles: 524_288,
      closure: [{ source: '/usr/lib/qemu/virtiofsd', target: '/usr/lib/qemu/virtiofsd' }],
    },
    swtpm: { binary: '/usr/bin/swtpm', closure: [{ source: '/usr/bin/swtpm', target: '/usr/bin/swtpm' }] },
    varsDirectory,
    vhostNet: false,
    hostMemory: 64 * gib,
    time: { now: Date.UTC(2026, 6, 1), zone: 'Europe/Berlin' },
    userNetwork: {
      passt: {
        binary: '/usr/bin/passt.avx2',
        closure: [{ source: '/usr/bin/passt.avx2', target: '/usr/bin/passt.avx2' }],
      },
      nameServers: ['192.0.2.53'],
      firstPort: 1024,
    },
    networks: {
      known: [{ name: 'lan', subnet: '10.77.0.0/24', mode: 'nat', who: null }],
      server: {
        binary: '/usr/sbin/dnsmasq',
        closure: [{ source: '/usr/sbin/dnsmasq', target: '/usr/sbin/dnsmasq' }],
      },
    },
    ...overrides,
  };
}

/** The plan of a definition that has no fault on this host. */
export function planOf(yaml: string, overrides: Partial<HostFacts> = {}): LaunchPlan {
  const definition = definitionOf(yaml);
  const outcome = planLaunch(definition, sampleFacts(definition, overrides));
  if (!outcome.ok) throw new Error(outcome.faults.map((fault) => fault.message).join('\n'));
  return outcome.plan;
}
