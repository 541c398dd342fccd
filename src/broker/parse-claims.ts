/** Reads what users send on the claims' socket. */
import { maxClaimsOfMachine, type ClaimRequest } from '../protocol/claims.ts';
import { list, oneOf, orNull, record, text } from '../protocol/values.ts';
import { networkModes, type NetworkDefinition, type NetworkUsers } from '../protocol/networks.ts';
import { access, machine, network, parserOf, tagged, v } from './parse-values.ts';

/** Any text that a path can be: policy/claim-rules.ts says what is wrong with it. */
const path = text(4095, /^[^\u0000]+$/);

/** Names of the account database. */
const accounts = list(64, text(64, /^[a-zA-Z_][a-zA-Z0-9_.@\\-]*\$?$/));

export const parseClaimRequest = parserOf(
  // SECURITY: promise 4. No field says who asks: that is the kernel's word alone.
  tagged<ClaimRequest>('call', {
    claim: record({
      v,
      call: oneOf(['claim']),
      machine,
      files: list(maxClaimsOfMachine, record({ path, access })),
    }),
    'claim-like': record({ v, call: oneOf(['claim-like']), machine, like: machine }),
    unclaim: record({
      v,
      call: oneOf(['unclaim']),
      machine,
      paths: orNull(list(maxClaimsOfMachine, path)),
    }),
    'network-create': record({
      v,
      call: oneOf(['network-create']),
      network: record<NetworkDefinition>({
        name: network,
        subnet: text(18, /^[\d./]+$/),
        mode: oneOf(networkModes),
        who: orNull(record<NetworkUsers>({ users: accounts, groups: accounts })),
      }),
    }),
    'network-remove': record({ v, call: oneOf(['network-remove']), name: network }),
    'autostart-on': record({ v, call: oneOf(['autostart-on']), machine }),
    claims: record({ v, call: oneOf(['claims']), machine: orNull(machine) }),
  }),
);
