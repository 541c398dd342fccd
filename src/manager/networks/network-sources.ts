/** What a manager asks of the host for networks: programs, name servers, and which managed networks there are. */
import type { MachineDefinition } from '../../definition/schema.ts';
import type { ManagedNetworkFacts, UserNetworkFacts } from '../../plan/launch-plan.ts';
import { networksNamedBy } from '../../plan/network-server.ts';
import type { AdmissionRow } from '../../policy/explain-admission.ts';
import type { Policy } from '../../policy/policy.ts';
import { maxUpstream, parseAddress } from '../../protocol/networks.ts';
import type { BrokerPort } from '../broker-port.ts';
import { networkServer } from '../facts/network-server.ts';
import { ToolSource } from '../facts/tool.ts';
import { gatherUserNetwork, networkHelper } from '../facts/user-network.ts';
import { success, type Outcome } from '../outcome.ts';
import { networkRows, type NetworkOwner } from './network-grounds.ts';
import type { ServerServices } from './network-server.ts';

export interface NetworkSources extends Pick<ServerServices, 'tool' | 'upstream'> {
  readonly userNetwork: () => Promise<UserNetworkFacts>;
  readonly networks: () => Promise<Outcome<ManagedNetworkFacts>>;
  /** Each managed network of a definition with whether it is for the owner's machines. */
  readonly networkRows: (
    definition: MachineDefinition,
    owner: NetworkOwner,
  ) => Promise<readonly AdmissionRow[]>;
}

export function createNetworkSources(broker: BrokerPort, policy: () => Outcome<Policy>): NetworkSources {
  const passt = new ToolSource(policy, networkHelper);
  const dnsmasq = new ToolSource(policy, networkServer);
  const userNetwork = (): Promise<UserNetworkFacts> => gatherUserNetwork(() => passt.read());
  const networks = async (): Promise<Outcome<ManagedNetworkFacts>> => {
    const [status, server] = await Promise.all([broker.call('status', {}), dnsmasq.read()]);
    if (!status.ok) return status;
    return success({ known: status.value.networks, server: server.ok ? server.value : null });
  };
  return {
    userNetwork,
    networks,
    tool: () => dnsmasq.read(),
    upstream: async () => {
      const { nameServers } = await userNetwork();
      return nameServers.filter((address) => parseAddress(address) !== undefined).slice(0, maxUpstream);
    },
    networkRows: async (definition, owner) => {
      const facts = networksNamedBy(definition).length === 0 ? undefined : await networks();
      return facts?.ok === true ? networkRows(definition, facts.value.known, owner) : [];
    },
  };
}
