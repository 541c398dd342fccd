/** A session's manager ends when nothing of it is needed: no machine runs, nobody is connected, for some time. */
import { renameSync } from 'node:fs';
import type { Server } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { Manager } from '../manager.ts';

export interface IdleOptions {
  readonly manager: Pick<Manager, 'app' | 'atRest'>;
  /** 0: never. */
  readonly idleMs: number;
  /** The socket's path; undefined: it is the service manager's, who starts us again with the next connection. */
  readonly ownSocket: string | undefined;
}

const lookEveryMs = 500;
/** In which a connection that was made before the socket's name was taken away shows itself. */
const graceMs = 100;

/** Resolves when the manager is to end: nobody can reach it any more then. */
export async function untilIdle({ manager, idleMs, ownSocket }: IdleOptions): Promise<void> {
  const { server } = manager.app;
  let activity = 0;
  server.on('connection', () => (activity += 1));
  let since = performance.now();
  let seen = activity;
  for (;;) {
    await wait(Math.min(lookEveryMs, idleMs || lookEveryMs), undefined, { ref: false });
    const active = activity !== seen || !manager.atRest() || (await connectionsOf(server)) > 0;
    seen = activity;
    if (active) since = performance.now();
    else if (idleMs > 0 && performance.now() - since >= idleMs && (await isLeft(ownSocket, () => activity)))
      return;
  }
}

/** Takes the socket's name away; where somebody came in time it has it again. Nobody else binds it: the session's lock is ours. */
async function isLeft(path: string | undefined, activity: () => number): Promise<boolean> {
  if (path === undefined) return true;
  const before = activity();
  renameSync(path, `${path}.ending`);
  await wait(graceMs);
  if (activity() === before) return true;
  renameSync(`${path}.ending`, path);
  return false;
}

function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.getConnections((error, count) => resolve(error === null ? count : 1));
  });
}
