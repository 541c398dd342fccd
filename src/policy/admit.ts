/** Admission: whether the policy allows a launch, with the rule that refuses it. Every refusal at once. */
import type { Refusal } from '../protocol/broker.ts';
import { hookJobPattern, hookWord, maxHookWords } from '../protocol/hook.ts';
import {
  drillProgram,
  firstDescriptor,
  type Descriptor,
  type JailedProgram,
  type LaunchRequest,
} from '../protocol/launch.ts';
import { admitPasst } from './admit-passt.ts';
import { admitServer } from './admit-server.ts';
import { admitHelperNames, admitSideServer } from './admit-side-server.ts';
import { admitRelaxations } from './admit-relaxations.ts';
import { admitShown } from './shown-rules.ts';
import { grantOf, type FileGrounds } from './file-rules.ts';
import { absolutePath, policyFile, type Policy } from './policy.ts';
import { policyRefusal as refusal, unlisted } from './refusals.ts';

export function admit(launch: LaunchRequest, grounds: FileGrounds): Refusal[] {
  const { policy } = grounds;
  return [
    ...admitBinary(launch, policy),
    ...admitHook(launch),
    ...admitPasst(launch, policy),
    ...admitServer(launch),
    ...admitSideServer(launch),
    ...admitHelperNames(launch),
    ...launch.descriptors.flatMap((descriptor) => admitDescriptor(descriptor, grounds)),
    ...admitQueues(launch.descriptors),
    ...launch.devices.flatMap((device) => admitDevice(device, policy)),
    ...launch.root.flatMap(({ source, target }) => admitSystemPath(source, target)),
    // SECURITY: promise 1. Nor does anything lie at, in or around the place where the broker writes the prober.
    ...admitNesting(launch.program === 'drill' ? [{ target: drillProgram }, ...launch.root] : launch.root),
    ...admitLimits(launch, policy),
    ...admitShown(launch, grounds),
    ...admitRelaxations(launch, policy, grounds.roots),
  ];
}

/** The key of the policy that lists a program's binaries, and what they are; the drill's is the broker's own. */
const binariesOf = {
  qemu: ['qemuBinaries', 'a QEMU binary'],
  'qemu-img': ['imageTools', 'an image tool'],
  hook: ['hooks', 'a hook'],
  passt: ['networkHelpers', 'a network helper'],
  dnsmasq: ['networkServers', 'a server of networks'],
  swtpm: ['tpmServers', 'a server of TPMs'],
  virtiofsd: ['shareServers', 'a server of shared folders'],
  drill: null,
} as const satisfies Readonly<Record<JailedProgram, readonly [key: keyof Policy, what: string] | null>>;

function admitBinary({ program, binary }: LaunchRequest, policy: Policy): Refusal[] {
  const listed = binariesOf[program];
  // SECURITY: promise 1. No program of a request's own ever runs, in no jail.
  if (listed === null)
    return binary === drillProgram
      ? []
      : [refusal(`"${binary}" is not the prober of the drill`, `the drill runs ${drillProgram} alone`)];
  const [key, what] = listed;
  const paths = key === 'hooks' ? policy.hooks.map(({ path }) => path) : policy[key];
  return paths.includes(binary) ? [] : [unlisted(`"${binary}" is not ${what}`, key)];
}

/** SECURITY: promise 2. A hook gets nothing of the host, and no word that a program could take for more than a word. */
function admitHook({ program, machine, argv, env, descriptors, devices, root }: LaunchRequest): Refusal[] {
  if (program !== 'hook') return [];
  const given = [...Object.keys(env), ...descriptors, ...devices, ...root].length;
  const plain = argv.length <= maxHookWords && argv.every((word) => hookWord.test(word));
  if (given === 0 && plain && hookJobPattern.test(machine)) return [];
  return [refusal(`"${machine}" asks for more than a hook gets`, 'a hook gets plain words alone', 'hooks')];
}

