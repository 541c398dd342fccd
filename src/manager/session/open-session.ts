/** What a manager needs to be that of a session: its place, made, no other manager there, and a broker. */
import { mkdirSync } from 'node:fs';
import { setTimeout as wait } from 'node:timers/promises';
import { lockDirectory } from '../../linux/directory-lock.ts';
import { makeSessionRoots } from '../../linux/session-roots.ts';
import { pathsBelow, type Roots } from '../../protocol/paths.ts';
import { BrokerProcess } from './broker-process.ts';

export interface Session {
  readonly roots: Roots;
  readonly broker: BrokerProcess;
}

/** One that is about to end holds it a moment longer. */
const lockWithinMs = 10_000;
const pollMs = 20;

/** Throws NoSessionPlace, and where another manager is there. The lock is held until the process ends. */
export async function openSession(named: Roots | undefined, uid: number): Promise<Session> {
  const { env: environment } = process;
  const roots = named ?? makeSessionRoots({ uid, environment });
  const paths = pathsBelow(roots);
  mkdirSync(paths.managerRun, { recursive: true, mode: 0o700 });
  const giveUpAt = performance.now() + lockWithinMs;
  while (lockDirectory(paths.managerRun) === undefined) {
    if (performance.now() > giveUpAt)
      throw new Error(`another manager of this session is there (${roots.run})`);
    await wait(pollMs);
  }
  return { roots, broker: new BrokerProcess({ roots, paths, environment: { ...environment } }) };
}
