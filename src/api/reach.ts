/** How a client gets to the two sockets of an instance: by their paths on this host, or by what another program connects with. */
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { localTargetFiles, type TargetFiles } from './target-files.ts';

/** The manager's socket, and the broker's for claims. */
export type SocketName = 'api' | 'claims';

/**
 * A connection that was begun. Before it stands it may emit `error`, with `code` as the system's; `connect` says that it stands.
 * `ref` and `unref`, where it has them, say whether it keeps the process alive.
 */
export type Connection = Duplex & { ref?(): unknown; unref?(): unknown };

export interface Reach {
  /** What messages call the instance: the path of the manager's socket, or a host. */
  readonly name: string;
  connect(socket: SocketName): Connection;
  /** Whom the sockets take the caller for. Rejects where that cannot be found out. */
  uid(): Promise<number>;
  /** Makes files where the instance is, with the caller's rights there. */
  readonly targets: TargetFiles;
  /** Ends what the connections have in common, where they have something. */
  close(): void;
}

/** The claims' socket of the instance whose manager listens here: it stands beside the manager's. */
export function claimsSocketBeside(apiSocket: string): string {
  return apiSocket.replace(/[^/]*$/, 'claims.sock');
}

/** The sockets of this host. */
export function localReach(apiSocket: string): Reach {
  return {
    name: apiSocket,
    connect: (socket) => connect(socket === 'api' ? apiSocket : claimsSocketBeside(apiSocket)),
    uid: () => Promise.resolve(process.getuid?.() ?? -1),
    targets: localTargetFiles,
    close: () => undefined,
  };
}