/** Of one descriptor, at a launch or later. */
export function admitDescriptor(descriptor: Descriptor, grounds: FileGrounds): Refusal[] {
  switch (descriptor.kind) {
    case 'file': {
      const found = grantOf(descriptor, grounds);
      return found.ok ? [] : [found.refusal];
    }
    case 'tap':
      if (grounds.policy.bridges.some(({ bridge }) => bridge === descriptor.bridge)) return [];
      return [unlisted(`bridge "${descriptor.bridge}" is not one`, 'bridges')];
    case 'vhost-net':
      return admitDevice('/dev/vhost-net', grounds.policy);
    // That there is such a network, the register says.
    case 'card':
    // As a relaxation.
    case 'usb':
    // Of what was admitted itself.
    case 'queue':
    case 'socket':
    case 'netdev':
      return [];
  }
}

/**
 * SECURITY: promise 1. Of nothing but a TAP device of this very launch: root asks no descriptor of anybody's what device it is, which a
 * driver of somebody's (FUSE, CUSE) would answer as it likes.
 */
function admitQueues(descriptors: readonly Descriptor[]): Refusal[] {
  return descriptors.flatMap((one, index) => {
    if (one.kind !== 'queue') return [];
    const first = descriptors.slice(0, index)[one.of - firstDescriptor];
    if (first?.kind === 'tap' || first?.kind === 'card') return [];
    return [refusal(`descriptor ${one.of} is no TAP device before its queue`, 'name the TAP device itself')];
  });
}

function admitDevice(device: string, policy: Policy): Refusal[] {
  return policy.devices.includes(device) ? [] : [unlisted(`${device} is not a device`, 'devices')];
}

const maxTargetDepth = 16;

/** System paths are public parts of the operating system; the broker looks at the file itself when it binds it. */
function admitSystemPath(source: string, target: string): Refusal[] {
  const beneathUsr = (path: string): boolean => path.startsWith('/usr/') && absolutePath.test(path);
  // SECURITY: promise 2. Nothing but /usr is ever shown in a jail: no /etc, /home, /run, /var.
  // SECURITY: promise 1. A target costs directories on /run, so a deep one is none of a package's files.
  if (beneathUsr(source) && beneathUsr(target) && target.split('/').length <= maxTargetDepth) return [];
  return [
    refusal(
      `"${source}" at "${target}" is not a path beneath /usr`,
      'QEMU and its libraries must be installed beneath /usr',
    ),
  ];
}

/**
 * SECURITY: promise 1. No target lies in another: its mount point would be made, as root, in what is bound there, which is
 * the host's own /usr, or behind a link in it (/usr/bin/awk leads to /etc/alternatives), which is any place of the host.
 */
function admitNesting(root: readonly { readonly target: string }[]): Refusal[] {
  const targets = root.map(({ target }) => target);
  return targets.flatMap((target, index) => {
    const outer = targets.find(
      (other, place) => (place < index && other === target) || target.startsWith(`${other}/`),
    );
    if (outer === undefined) return [];
    return [
      refusal(
        `"${target}" lies in "${outer}", which the jail shows as well`,
        'name the outer directory alone',
      ),
    ];
  });
}

function admitLimits(launch: LaunchRequest, policy: Policy): Refusal[] {
  const over = (['memory', 'pids', 'openFiles', 'fileSize'] as const).filter(
    // virtiofsd has each file open that its guest has seen, and no other resource by that.
    (key) =>
      launch.limits[key] > policy.ceilings[key] && !(launch.program === 'virtiofsd' && key === 'openFiles'),
  );
  return over.map((key) =>
    refusal(
      `limit ${key} of ${launch.limits[key]} is above the ceiling of ${policy.ceilings[key]}`,
      `lower it in the definition, or raise ceilings.${key} in ${policyFile}`,
      `ceilings.${key}`,
    ),
  );
}
