/** What sockets the arguments of a QEMU have it make, which its plan has no descriptors for. */
import { hostResources, type HostResource } from '../plan/passthrough/host-resources.ts';
import { readOptions } from '../plan/passthrough/qemu-options.ts';

export interface ArgumentReach {
  /** It makes sockets of the network: of its own, unless the host's was granted. */
  readonly network: boolean;
  /** Unix sockets that it makes and listens on, by path. */
  readonly listening: readonly string[];
  /** How many Unix sockets it connects to. */
  readonly connects: number;
}

export function reachOf(argv: readonly string[]): ArgumentReach {
  const named = readOptions(argv).flatMap(hostResources);
  const of = (kind: HostResource['kind']): readonly string[] =>
    named.filter((one) => one.kind === kind).map(({ name }) => name);
  return {
    network: of('network').length + of('network listens').length > 0,
    listening: of('socket listens'),
    connects: of('socket').length,
  };
}
