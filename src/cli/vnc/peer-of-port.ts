/** Who is at the other end of a connection over the loopback interface: /proc/net/tcp, proc(5). */
import { readFileSync } from 'node:fs';

/** 127.0.0.1 in the byte order of this machine, as the table writes it. */
const loopback = '0100007F';
/** TCP_ESTABLISHED. What is closing has no owner any more, and is shown as uid 0. */
const established = '01';

const address = (port: number): string => `${loopback}:${port.toString(16).toUpperCase().padStart(4, '0')}`;

/** The uid of the socket that connected from `theirs` to `ours`, both on 127.0.0.1; undefined: there is none. */
export function uidOfPeer(theirs: number, ours: number, table = readTable()): number | undefined {
  const [local, remote] = [address(theirs), address(ours)];
  for (const line of table.split('\n').slice(1)) {
    const [, from, to, state, , , , uid] = line.trim().split(/\s+/);
    if (from === local && to === remote && state === established) return Number(uid);
  }
  return undefined;
}

function readTable(): string {
  try {
    return readFileSync('/proc/net/tcp', 'utf8');
  } catch {
    return '';
  }
}
