/** What a policy names and this host does not have, or has in a way that gives others more than the policy says. */
import { existsSync, realpathSync, statSync, type Stats } from 'node:fs';
import { accountNamed, groupIdOf } from '../linux/accounts.ts';
import { faultOfOwnProgram } from '../linux/own-file.ts';
import type { Policy, Who } from '../policy/policy.ts';

export interface PolicyWarning {
  readonly key: string;
  readonly message: string;
  readonly cure: string;
}

export function policyWarnings(policy: Policy): readonly PolicyWarning[] {
  return [
    ...Object.entries(policy.groups).flatMap(([role, group]) => groupWarning(`groups.${role}`, group)),
    ...whoWarnings('define', policy.define),
    ...policy.quotas.flatMap(({ who }, index) => whoWarnings(`quotas[${index}].who`, who)),
    ...policy.storageRoots.flatMap(({ path, who }, index) => [
      ...rootWarnings(`storageRoots[${index}]`, path),
      ...whoWarnings(`storageRoots[${index}].who`, who),
    ]),
    ...sameTwice(policy.storageRoots),
    ...policy.blockDevices.flatMap(({ path, who }, index) => [
      ...deviceWarnings(`blockDevices[${index}]`, path),
      ...whoWarnings(`blockDevices[${index}].who`, who),
    ]),
    ...policy.lvmGroups.flatMap(({ group, who }, index) => [
      ...missing(`lvmGroups[${index}]`, `/dev/${group}`, `vgs ${group}; vgchange -ay ${group}`),
      ...whoWarnings(`lvmGroups[${index}].who`, who),
    ]),
    ...(['qemuBinaries', 'imageTools'] as const).flatMap((key) =>
      policy[key].flatMap((path, index) => programWarnings(`${key}[${index}]`, path)),
    ),
    ...policy.forwards.flatMap(({ who }, index) => whoWarnings(`forwards[${index}].who`, who)),
    ...policy.hooks.flatMap(({ path }, index) => hookWarnings(`hooks[${index}]`, path)),
    ...policy.bridges.flatMap(({ bridge, who }, index) => [
      ...bridgeWarnings(`bridges[${index}]`, bridge),
      ...whoWarnings(`bridges[${index}].who`, who),
    ]),
    ...defaultBridgeWarnings(policy),
  ];
}

function defaultBridgeWarnings({ bridges, defaultBridge }: Policy): readonly PolicyWarning[] {
  if (defaultBridge === null || bridges.some(({ bridge }) => bridge === defaultBridge)) return [];
  const message = `${defaultBridge} is not one of bridges, so that no card is joined to it`;
  return [{ key: 'defaultBridge', message, cure: 'list it in bridges' }];
}

function groupWarning(key: string, group: string): readonly PolicyWarning[] {
  if (groupIdOf(group) !== undefined) return [];
  return [{ key, message: `there is no group "${group}"`, cure: `groupadd --system ${group}` }];
}

function whoWarnings(key: string, who: Who | null): readonly PolicyWarning[] {
  if (who === null) return [];
  const users = who.users.flatMap((user, index) =>
    accountNamed(user) === undefined
      ? [{ key: `${key}.users[${index}]`, message: `there is no user "${user}"`, cure: 'check the name' }]
      : [],
  );
  return [...users, ...who.groups.flatMap((group, index) => groupWarning(`${key}.groups[${index}]`, group))];
}

function rootWarnings(key: string, path: string): readonly PolicyWarning[] {
  const found = statsOf(path);
  if (found === undefined)
    return [{ key, message: `${path} is not there`, cure: `mkdir -m 0755 ${path}, or take it out` }];
  if (!found.isDirectory())
    return [
      { key, message: `${path} is not a directory`, cure: 'name the directory that the images are in' },
    ];
  const real = realpathSync(path);
  if (real !== path)
    return [{ key, message: `${path} is reached by a link, which is never followed`, cure: `name ${real}` }];
  if ((found.mode & 0o002) === 0) return [];
  const message = `every user can write in ${path}: what they put there is opened with root's rights`;
  return [{ key, message, cure: `chmod o-w ${path}` }];
}

function sameTwice(roots: Policy['storageRoots']): readonly PolicyWarning[] {
  return roots.flatMap(({ path }, index) => {
    const first = roots.findIndex((root) => root.path === path);
    if (first === index) return [];
    const message = `${path} is storageRoots[${first}] already, which is the one that counts`;
    return [{ key: `storageRoots[${index}]`, message, cure: 'make one of the two' }];
  });
}

function deviceWarnings(key: string, path: string): readonly PolicyWarning[] {
  const found = statsOf(path);
  if (found === undefined || found.isBlockDevice()) return missing(key, path, 'ls -l /dev/disk/by-id');
  return [{ key, message: `${path} is not a block device`, cure: 'ls -l /dev/disk/by-id' }];
}

function programWarnings(key: string, path: string): readonly PolicyWarning[] {
  const found = statsOf(path);
  if (found === undefined) return missing(key, path, 'install it, or take it out');
  if (found.isFile() && found.uid === 0 && (found.mode & 0o133) === 0o111) return [];
  const message = `${path} is not a program that nobody but root can write`;
  return [{ key, message, cure: 'name the one of the package' }];
}

function hookWarnings(key: string, path: string): readonly PolicyWarning[] {
  try {
    const fault = faultOfOwnProgram(path);
    return fault === undefined ? [] : [{ key, ...fault }];
  } catch {
    // Not to be seen by this user.
    return [];
  }
}

function bridgeWarnings(key: string, bridge: string): readonly PolicyWarning[] {
  if (existsSync(`/sys/class/net/${bridge}/bridge`)) return [];
  return [{ key, message: `there is no bridge ${bridge}`, cure: `ip link add ${bridge} type bridge` }];
}

function missing(key: string, path: string, cure: string): readonly PolicyWarning[] {
  return existsSync(path) ? [] : [{ key, message: `${path} is not there`, cure }];
}

/** Undefined where it is not there, or not to be seen by this user. */
function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
