/**
 * Whether a packet filter of the broker's is in force, seen by whoever may send a datagram: the filter has a rule against one to an address
 * of loopback that nobody uses, and the kernel then says EPERM to the sender at once.
 */
import { createHash } from 'node:crypto';

/** Of `discard` (RFC 863). */
export const sentinelPort = 9;

/** The same for the same words, on every host. */
export const sentinelAddress = (words: string): string =>
  ['127', '113', ...createHash('sha256').update(words).digest().subarray(0, 2)].join('.');

/** In the words in which nft(8) lists it. */
export const sentinelRule = (address: string): string => `ip daddr ${address} udp dport ${sentinelPort} drop`;
