/** The Unix sockets of a process: which of them are bound where (unix(7), /proc/net/unix). */
import type { OpenDescriptor, UnixSocket } from '../protocol/broker.ts';
import { readText } from './process-facts-read.ts';

/** Some 60,000 sockets of the whole host. */
const maxTableBytes = 8 * 1024 * 1024;
/** __SO_ACCEPTCON in the flags of /proc/net/unix. */
const acceptsConnections = 0x10000;

/** Looks up the sockets among `descriptors`, first in the host's table, then in that of the process's namespace. */
export function findUnixSockets(proc: string, descriptors: readonly OpenDescriptor[]): UnixSocket[] {
  const wanted = new Set(
    descriptors.filter(({ target }) => target.startsWith('socket:[')).map(({ inode }) => inode),
  );
  if (wanted.size === 0) return [];
  const found = new Map<number, UnixSocket>();
  for (const [table, namespace] of [
    ['/proc/self/net/unix', 'host'],
    [`${proc}/net/unix`, 'own'],
  ] as const) {
    for (const line of readText(table, maxTableBytes).split('\n')) {
      const socket = parseLine(line, namespace);
      if (socket !== undefined && wanted.has(socket.inode) && !found.has(socket.inode))
        found.set(socket.inode, socket);
    }
  }
  return [...found.values()];
}

/** `Num RefCount Protocol Flags Type St Inode Path`. */
function parseLine(line: string, namespace: 'host' | 'own'): UnixSocket | undefined {
  const match = /^[0-9a-f]+: \S+ \S+ (\S+) \S+ \S+ +(\d+)(?: (.*))?$/i.exec(line);
  if (match === null) return undefined;
  const [, flags = '', inode = '', path = ''] = match;
  return {
    inode: Number(inode),
    path,
    listening: (Number.parseInt(flags, 16) & acceptsConnections) !== 0,
    namespace,
  };
}
