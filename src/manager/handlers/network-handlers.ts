/** The call about managed networks. Making them is none: that is between administrators and the broker. */
import type { BrokerPort } from '../broker-port.ts';
import type { Machines } from '../machines.ts';
import { mayUseNetwork } from '../networks/network-rights.ts';
import { success } from '../outcome.ts';
import type { LookUpOwner } from '../owners.ts';
import { seesAll } from '../roles.ts';
import type { Handlers } from '../server/call.ts';

export interface NetworkHandlerServices {
  readonly broker: BrokerPort;
  readonly machines: Machines;
  readonly owner: LookUpOwner;
  readonly userName: (uid: number) => string;
}

export function createNetworkHandlers({
  broker,
  machines,
  owner,
  userName,
}: NetworkHandlerServices): Pick<Handlers, 'networks'> {
  return {
    networks: async ({ identity }) => {
      const status = await broker.call('status', {});
      if (!status.ok) return status;
      const user = owner(identity.uid);
      const visible = machines.visibleTo(identity);
      const known = new Set(visible.map(({ name }) => name));
      const named = (network: string): string[] =>
        visible
          .filter(({ record }) =>
            record?.definition.nics.some((nic) => nic.kind === 'network' && nic.network === network),
          )
          .map(({ name }) => name)
          .toSorted();
      return success({
        networks: status.value.networks
          .filter((network) => seesAll(identity) || (user.ok && mayUseNetwork(network, user.value)))
          .map(({ name, subnet, mode, who, by, at, up, server, leases }) => ({
            name,
            subnet,
            mode,
            who: who === null ? null : { users: [...who.users], groups: [...who.groups] },
            madeBy: userName(by),
            madeAt: at,
            up,
            served: server !== null,
            // SECURITY: promise 4. Who is beside one's own machines in a network is not told.
            addresses: leases
              .filter(({ machine }) => known.has(machine))
              .map(({ machine, nic, mac, address }) => ({ machine, nic, mac, address })),
            machines: named(name),
          })),
      });
    },
  };
}
