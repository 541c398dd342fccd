/** The daemons that live: those that are on record, and those that listen although the record was lost. */
import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { peerCredentials } from '../linux/peer-credentials.ts';
import { startTimeOf } from '../linux/process.ts';
import { livingDaemons, type Daemon, type DaemonName } from './daemons.ts';
import type { HostSite } from './site.ts';

export interface FoundDaemons {
  readonly daemons: readonly Daemon[];
  /** Sockets on which another program listens: a service manager, most likely. */
  readonly foreign: readonly { readonly path: string; readonly pid: number }[];
}

const names: readonly DaemonName[] = ['broker', 'manager'];

function socketOf(site: HostSite, name: DaemonName): string {
  return name === 'broker' ? site.paths.brokerSocket : site.paths.apiSocket;
}

export async function findDaemons(site: HostSite): Promise<FoundDaemons> {
  const daemons: Daemon[] = [...livingDaemons(site)];
  const foreign: { path: string; pid: number }[] = [];
  for (const name of names) {
    if (daemons.some((daemon) => daemon.name === name)) continue;
    const path = socketOf(site, name);
    const pid = await listenerOn(path);
    const startTime = pid === undefined ? undefined : startTimeOf(pid);
    if (pid === undefined || startTime === undefined) continue;
    if (titleOf(pid) === `qward-${name}`) daemons.push({ name, pid, startTime });
    else foreign.push({ path, pid });
  }
  return { daemons, foreign };
}

/** Who called listen(2), as SO_PEERCRED tells; undefined where nobody did, or where we may not connect. */
function listenerOn(path: string): Promise<number | undefined> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', () => resolve(undefined));
    socket.once('connect', () => {
      const { pid } = peerCredentials(socket);
      socket.destroy();
      resolve(pid);
    });
  });
}

/** What the daemons call themselves (process.title). */
function titleOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0')[0] ?? '';
  } catch {
    return '';
  }
}
