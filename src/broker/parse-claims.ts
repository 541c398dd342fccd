/** Reads what users send on the claims' socket. */
import { maxClaimsOfMachine, type ClaimRequest } from '../protocol/claims.ts';
import { list, oneOf, orNull, record, text } from '../protocol/values.ts';
import { access, machine, parserOf, tagged, v } from './parse-values.ts';

/** Any text that a path can be: policy/claim-rules.ts says what is wrong with it. */
const path = text(4095, /^[^\u0000]+$/);

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
    'autostart-on': record({ v, call: oneOf(['autostart-on']), machine }),
    claims: record({ v, call: oneOf(['claims']), machine: orNull(machine) }),
  }),
);
