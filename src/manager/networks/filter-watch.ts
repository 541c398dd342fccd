/**
 * Whether a packet filter of the broker's is still in force. Whoever reloads a firewall (`nft flush ruleset`) takes it away with all others; the
 * manager, which has no right to list filters, sees it by a datagram that goes nowhere, and has the broker load it again.
 */
import { createSocket } from 'node:dgram';
import { sentinelPort } from '../../protocol/sentinel.ts';

/** True also where nothing is seen: a host whose loopback is down. */
async function isThere(address: string): Promise<boolean> {
  const socket = createSocket('udp4');
  try {
    return await new Promise<boolean>((resolve) => {
      const found = (error: Error | null): void => resolve(error !== null);
      socket.once('error', found);
      socket.send(Buffer.alloc(1), sentinelPort, address, found);
    });
  } finally {
    socket.close();
  }
}

export class FilterWatch {
  /** Nothing more is tried until it has been there again: each try is a broker that starts. */
  #lost = false;

  /** Undefined: it is there, or nothing can be done. `inspect` has the broker look at it, which loads what is gone. */
  async look(address: string, inspect: () => Promise<unknown>): Promise<'again' | 'lost' | undefined> {
    if (await isThere(address)) {
      this.#lost = false;
      return undefined;
    }
    if (this.#lost) return undefined;
    await inspect();
    this.#lost = !(await isThere(address));
    return this.#lost ? 'lost' : 'again';
  }
}

export const filterTold = {
  again: 'its packet filter was gone, as after `nft flush ruleset`, and is loaded again',
  lost: 'its packet filter is gone and cannot be loaded: see `qward audit`',
} as const;
