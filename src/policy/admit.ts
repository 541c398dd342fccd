/** Admission: whether the policy allows a launch, with the rule that refuses it. Every refusal at once. */
import type { Refusal } from '../protocol/broker.ts';
import type { Access, Descriptor, LaunchRequest } from '../protocol/launch.ts';
import { absolutePath, type Policy } from './policy.ts';

export const policyFile = '/etc/qward/policy.json';

export interface StorageRoot {
  readonly path: string;
  readonly access: Access;
  /** Files in it must belong to this uid and have no other name: a directory that is not root's own. */
  readonly ownedBy?: number;
}

export function admit(launch: LaunchRequest, policy: Policy, roots: readonly StorageRoot[]): Refusal[] {
  return [
    ...admitBinary(launch, policy),
    ...launch.descriptors.flatMap((descriptor) => admitDescriptor(descriptor, policy, roots)),
    ...launch.devices.flatMap((device) => admitDevice(device, policy)),
    ...launch.root.flatMap(({ source, target }) => admitSystemPath(source, target)),
    ...admitNesting(launch.root),
    ...admitLimits(launch, policy),
  ];
}

function refusal(message: string, hint: string): Refusal {
  return { code: 'policy-refused', message, hint };
}

function admitBinary(launch: LaunchRequest, policy: Policy): Refusal[] {
  if (policy.qemuBinaries.includes(launch.binary)) return [];
  return [
    refusal(
      `"${launch.binary}" is not a QEMU binary that the policy lists`,
      `add it to qemuBinaries in ${policyFile}`,
    ),
  ];
}

function admitDescriptor(descriptor: Descriptor, policy: Policy, roots: readonly StorageRoot[]): Refusal[] {
  switch (descriptor.kind) {
    case 'file': {
      const found = rootOf(descriptor.path, descriptor.access, roots);
      return found.ok ? [] : [found.refusal];
    }
    case 'tap':
      if (policy.bridges.includes(descriptor.bridge)) return [];
      return [
        refusal(
          `bridge "${descriptor.bridge}" is not one that the policy lists`,
          `add it to bridges in ${policyFile}`,
        ),
      ];
    case 'vhost-net':
      return admitDevice('/dev/vhost-net', policy);
    case 'socket':
      return [];
  }
}

function admitDevice(device: string, policy: Policy): Refusal[] {
  if (policy.devices.includes(device)) return [];
  return [refusal(`${device} is not a device that the policy lists`, `add it to devices in ${policyFile}`)];
}

/** The longest storage root that the path lies beneath, where it gives the access. */
export function rootOf(
  path: string,
  access: Access,
  roots: readonly StorageRoot[],
):
  | { readonly ok: true; readonly root: StorageRoot; readonly relative: string }
  | { readonly ok: false; readonly refusal: Refusal } {
  // SECURITY: promise 1. No `..` part ever reaches the file system, and a root is matched at a slash.
  if (!absolutePath.test(path))
    return {
      ok: false,
      refusal: refusal(
        `${JSON.stringify(path)} is not an absolute path without "." and ".." parts`,
        'write the plain path',
      ),
    };
  const best = roots
    .filter((root) => path.startsWith(`${root.path}/`))
    .sort((left, right) => right.path.length - left.path.length)[0];
  if (best === undefined) {
    return {
      ok: false,
      refusal: refusal(
        `"${path}" is outside the storage roots`,
        `move it beneath ${roots[0]?.path ?? 'a storage root'}, or add its directory to storageRoots in ${policyFile}`,
      ),
    };
  }
  if (access === 'rw' && best.access === 'ro') {
    return {
      ok: false,
      refusal: refusal(
        `"${path}" is beneath ${best.path}, which is read-only`,
        `set readonly: true in the definition, or access "rw" for the root in ${policyFile}`,
      ),
    };
  }
  return { ok: true, root: best, relative: path.slice(best.path.length + 1) };
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
function admitNesting(root: LaunchRequest['root']): Refusal[] {
  const targets = new Set(root.map(({ target }) => target));
  return [...targets].flatMap((target) => {
    for (let end = target.lastIndexOf('/'); end > 0; end = target.lastIndexOf('/', end - 1)) {
      const outer = target.slice(0, end);
      if (targets.has(outer))
        return [
          refusal(
            `"${target}" lies in "${outer}", which the jail shows as well`,
            'name the outer directory alone',
          ),
        ];
    }
    return [];
  });
}

function admitLimits(launch: LaunchRequest, policy: Policy): Refusal[] {
  const over = (['memory', 'pids', 'openFiles', 'fileSize'] as const).filter(
    (key) => launch.limits[key] > policy.ceilings[key],
  );
  return over.map((key) =>
    refusal(
      `limit ${key} of ${launch.limits[key]} is above the ceiling of ${policy.ceilings[key]}`,
      `lower it in the definition, or raise ceilings.${key} in ${policyFile}`,
    ),
  );
}
