/** The session's side of the table in main.ts: everything is the user's own, and no file says what is allowed. */
import { mkdirSync } from 'node:fs';
import { sessionPolicy } from '../../policy/session-policy.ts';
import type { Paths } from '../../protocol/paths.ts';
import type { BrokerContext } from '../context.ts';
import type { Site } from '../main.ts';
import { userMeans } from './user-means.ts';

export function userSite({
  paths,
  context,
}: {
  readonly paths: Paths;
  readonly context: () => BrokerContext;
}): Site {
  const [uid = -1, gid = -1] = [process.getuid?.(), process.getgid?.()];
  for (const directory of ['/machines', '/bundles', '/oci'])
    mkdirSync(`${paths.brokerRun}${directory}`, { recursive: true, mode: 0o700 });
  for (const directory of [paths.machines, paths.brokerState])
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  const policy = sessionPolicy(uid, paths.images, process.env['XDG_RUNTIME_DIR']);
  return {
    managerUid: uid,
    managerGid: gid,
    readPolicy: () => ({ ok: true, policy }),
    means: userMeans(context),
    scopeBase: `/user.slice/user-${uid}.slice/user@${uid}.service`,
    logDirectory: `${paths.brokerState}/logs`,
    // The manager holds the other end of standard input.
    whenAlone: (alone) => void process.stdin.resume().once('close', alone),
  };
}
