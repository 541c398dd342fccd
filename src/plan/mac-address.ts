/** MAC addresses for cards whose definition names none. */
import { createHash } from 'node:crypto';

/**
 * The same machine and card always get the same address, on every host. The first byte, 52, marks it as locally
 * administered and unicast; the other 40 bits are a hash, so that among 10,000 cards on one network two share an
 * address with a chance of 1 in 20,000. Two hosts whose machines and cards have the same names make the same
 * addresses: where they share a network, the definition must say `mac`.
 */
export function stableMacAddress(machine: string, card: string): string {
  const digest = createHash('sha256').update(`qward mac\n${machine}\n${card}`).digest();
  return [0x52, ...digest.subarray(0, 5)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}
