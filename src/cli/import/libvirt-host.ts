/** All that a host has of libvirt's: definitions, networks, autostart, qemu.conf, who owns the images, which machines run. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { errnoText } from '../../api/errno-text.ts';
import { definitionKeys } from '../../definition/definition-keys.ts';
import { namedFiles } from '../../definition/named-files.ts';
import { parseDefinition } from '../../definition/parse.ts';
import { readNetwork, type HostNetwork } from '../../import/libvirt/host/host-network.ts';
import { policyLines } from '../../import/libvirt/host/policy-lines.ts';
import { readQemuConf, relaxationsOfHost } from '../../import/libvirt/host/qemu-conf.ts';
import { importDomains } from '../../import/libvirt/import-domain.ts';
import type { CommandFault } from '../command.ts';
import { readForeign } from './foreign-files.ts';
import type { Found } from './foreign-machines.ts';
import type { Foreign } from './take-in.ts';

/** libvirt's account for QEMU, whose number Debian fixes. */
const accountOfLibvirt = 64_055;

const io = { readInput: () => '' };

function xmlIn(directory: string): readonly string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory)
    .filter((file) => file.endsWith('.xml'))
    .sort();
}

const baseName = (file: string): string => file.replace(/\.xml$/, '');

function networksOf(etc: string): readonly HostNetwork[] {
  return xmlIn(join(etc, 'qemu/networks')).flatMap((file) => {
    const read = readForeign(io, join(etc, 'qemu/networks', file));
    const network = 'text' in read ? readNetwork(read.text) : undefined;
    return network === undefined ? [] : [network];
  });
}

function networkRemarks(networks: readonly HostNetwork[]): readonly string[] {
  return networks.map(({ name, bridge, made }) => {
    if (bridge === undefined) return `network "${name}" has no bridge: its cards are left out`;
    const keep = made
      ? `libvirt makes it, gives addresses on it and translates them: keep libvirt's network, or set up the bridge yourself`
      : 'the host has it anyway';
    return `network "${name}" is the bridge ${bridge}: ${keep}`;
  });
}

/** Files that libvirt took for itself and does not always give back. */
function ownedByLibvirt(paths: readonly string[]): readonly string[] {
  return paths.filter((path) => {
    try {
      return statSync(path).uid === accountOfLibvirt;
    } catch {
      return false;
    }
  });
}

interface Host {
  readonly root: string;
  readonly etc: string;
  readonly autostarted: ReadonlySet<string>;
  readonly running: ReadonlySet<string>;
}

function hostAt(root: string): Host {
  const etc = join(root, 'etc/libvirt');
  const run = join(root, 'run/libvirt/qemu');
  return {
    root,
    etc,
    autostarted: new Set(xmlIn(join(etc, 'qemu/autostart')).map(baseName)),
    running: new Set(xmlIn(run).map(baseName)),
  };
}

/** Why a machine is libvirt's still: two managers of one disk destroy it. */
function refusalOf(host: Host, name: string, own: string): CommandFault | undefined {
  if (host.running.has(name))
    return {
      code: 'machine-running',
      message: `${name} runs under libvirt`,
      hint: `Shut it down first: virsh shutdown ${name}`,
    };
  if (host.autostarted.has(name))
    return {
      code: 'machine-running',
      message: `${name} is started by libvirt with the host`,
      hint: `virsh autostart --disable ${name}; once it is defined here: qward autostart on ${own}`,
    };
  return undefined;
}

function confRemarks(etc: string): readonly string[] {
  const path = join(etc, 'qemu.conf');
  if (!existsSync(path)) return [];
  return relaxationsOfHost(readQemuConf(readFileSync(path, 'utf8'))).map(
    ({ setting, meaning, definition, policy }) =>
      `qemu.conf: ${setting}: ${meaning}. Where a machine needs it: ${definition}, and in the policy: ${policy}`,
  );
}

function imageRemarks(machines: readonly Foreign[]): readonly string[] {
  const definitions = machines.flatMap(({ source }) => {
    const parsed = parseDefinition(source);
    return parsed.ok ? [parsed.definition] : [];
  });
  const paths = [...new Set(definitions.flatMap(namedFiles).map(({ path }) => path))];
  const owned = ownedByLibvirt(paths).map(
    (path) =>
      `${path} belongs to libvirt-qemu, who keeps it for good: give it back with chown, qward changes no owner`,
  );
  const lines = policyLines(definitions).map((line) => `the policy needs: ${line}`);
  return [...owned, ...lines];
}

/** `dry`: what libvirt still runs is shown as well. */
export function libvirtHost(root: string, dry: boolean): Found {
  const host = hostAt(root);
  const machines: Foreign[] = [];
  const faults: CommandFault[] = [];
  try {
    const files = xmlIn(join(host.etc, 'qemu'));
    if (files.length === 0)
      return {
        machines,
        faults: [
          {
            message: `${join(host.etc, 'qemu')} has no machines`,
            hint: 'Machines of a user stand in ~/.config/libvirt/qemu: give that directory, without --all.',
          },
        ],
        remarks: [],
      };
    const networks = networksOf(host.etc);
    const bridges = new Map(
      networks.flatMap(({ name, bridge }) => (bridge === undefined ? [] : [[name, bridge] as const])),
    );
    const keys = definitionKeys();
    for (const file of files) {
      const read = readForeign(io, join(host.etc, 'qemu', file));
      if ('message' in read) {
        faults.push(read);
        continue;
      }
      for (const one of importDomains(read.text, { keys, bridges })) {
        if (!one.ok) {
          faults.push(
            ...one.faults.map((fault) => ({
              ...fault,
              code: 'definition-invalid' as const,
              file: read.file,
            })),
          );
          continue;
        }
        const refusal = refusalOf(host, baseName(file), one.name);
        if (refusal !== undefined) faults.push(refusal);
        if (refusal === undefined || dry)
          machines.push({
            file: read.file,
            name: one.name,
            source: one.source,
            account: one.account,
            ...(one.variables === undefined ? {} : { variables: join(root, one.variables) }),
          });
      }
    }
    const remarks = [...networkRemarks(networks), ...confRemarks(host.etc), ...imageRemarks(machines)];
    return { machines, faults, remarks };
  } catch (error) {
    const message = `${host.etc} cannot be read: ${errnoText(error)}`;
    return {
      machines: [],
      faults: [...faults, { message, hint: 'It is root’s: sudo qward import libvirt --all' }],
      remarks: [],
    };
  }
}
